"""However a rank goes wrong, all ranks end soon, with the right status and a readable run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from mdibench.record.run_folder import find_runs, read_manifest, status
from tests.mpi.jobs import Job

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

FAULTY = """
[run]
name = "faulty"
warmup_s = 0.0
duration_s = 20.0
[model]
name = "tests.mpi.networks:{fault}"
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
    """The run folder, once items have been recorded in it."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s and job.process.poll() is None:
        runs = find_runs([job.results]) if job.results.exists() else []
        if runs and b'["items"' in (runs[0] / "live.jsonl").read_bytes():
            return runs[0]
        time.sleep(0.05)
    job.process.kill()
    pytest.fail(f"no item was recorded\n{job.process.communicate()}")
