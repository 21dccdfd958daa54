"""The truth about ends: a rank that a signal kills is named, and Ctrl-C drains."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from mdibench.errors import USAGE_ERROR
from mdibench.record.run_folder import find_runs, read_manifest, status
from tests.mpi.jobs import SMALL, environment, mpirun
from tests.terminals import Terminal

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(90)]
LONG = SMALL.replace("duration_s = 0.5", 'duration_s = 30.0\nresults = "results"')
OWN = [sys.executable, "-m", "mdibench", "run", "long.toml"]


def started(folder: Path, command: list[str]) -> Terminal:
    """A long run of three ranks on a terminal."""
    (folder / "long.toml").write_text(LONG, encoding="utf-8")
    return Terminal(command, folder, environment())


def run_in(folder: Path, terminal: Terminal) -> Path:
    """Its folder, once items are recorded."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        terminal.read_for(0.05)
        runs = find_runs([folder / "results"]) if (folder / "results").exists() else []
        if runs and b'["items"' in (runs[0] / "live.jsonl").read_bytes():
            return runs[0]
    raise AssertionError(terminal.text[-2000:])


def kill(run: Path, rank: int) -> str:
    """Kill a rank; what has to be said of it."""
    facts = read_manifest(run)["ranks"][rank]
    os.kill(facts["pid"], signal.SIGKILL)
    return f"rank {rank} on {facts['host']} died (signal 9); run aborted"


@pytest.mark.parametrize("launcher", ["own", "mpirun"])
def test_a_killed_rank_is_named_after_the_launchers_words(tmp_path: Path, launcher: str) -> None:
    own = [*OWN, "--ranks", "3"]
    command = own if launcher == "own" else [mpirun(), "-n", "3", *OWN]
    with started(tmp_path, command) as terminal:
        run = run_in(tmp_path, terminal)
        if launcher == "own":
            assert "starting 3 ranks" in terminal.text
        line = kill(run, 1)
        terminal.shows(f"mdibench: {line}")
        assert terminal.wait() != 0
    assert (status(run), read_manifest(run)["reason"]) == ("aborted", line.partition(";")[0])


def test_the_monitor_keeps_its_last_picture(tmp_path: Path) -> None:
    with started(tmp_path, [*OWN, "--ranks", "3", "--tui"]) as terminal:
        run = run_in(tmp_path, terminal)
        terminal.shows("running")
        line = kill(run, 2)
        terminal.shows(line)
        terminal.type("1")  # its keys still work
        terminal.read_for(0.3)
        assert terminal.process.poll() is None
        terminal.type("q")
        terminal.shows(f"{line} after 00:0")
        assert terminal.wait() != 0
    assert "the run goes on" not in terminal.text


LEFT = "\x1b[?1049l"
"""What a terminal gets when a program leaves the full screen."""


def test_the_monitor_is_there_before_the_run_and_its_errors_come_after_it(tmp_path: Path) -> None:
    command = [*OWN, "--ranks", "3", "--tui", "--set", "topology.name=2-node"]
    with started(tmp_path, command) as terminal:
        terminal.shows("starting 3 ranks")
        terminal.shows("¹ranks")
        assert terminal.wait() == USAGE_ERROR
        said = terminal.raw.rpartition(LEFT)[2]
        assert "2-node" in said and "mdibench: " in said
    assert not list((tmp_path).glob("results/*/run.json"))


def test_a_monitored_run_ends_in_order_when_its_command_is_told_to(tmp_path: Path) -> None:
    with started(tmp_path, [*OWN, "--ranks", "3", "--tui"]) as terminal:
        run = run_in(tmp_path, terminal)
        terminal.process.terminate()
        assert terminal.wait() != 0
        assert LEFT in terminal.raw
    assert status(run) == "aborted"


def test_a_killed_command_leaves_no_ranks(tmp_path: Path) -> None:
    with started(tmp_path, [*OWN, "--ranks", "3"]) as terminal:
        run = run_in(tmp_path, terminal)
        ranks = [Path(f"/proc/{rank['pid']}") for rank in read_manifest(run)["ranks"]]
        terminal.process.kill()
        deadline_s = time.monotonic() + 20
        while any(map(Path.exists, ranks)) and time.monotonic() < deadline_s:
            time.sleep(0.1)
    assert not [rank for rank in ranks if rank.exists()]
    assert status(run) == "aborted"


def test_ctrl_c_drains(tmp_path: Path) -> None:
    with started(tmp_path, [*OWN, "--ranks", "3"]) as terminal:
        run = run_in(tmp_path, terminal)
        terminal.type("\x03")
        terminal.shows("the run drains and writes its files; Ctrl-C again aborts it")
        assert terminal.wait() == 0
    manifest = read_manifest(run)
    assert (manifest["status"], manifest["reason"]) == ("complete", "asked by Ctrl-C")
    assert manifest["window"]["end_s"] < 30
    assert not (run / "live.jsonl").exists()
