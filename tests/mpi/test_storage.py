"""A full disk and a folder that vanishes: one line, all ranks end, what was flushed is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mdibench
from mdibench.record.run_folder import find_runs, status
from tests.mpi.jobs import Job, environment, mpirun

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(120)]

LONG = """
[run]
name = "storage"
warmup_s = 0.0
duration_s = 30.0
sample_s = 0.1
trace = 1.0
[model]
name = "null"
[placement]
replicate = true
[admission]
mode = "fixed-rate"
interarrival_s = 0.0005
"""
FULL = """
mount -t tmpfs -o size=2m tmpfs {disk} || exit 77
{command}
ended=$?
cp -r {disk} {copy}
exit $ended
"""


def test_a_full_disk_ends_the_run_with_one_line_and_keeps_what_was_flushed(tmp_path: Path) -> None:
    config, disk, copy = tmp_path / "config.toml", tmp_path / "disk", tmp_path / "copy"
    config.write_text(LONG)
    disk.mkdir()
    command = f"{mpirun()} -n 2 {sys.executable} -m mdibench run {config} -q"
    command += f" --set=run.results={disk}/r"
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare program")
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", FULL.format(disk=disk, copy=copy, command=command)],
        text=True, timeout=60, check=False, capture_output=True, env=environment(),
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode in (1, 77) and "ount" in done.stderr:
        pytest.skip("mount namespaces are not permitted")
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("mdibench: ")]
    assert f"{disk}/r" in said[0]
    assert "No space left on device" in said[0]
    assert "MiB free" in said[0]
    assert "run.results" in said[0]
    assert "Traceback" not in done.stderr
    (run,) = find_runs([copy])
    manifest = json.loads((run / "run.json").read_bytes())
    assert manifest["status"] == "failed"
    assert "No space left" in manifest["reason"]
    assert len(mdibench.load(run).items) > 100


def test_a_folder_that_vanishes_ends_the_run_with_one_line(tmp_path: Path) -> None:
    job = Job(tmp_path, 2, LONG)
    deadline_s = time.monotonic() + 30
    while not (runs := find_runs([job.results]) if job.results.exists() else []):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    time.sleep(0.5)
    # Moved in one step first: a removal alone races with files that the run still writes into it.
    shutil.rmtree(job.results.rename(tmp_path / "removed"))
    done = job.done()
    assert done.status == 2, done.err
    assert f"{runs[0]}: the run's folder was removed or moved" in done.err
    assert "Traceback" not in done.err


def test_a_run_that_ends_well_leaves_no_reserve(tmp_path: Path) -> None:
    done = Job(tmp_path, 2, LONG.replace("30.0", "0.5")).done()
    assert status(done.run) == "complete"
    assert sorted(path.name for path in done.run.iterdir() if path.name.startswith(".")) == []
