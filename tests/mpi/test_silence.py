"""A rank that is stopped for three seconds attracts no work; nothing is lost or counted twice.

The rank is stopped by SIGSTOP, so that its state survives: when it goes on, it answers for items
that others have classified meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import mdibench
from mdibench.record.run_folder import read_manifest
from tests.mpi.jobs import Done, Job

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(120)]

STOPPED = 2
SILENCE_S = 3.0
CONFIG = """
[run]
name = "silence"
warmup_s = 0.0
duration_s = 6.0
[model]
name = "null"
[scheme]
name = "mdi-exit"
source_offloads_raw = true
[admission]
mode = "fixed-rate"
interarrival_s = 0.01
[placement]
replicate = true
[topology]
name = "full"
[transport]
suspect_after_s = 0.5
on_suspect = "{on_suspect}"
[emulation]
device = "ten-ms"
[emulation.devices.ten-ms]
block_ms = [10, 10, 10, 10, 10]
"""


def run_with_a_silent_rank(folder: Path, on_suspect: str, rank: int = STOPPED) -> Done:
    """A run of four ranks in which one is stopped for a while."""
    job = Job(folder, 4, CONFIG.format(on_suspect=on_suspect))
    pid = int(read_manifest(job.folder())["ranks"][rank]["pid"])
    time.sleep(1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(SILENCE_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    done = job.done()
    assert done.status == 0, done.err
    return done


@pytest.fixture(scope="module")
def rerun(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The run whose stopped worker's items run again."""
    return run_with_a_silent_rank(tmp_path_factory.mktemp("rerun"), "rerun")


def check_ledger(done: Done) -> dict[str, int]:
    """Conservation: every offered item has one row, and the sums agree; the totals."""
    totals: dict[str, int] = read_manifest(done.run)["totals"]
    items = mdibench.load(done.run).items
    assert totals["offered"] == totals["ok"] + totals["dropped"] + totals["lost"]
    assert len(items) == totals["offered"]
    assert items.item.is_unique
    return totals


def accused(done: Done) -> set[int]:
    """Ranks that somebody suspected."""
    events = mdibench.load(done.run).events
    return set(events[events.kind == "suspect"].text.str.split().str[1].astype(int))


def test_nothing_is_lost_nobody_else_accused_and_duplicates_are_recognised(rerun: Done) -> None:
    totals = check_ledger(rerun)
    assert totals["lost"] == 0
    assert totals["reruns"] > 0
    assert totals["duplicates"] <= 4  # of what the stopped rank's engine and links had then
    assert accused(rerun) == {STOPPED}
    events = mdibench.load(rerun.run).events
    recovered = events[events.kind == "recovered"]
    assert recovered.text.str.startswith(f"rank {STOPPED} speaks").any()


def test_a_silent_rank_attracts_no_work(rerun: Done) -> None:
    frames = mdibench.load(rerun.run)
    suspected_s = frames.events[frames.events.kind == "suspect"].t_s.min()
    recovered_s = frames.events[frames.events.kind == "recovered"].t_s.max()
    sends = frames.steps[(frames.steps.kind == "send") & (frames.steps.target == STOPPED)]
    # Each rank leaves it out once it suspects it itself: a little later than the first one.
    silent = sends[sends.t_s.between(suspected_s + 0.5, suspected_s + SILENCE_S - 1.0)]
    assert recovered_s > suspected_s + 1.0
    assert len(silent) == 0
    assert len(sends[sends.t_s > recovered_s]) > 0


def test_items_are_counted_lost_where_the_config_says_so(tmp_path: Path) -> None:
    totals = check_ledger(run_with_a_silent_rank(tmp_path, "lost"))
    assert totals["reruns"] == 0
    assert 0 < totals["lost"] < totals["offered"] / 2


@pytest.mark.parametrize("on_suspect", ["lost", "rerun"])
def test_a_stopped_rank_0_loses_nothing_and_accuses_nobody(tmp_path: Path, on_suspect: str) -> None:
    """It hears first what waited for it, and nobody suspects a healthy rank."""
    done = run_with_a_silent_rank(tmp_path, on_suspect, rank=0)
    assert accused(done) == {0}
    assert check_ledger(done)["lost"] == 0
