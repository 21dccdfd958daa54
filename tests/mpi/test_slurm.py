"""Batch jobs under a Slurm, where one answers: ``docs/slurm.md`` sets one up on one machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdibench.record.run_folder import find_runs, read_manifest, status
from tests.mpi.jobs import SMALL, environment

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(120)]

JOB = """#!/bin/sh
#SBATCH --ntasks=4
#SBATCH --overcommit
#SBATCH --time=2
exec srun --mpi=pmi2 --overcommit {python} -m mdibench run {config} --set run.results={results}
"""


@pytest.fixture(autouse=True, scope="module")
def slurm() -> None:
    """Skip where no Slurm answers at once."""
    if shutil.which("sbatch") is None:
        pytest.skip("no Slurm on this machine")
    line = ["sinfo", "-h", "-o", "%T"]
    try:
        asked = subprocess.run(line, capture_output=True, text=True, check=False, timeout=3)
    except subprocess.TimeoutExpired:
        pytest.skip("Slurm does not answer")
    if asked.returncode or not set(asked.stdout.split()) & {"idle", "mixed", "allocated"}:
        pytest.skip(f"Slurm does not answer: {(asked.stderr or asked.stdout).strip()}")


def submit(folder: Path, duration_s: float, *options: str) -> str:
    """Start a job of four tasks; its number."""
    config, script = folder / "config.toml", folder / "job.sh"
    config.write_text(SMALL.replace("0.5", str(duration_s)))
    script.write_text(JOB.format(python=sys.executable, config=config, results=folder / "r"))
    line = ["sbatch", "--parsable", *options, f"--output={folder}/log.txt", str(script)]
    done = subprocess.run(
        line, env=environment(), cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr + (folder / "log.txt").read_text()
    return done.stdout.split()[0]


def test_four_tasks_make_one_run(tmp_path: Path) -> None:
    submit(tmp_path, 0.5, "--wait")
    (run,) = find_runs([tmp_path / "r"])
    manifest = read_manifest(run)
    assert manifest["status"] == "complete"
    assert [facts["rank"] for facts in manifest["ranks"]] == [0, 1, 2, 3]
    assert manifest["totals"]["offered"] == manifest["totals"]["ok"]


def test_a_cancelled_job_leaves_an_aborted_run(tmp_path: Path) -> None:
    """What Slurm does at a job's time limit, too: SIGTERM."""
    number = submit(tmp_path, 60.0)
    deadline_s = time.monotonic() + 60
    while not ((tmp_path / "r").exists() and find_runs([tmp_path / "r"])):
        assert time.monotonic() < deadline_s, (tmp_path / "log.txt").read_text()
        time.sleep(0.1)
    time.sleep(1.0)
    subprocess.run(["scancel", number], check=True)
    (run,) = find_runs([tmp_path / "r"])
    while status(run) == "running":
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert status(run) == "aborted"
