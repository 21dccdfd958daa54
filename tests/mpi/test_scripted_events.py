"""Scripted events over MPI do what they do in virtual time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mdibench
from mdibench.record.run_folder import find_runs, read_manifest
from tests.mpi.jobs import Job, environment

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(120)]

FAILED_S = 1.5
BOARDS = """
[model]
name = "null"
[scheme]
name = "mdi-exit"
source_offloads_raw = true
[placement]
replicate = true
[topology]
name = "full"
[emulation]
device = "board"
link = "wifi-5ghz"
[emulation.devices.board]
block_ms = [10, 10, 10, 10, 10]
"""
SATURATED = f"""
[run]
name = "recovery"
warmup_s = 0.0
duration_s = 4.5
[admission]
mode = "offline"
max_in_flight = 40
{BOARDS}
[[events]]
at_s = 1.5
kind = "fail"
rank = 2
[[events]]
at_s = 3.5
kind = "join"
rank = 2
"""
CONFIG = f"""
[run]
name = "scripted"
trace = 1.0
warmup_s = 0.0
duration_s = 6.0
[admission]
mode = "fixed-rate"
interarrival_s = 0.02
{BOARDS}
[[events]]
at_s = 1.0
kind = "slow"
rank = 1
factor = 2.0
[[events]]
at_s = 2.0
kind = "fail"
rank = 2
[[events]]
at_s = 3.0
kind = "leave"
rank = 1
[[events]]
at_s = 3.5
kind = "join"
rank = 3
[[events]]
at_s = 4.0
kind = "join"
rank = 2
[[events]]
at_s = 4.5
kind = "load"
factor = 0.5
[[events]]
at_s = 5.0
kind = "link"
between = [0, 2]
bandwidth_mbps = 5.0
"""


def simulated(folder: Path, config: Path) -> Path:
    """The same config in virtual time."""
    line = [sys.executable, "-m", "mdibench", "simulate", str(config), "--workers", "4", "-q"]
    done = subprocess.run(
        [*line, f"--set=run.results={folder}"], env=environment(), timeout=60, check=False,
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = find_runs([folder])
    return run


def rates(run: Path) -> list[float]:
    """Items finished in each second."""
    ended = mdibench.load(run).items.completed_s.dropna()
    return [int(ended.between(second, second + 1).sum()) for second in range(6)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The real run and the simulated one."""
    folder = tmp_path_factory.mktemp("scripted")
    done = Job(folder, 4, CONFIG).done()
    assert done.status == 0, done.err
    return done.run, simulated(folder / "simulated", folder / "config.toml")


def test_events_over_mpi_agree_with_the_simulated_ones(runs: tuple[Path, Path]) -> None:
    real, virtual = (mdibench.load(run).events for run in runs)
    scripted = ["slow", "fail", "leave", "join", "load", "link"]
    texts = [sorted(e[e.kind.isin(scripted)].text) for e in (real, virtual)]
    assert texts[0] == texts[1]
    for run in runs:
        totals = read_manifest(run)["totals"]
        assert totals["offered"] == totals["ok"] + totals["dropped"] + totals["lost"]
        assert totals["lost"] == 0
        assert totals["reruns"] > 0
    assert any("scripted" in text for text in read_manifest(runs[0])["warnings"])
    assert sum(rates(runs[0])) == pytest.approx(sum(rates(runs[1])), rel=0.1)


def test_recovery_takes_as_long_as_in_virtual_time(tmp_path: Path) -> None:
    """Rate, and the time from a failure until what the rank held has ended elsewhere."""
    done = Job(tmp_path, 4, SATURATED).done()
    assert done.status == 0, done.err
    both = [done.run, simulated(tmp_path / "simulated", tmp_path / "config.toml")]
    real, virtual = (mdibench.load(run).items for run in both)
    assert len(real) == pytest.approx(len(virtual), rel=0.1)
    times_s = [recovery_s(items) for items in (real, virtual)]
    assert times_s[0] == pytest.approx(times_s[1], rel=0.1)


def recovery_s(items: pd.DataFrame) -> float:
    """From the failure until half of the items that ran again have ended."""
    again = items[items.attempts > 1]
    assert len(again) >= 5
    return float(again.completed_s.median()) - FAILED_S


def test_a_rank_takes_nothing_before_it_joins_and_after_it_leaves(runs: tuple[Path, Path]) -> None:
    steps = mdibench.load(runs[0]).steps
    sends = steps[steps.kind == "send"]
    to = {rank: sends[sends.target == rank].t_s for rank in range(4)}
    assert to[3].min() >= 3.45
    assert len(to[3]) > 0
    assert to[1].max() <= 3.05
    assert not to[2].between(3.4, 3.95).any()  # suspected by then
    assert to[2].gt(4.0).any()


def test_an_event_of_a_rank_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    done = Job(tmp_path, 2, CONFIG).done()
    assert done.status == 2
    assert re.search(r"events.*there is no rank 2 among the 2 ranks", done.err)
