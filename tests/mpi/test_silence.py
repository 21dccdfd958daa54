"""A rank that is stopped for two seconds attracts no work; nothing is lost or counted twice.

The rank is stopped by SIGSTOP, so that its state survives: when it goes on, it answers for items
that others have classified meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import mdibench
from mdibench.record.run_folder import read_manifest
from tests.mpi.jobs import Done, Job

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(120)]

STOPPED = 2
SILENCE_S = 2.0
CONFIG = """
[run]
name = "silence"
warmup_s = 0.0
duration_s = 7.0
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


def run_with_a_silent_rank(
    folder: Path, on_suspect: str, rank: int = STOPPED, silence_s: float = SILENCE_S
) -> tuple[Done, dict[str, Any]]:
    """A run of four ranks in which one is stopped for a while; the job and its totals."""
    job = Job(folder, 4, CONFIG.format(on_suspect=on_suspect))
    pid = int(read_manifest(job.folder())["ranks"][rank]["pid"])
    time.sleep(1.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(silence_s)
    finally:
        os.kill(pid, signal.SIGCONT)
    done = job.done()
    assert done.status == 0, done.err
    return done, read_manifest(done.run)["totals"]


def check_ledger(done: Done, totals: dict[str, Any]) -> None:
    """Conservation: every offered item has one row, and the sums agree."""
    items = mdibench.load(done.run).items
    assert totals["offered"] == totals["ok"] + totals["dropped"] + totals["lost"]
    assert len(items) == totals["offered"]
    assert items.item.is_unique
    events = mdibench.load(done.run).events
    texts = events[events.kind == "suspect"].text
    assert texts.str.startswith(f"rank {STOPPED} silent").any()
    recovered = events[events.kind == "recovered"]
    assert recovered.text.str.startswith(f"rank {STOPPED} speaks").any()


def test_nothing_is_lost_and_duplicates_are_recognised(tmp_path: Path) -> None:
    done, totals = run_with_a_silent_rank(tmp_path, "rerun")
    check_ledger(done, totals)
    assert totals["lost"] == 0
    assert totals["reruns"] > 0
    assert totals["duplicates"] <= 4  # of what the stopped rank's engine and links had then


def test_items_are_counted_lost_where_the_config_says_so(tmp_path: Path) -> None:
    done, totals = run_with_a_silent_rank(tmp_path, "lost")
    check_ledger(done, totals)
    assert totals["reruns"] == 0
    assert 0 < totals["lost"] < totals["offered"] / 2


def test_a_silent_rank_attracts_no_work(tmp_path: Path) -> None:
    done, _ = run_with_a_silent_rank(tmp_path, "rerun")
    frames = mdibench.load(done.run)
    suspected_s = frames.events[frames.events.kind == "suspect"].t_s.min()
    recovered_s = frames.events[frames.events.kind == "recovered"].t_s.max()
    sends = frames.steps[(frames.steps.kind == "send") & (frames.steps.target == STOPPED)]
    # Each rank leaves it out once it suspects it itself: a little later than the first one.
    silent = sends[sends.t_s.between(suspected_s + 0.5, suspected_s + SILENCE_S - 1.0)]
    assert recovered_s > suspected_s + 1.0
    assert len(silent) == 0
    assert len(sends[sends.t_s > recovered_s]) > 0


@pytest.mark.parametrize(("rank", "on_suspect"), [(0, "lost"), (0, "rerun"), (STOPPED, "rerun")])
def test_three_seconds_of_silence_lose_nothing_and_accuse_nobody_else(
    tmp_path: Path, rank: int, on_suspect: str
) -> None:
    """A stopped rank 0 hears first what waited for it, and nobody suspects a healthy rank."""
    done, totals = run_with_a_silent_rank(tmp_path, on_suspect, rank, silence_s=3.0)
    events = mdibench.load(done.run).events
    accused = set(events[events.kind == "suspect"].text.str.split().str[1].astype(int))
    assert accused == {rank}
    assert totals["lost"] == 0
    assert totals["offered"] == totals["ok"] + totals["dropped"]
    assert mdibench.load(done.run).items.item.is_unique
