"""However a rank goes wrong, all ranks end soon, with the right status and a readable run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from mdibench.record.run_folder import find_runs, read_manifest, status
from tests.mpi.jobs import Job, environment

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

FAULTY = """
[run]
name = "faulty"
warmup_s = 0.0
duration_s = 20.0
[model]
name = "tests.mpi.networks:{fault}"
engine = "torch"  # a fault in Python is in no graph
[admission]
mode = "fixed-rate"
interarrival_s = 0.02
[scheme]
name = "mdi"
"""


@pytest.mark.parametrize(
    ("fault", "rank", "expected", "text"),
    [
        ("raising", 0, 1, "RuntimeError: the block gave up"),
        ("raising", 1, 1, "rank 1: RuntimeError: the block gave up"),
        ("stray", 1, 1, "rank 1: LookupError: a stray thread died"),
        ("leaving", 1, 7, "rank 1: SystemExit(7)"),
    ],
)
def test_a_failing_rank_ends_the_job(
    tmp_path: Path, fault: str, rank: int, expected: int, text: str
) -> None:
    done = Job(tmp_path, 3, FAULTY.format(fault=fault), FAULTY_RANK=str(rank)).done()
    assert done.status == expected, done.err
    assert text in done.err
    assert "Traceback" not in done.err
    manifest = read_manifest(done.run)
    assert manifest["status"] == "failed"
    assert text in manifest["reason"]
    assert "Traceback" in (done.run / "log.txt").read_text()


def test_one_ctrl_c_ends_the_job(tmp_path: Path) -> None:
    job = Job(tmp_path, 3, FAULTY.format(fault="working"))
    folder = _wait_for_items(job)
    pressed_s = time.monotonic()
    job.process.send_signal(signal.SIGINT)
    done = job.done()
    assert time.monotonic() - pressed_s < 5
    assert done.status == 130, done.err
    assert read_manifest(folder)["status"] == "aborted"
    assert (folder / "items.parquet").exists()


def test_a_slow_end_of_a_failed_run_is_waited_for(tmp_path: Path) -> None:
    """Rank 0 takes longer to write its tables than a failed worker waits for a word of it."""
    done = Job(tmp_path, 3, FAULTY.format(fault="raising_before_slow_files")).done()
    assert done.status == 1, done.err
    assert read_manifest(done.run)["status"] == "failed"
    assert (done.run / "items.parquet").exists()
    assert not (done.run / "live.jsonl").exists()


def test_a_run_that_somebody_stops_says_so(tmp_path: Path) -> None:
    job = Job(tmp_path, 2, FAULTY.format(fault="working"))
    folder = _wait_for_items(job)
    (folder / "stop").touch()
    done = job.done()
    assert done.status == 0, done.err
    manifest = read_manifest(folder)
    assert (manifest["status"], manifest["reason"]) == ("complete", "asked by the monitor")
    assert manifest["window"]["end_s"] < 20


def test_sigterm_to_the_launching_command_ends_the_ranks(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(FAULTY.format(fault="working"))
    line = [sys.executable, "-m", "mdibench", "run", str(config), "--ranks", "2"]
    launcher = subprocess.Popen(
        [*line, f"--set=run.results={tmp_path / 'results'}"], env=environment()
    )
    folder = _items_in(tmp_path / "results", launcher)
    launcher.terminate()
    assert launcher.wait(timeout=20) != 0
    assert status(folder) == "aborted"
    deadline_s = time.monotonic() + 5
    while living := [r for r in read_manifest(folder)["ranks"] if psutil.pid_exists(r["pid"])]:
        assert time.monotonic() < deadline_s, living
        time.sleep(0.05)


@pytest.mark.parametrize("victim", [0, 2])
def test_a_killed_rank_leaves_an_aborted_run(tmp_path: Path, victim: int) -> None:
    job = Job(tmp_path, 3, FAULTY.format(fault="working"))
    folder = _wait_for_items(job)
    pid = read_manifest(folder)["ranks"][victim]["pid"]
    os.kill(pid, signal.SIGKILL)
    done = job.done(timeout_s=10)
    assert done.status != 0
    assert status(folder) == "aborted"
    assert not psutil.pid_exists(read_manifest(folder)["pid"])


def _wait_for_items(job: Job) -> Path:
    return _items_in(job.results, job.process)


def _items_in(results: Path, process: subprocess.Popen[Any]) -> Path:
    """The run folder, once items have been recorded in it."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s and process.poll() is None:
        runs = find_runs([results]) if results.exists() else []
        if runs and b'["items"' in (runs[0] / "live.jsonl").read_bytes():
            return runs[0]
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"no item was recorded\n{process.communicate()}")
