"""A killed worker under Open MPI with ULFM: the others go on, and nothing is lost.

Needs an Open MPI with fault tolerance, which the usual environment does not have: its ``mpirun`` is
named by ``MDIBENCH_ULFM_MPIRUN``, and the tests are skipped without.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mdibench
from mdibench.record.run_folder import find_runs, read_manifest, status
from tests.mpi.jobs import environment

MPIRUN = os.environ.get("MDIBENCH_ULFM_MPIRUN", "")
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not MPIRUN, reason="no MDIBENCH_ULFM_MPIRUN"),
]

CONFIG = """
[run]
name = "survivors"
warmup_s = 0.0
duration_s = 10.0
[model]
name = "null"
[scheme]
source_offloads_raw = true
[admission]
mode = "offline"
max_in_flight = 60
[placement]
replicate = true
[topology]
name = "full"
[emulation]
device = "board"
[emulation.devices.board]
block_ms = [10, 10, 10, 10, 10]
"""


def run(folder: Path, ranks: int, kill_after_s: float | None = None) -> tuple[int, Path]:
    """A run in which the last rank may be killed; the job's exit status and the run's folder."""
    config = folder / f"config{ranks}.toml"
    config.write_text(CONFIG)
    results = folder / f"results{ranks}"
    library = str(Path(MPIRUN).resolve().parents[1] / "lib")
    job = subprocess.Popen(
        [MPIRUN, "--with-ft", "ulfm", "--oversubscribe", "-n", str(ranks), sys.executable,
         "-m", "mdibench", "run", str(config), "-q", f"--set=run.results={results}"],
        env=environment(
            MPI4PY_MPIABI="openmpi", LD_LIBRARY_PATH=library,
            OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
        ),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    if kill_after_s is not None:
        while not (results.exists() and find_runs([results])):
            time.sleep(0.02)
        time.sleep(kill_after_s)
        facts = read_manifest(find_runs([results])[0])["ranks"]
        os.kill(facts[-1]["pid"], signal.SIGKILL)
    ended = job.wait(timeout=60)
    (folder,) = find_runs([results])
    return ended, folder


def second_half(folder: Path) -> float:
    """Items a second from 5 s to 10 s."""
    ended = mdibench.load(folder).items.completed_s
    return float(ended.between(5.0, 10.0).sum()) / 5.0


def test_a_killed_worker_does_not_end_the_run(tmp_path: Path) -> None:
    _, folder = run(tmp_path, 4, kill_after_s=3.0)
    assert status(folder) == "complete"
    manifest, frames = read_manifest(folder), mdibench.load(folder)
    totals = manifest["totals"]
    assert (totals["lost"], totals["offered"]) == (0, totals["ok"])
    assert totals["reruns"] > 0
    assert frames.items.item.is_unique
    assert any("rank 3: its process is gone" in text for text in manifest["warnings"])
    events = frames.events
    assert set(events[events.kind == "suspect"].text.str.split().str[1]) == {"3"}
    _, alone = run(tmp_path, 3)
    rates = second_half(folder), second_half(alone)
    assert rates[0] >= 0.9 * rates[1], rates
    print(f"\nsecond half: {rates[0]:.1f} per s, three ranks alone: {rates[1]:.1f} per s; {totals}")
