"""Real sweeps: every cell is run, a killed sweep goes on, and a search ends with its trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mdibench.record.run_folder import find_runs, read_manifest
from tests.mpi.jobs import environment

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(180)]

TEXT = """
[run]
name = "tiny"
warmup_s = 0.0
duration_s = {duration_s}
drain_s = 2.0
results = "{results}"
[model]
name = "null"
[admission]
mode = "fixed-rate"
interarrival_s = 0.02
[placement]
replicate = true
[topology]
name = "2-node"
[emulation]
device = "own"
[emulation.devices.own]
block_ms = [2, 2, 2, 2, 2]
"""
AXES = """
[sweep]
repeats = 2
[sweep.axes]
topology = [
  {label = "one", "topology.name" = "local"},
  {label = "two", "topology.name" = "2-node"},
]
"scheme.name" = ["ddi", "mdi-exit"]
"""
SEARCH = """
[search]
objective_ms = 60
percentile = 95
precision = 0.5
"""


def start(folder: Path, text: str, *options: str) -> subprocess.Popen[str]:
    """``mdibench sweep`` with this config."""
    config = folder / "sweep.toml"
    config.write_text(text)
    line = [sys.executable, "-m", "mdibench", "sweep", str(config), *options]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def record(folder: Path) -> dict[str, Any]:
    """The sweep's own record."""
    loaded: dict[str, Any] = json.loads((folder / "results" / "tiny" / "sweep.json").read_text())
    return loaded


def complete(folder: Path) -> list[dict[str, Any]]:
    """Runs that the record calls complete."""
    try:
        return [run for run in record(folder)["runs"] if run["status"] == "complete"]
    except (FileNotFoundError, ValueError):
        return []


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    text = TEXT.format(duration_s=0.7, results=tmp_path / "results") + AXES
    first = start(tmp_path, text, "--jobs", "2")
    deadline_s = time.monotonic() + 60
    while len(complete(tmp_path)) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)
    before = {run["run"] for run in complete(tmp_path)}
    assert 2 <= len(before) < 8
    _wait_for_orphans(tmp_path)

    second = start(tmp_path, text)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert "8 runs complete" in out
    assert "left" in err
    runs = record(tmp_path)["runs"]
    assert len(runs) == 8
    assert before <= {run["run"] for run in runs}
    manifests = [read_manifest(run) for run in find_runs([tmp_path / "results" / "tiny"])]
    assert len(manifests) == 8
    assert {(m["label"], m["seed"], m["plan"]["ranks"]) for m in manifests} == {
        (f"{place}, {scheme}", seed, ranks)
        for place, ranks in (("one", 1), ("two", 2))
        for scheme in ("ddi", "mdi-exit")
        for seed in (1, 2)
    }

    third = start(tmp_path, text, "--dry-run")
    out, err = third.communicate(timeout=60)
    assert third.returncode == 0, err
    assert "4 cells, 0 of 8 runs to do" in out


def _wait_for_orphans(folder: Path) -> None:
    """Ranks whose sweep is gone finish the run that they are in, and end."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        runs = find_runs([folder / "results" / "tiny"])
        if all(read_manifest(run)["status"] != "running" for run in runs):
            return
        time.sleep(0.1)
    pytest.fail("a run of the killed sweep does not end")


def test_a_cell_that_cannot_run_is_told_before_anything_runs(tmp_path: Path) -> None:
    text = TEXT.format(duration_s=0.5, results=tmp_path / "results")
    text += '[sweep.axes]\n"topology.name" = ["2-node", "3-mesh"]\n"placement.copies" = [2, 3]\n'
    job = start(tmp_path, text)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "3 copies of each block do not fit on 2 ranks" in err
    assert not (tmp_path / "results").exists()


def test_real_devices_are_not_run_side_by_side(tmp_path: Path) -> None:
    text = TEXT.format(duration_s=0.5, results=tmp_path / "results").partition("[emulation]")[0]
    job = start(tmp_path, text + AXES, "--jobs", "2")
    _, err = job.communicate(timeout=60)
    assert job.returncode == 2
    assert "would disturb each other" in err


def test_a_search_finds_a_rate_and_saves_its_trace(tmp_path: Path) -> None:
    text = TEXT.format(duration_s=1.0, results=tmp_path / "results") + SEARCH
    job = start(tmp_path, text.replace('"2-node"', '"local"'), "--search")
    out, err = job.communicate(timeout=150)
    assert job.returncode == 0, err
    (file,) = (tmp_path / "results").glob("*/search.json")
    trace = json.loads(file.read_text())
    assert trace["over"]
    assert trace["highest_rate_per_s"] == max(
        t["rate_per_s"] for t in trace["trials"] if t["passed"]
    )
    assert f"{trace['highest_rate_per_s']:.2f} per s is the highest with p95 within 60 ms" in out
    # One rank with 2 ms per block and up to five blocks an item carries less than 400 a second.
    assert 20 < trace["highest_rate_per_s"] < 400
    assert trace["lowest_failing_rate_per_s"] <= 1.5 * trace["highest_rate_per_s"]
    assert all((file.parent / trial["run"] / "run.json").exists() for trial in trace["trials"])
