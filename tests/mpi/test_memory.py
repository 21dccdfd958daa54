"""Many runs in one process: each leaves the memory as it found it.

``MDIBENCH_CREW_RUNS=400`` tries as many; thirty by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

import mdibench
from mdibench.record.run_folder import find_runs
from tests.mpi.jobs import environment

RUNS = int(os.environ.get("MDIBENCH_CREW_RUNS", "30"))
LONGEST_S = 80 + 4 * RUNS
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(LONGEST_S + 40)]

SWEEP = """
[run]
name = "crew"
warmup_s = 0.0
duration_s = 0.1
sample_s = 0.05
[model]
name = "null"
[placement]
replicate = true
[admission]
mode = "offline"
[emulation]
device = "fast"
[emulation.devices.fast]
block_ms = [0.1, 0.1, 0.1, 0.1, 0.1]
[sweep]
repeats = {runs}
ranks = 2
[sweep.axes]
"scheme.name" = ["mdi-exit"]
"""


def test_a_crew_of_many_runs_does_not_grow(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(SWEEP.format(runs=RUNS))
    line = [sys.executable, "-m", "mdibench", "sweep", str(config)]
    done = subprocess.run(
        [*line, f"--set=run.results={tmp_path / 'r'}"], env=environment(), timeout=LONGEST_S,
        check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = find_runs([tmp_path / "r"])
    assert len(runs) == RUNS
    telemetry = [mdibench.load(run).telemetry for run in sorted(runs, key=started)]
    for rank in range(2):
        used = [table[table["rank"] == rank].rss_bytes.max() for table in telemetry]
        early, late = median(used[5:10]), median(used[-5:])
        print(f"rank {rank}: {early / 2**20:.1f} MiB early, {late / 2**20:.1f} MiB late")
        assert late < 1.05 * early, [round(bytes_ / 2**20, 1) for bytes_ in used]


def started(run: Path) -> str:
    """The time in the folder's name, and the repeat that the folder is of."""
    return run.parent.name.removeprefix("repeat-").rjust(3, "0")
