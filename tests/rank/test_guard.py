"""The guard names the rank whose end came first, whichever process is gone first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mdibench import errors
from mdibench.rank import guard
from mdibench.record import run_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux alone has pidfds")
RANK = f"""
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("guard", {guard.__file__!r})
guard = importlib.util.module_from_spec(spec); spec.loader.exec_module(guard)
print(guard.open_lifeline(), flush=True)
sys.stdin.readline()
guard.os.close(guard.LIFELINE_DESCRIPTOR)  # as the kernel does before the process is gone
print("closed", flush=True)
time.sleep(60)
"""


class Rank:
    """A process with a lifeline."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", RANK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.lifeline = int(self.process.stdout.readline())

    def close_lifeline(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "closed\n"


@pytest.fixture
def ranks() -> Iterator[list[Rank]]:
    started = [Rank(number) for number in range(3)]
    yield started
    for rank in started:
        rank.process.kill()
        rank.process.communicate()


def guard_of(folder: Path, ranks: list[Rank], launchers: Sequence[Rank] = ()) -> guard.Guard:
    say_in_manifest(folder, "running", "")
    return guard.Guard(
        {
            "folder": str(folder),
            "ranks": [[rank.number, rank.process.pid, rank.lifeline] for rank in ranks],
            "host": "board",
            "alone": True,
            "launchers": [launcher.process.pid for launcher in launchers],
            "talk": "",
        }
    )


def say_in_manifest(folder: Path, status: str, reason: str) -> None:
    manifest = {"status": status, "reason": reason}
    (folder / guard.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def reason(folder: Path) -> str:
    return str(json.loads((folder / guard.MANIFEST).read_text(encoding="utf-8"))["reason"])


def test_the_first_to_close_its_lifeline_is_named_though_others_are_gone_before_it(
    tmp_path: Path, ranks: list[Rank]
) -> None:
    watch = guard_of(tmp_path, ranks)
    ranks[1].close_lifeline()
    for number in (0, 2, 1):
        ranks[number].process.kill()
    watch.run()
    assert reason(tmp_path) == "rank 1 on board died (signal 9)"


def test_a_death_whose_code_nobody_can_read_is_named_without_a_signal(
    tmp_path: Path, ranks: list[Rank], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, first = guard_of(tmp_path, ranks), ranks[1].process.pid
    read = guard.exit_code
    monkeypatch.setattr(
        guard, "exit_code", lambda pidfd, pid: None if pid == first else read(pidfd, pid)
    )
    for number in (1, 0, 2):
        ranks[number].process.kill()
        ranks[number].process.wait()
    watch.run()
    assert reason(tmp_path) == "rank 1 on board died"


def test_ends_without_a_readable_code_after_a_good_run_are_no_deaths(
    tmp_path: Path, ranks: list[Rank], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = guard_of(tmp_path, ranks)
    monkeypatch.setattr(guard, "exit_code", lambda pidfd, pid: None)
    say_in_manifest(tmp_path, "complete", "")
    for rank in ranks:
        rank.process.kill()
    watch.run()
    assert json.loads((tmp_path / guard.MANIFEST).read_bytes())["status"] == "complete"


@pytest.mark.parametrize("known", [guard.BY_INTERRUPT, "rank 1: no memory"])
def test_a_launcher_that_ends_before_its_ranks_explains_no_end_that_they_explain(
    tmp_path: Path, ranks: list[Rank], known: str
) -> None:
    launcher = ranks.pop()
    watch = guard_of(tmp_path, ranks, [launcher])
    say_in_manifest(tmp_path, "aborted", known)
    for process in (launcher, *ranks):
        process.process.kill()
    watch.run()
    assert reason(tmp_path) == known


@pytest.mark.parametrize(
    ("known", "wish", "told"),
    [
        ("", guard.BY_INTERRUPT, guard.BY_INTERRUPT),
        ("", "asked by Ctrl-C", "rank 1 on board died (signal 9)"),
        (guard.BY_SIGTERM, "", "rank 1 on board died (signal 9)"),
        (guard.BY_INTERRUPT, "", guard.BY_INTERRUPT),
    ],
)
def test_a_rank_that_was_killed_because_the_run_was_aborted_did_not_die(
    tmp_path: Path, ranks: list[Rank], known: str, wish: str, told: str
) -> None:
    watch = guard_of(tmp_path, ranks)
    say_in_manifest(tmp_path, "aborted" if known else "running", known)
    (tmp_path / guard.STOP).write_text(wish, encoding="utf-8")
    for number in (1, 0, 2):
        ranks[number].process.kill()
        ranks[number].process.wait()
    watch.run()
    assert reason(tmp_path) == told


def test_an_interrupted_rank_that_ends_the_others_is_no_death(tmp_path: Path) -> None:
    watch = guard.Guard({"folder": str(tmp_path), "ranks": [], "launchers": [], "talk": ""})
    assert watch._reason("1", 130 << 8) == guard.BY_INTERRUPT


def test_what_the_guard_repeats_is_what_the_package_says() -> None:
    """It imports nothing of the package, so that it starts small."""
    here = (guard.MANIFEST, guard.STOP, guard.INTERRUPTED)
    assert here == (run_folder.MANIFEST, run_folder.STOP, errors.INTERRUPTED)
