"""Ranks that are killed, stopped or cut off at random moments.

No hang, the right status, an exact ledger. ``MDIBENCH_CHAOS=20`` tries that many seeds of kills and
stops, and half of them of cuts; a few by default.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import mdibench
from mdibench.record.run_folder import read_manifest, status
from tests.mpi.jobs import Done, Job
from tests.mpi.namespaces import WIRE, World, shaped_hosts, why_not

SEEDS = range(int(os.environ.get("MDIBENCH_CHAOS", "2")))
LONGEST_HANG_S, CUT_S, CUT_RUN_S = 5.0, 2.0, 7.0
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(120)]

CONFIG = """
[run]
name = "chaos"
warmup_s = 0.0
duration_s = 5.0
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
suspect_after_s = 0.6
[emulation]
device = "five-ms"
[emulation.devices.five-ms]
block_ms = [5, 5, 5, 5, 5]
"""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """Four ranks; none of them is left over afterwards."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    job = Job(tmp_path, 4, CONFIG)
    yield job
    deadline_s = time.monotonic() + 5
    while left := {p.pid for p in psutil.Process().children(recursive=True)} - before:
        assert time.monotonic() < deadline_s, left
        time.sleep(0.05)


def pids(job: Job) -> list[int]:
    """The ranks' processes, once the run has begun."""
    return [facts["pid"] for facts in read_manifest(job.folder())["ranks"]]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_rank_ends_the_job_and_leaves_what_was_flushed(job: Job, seed: int) -> None:
    draw = random.Random(f"kill {seed}")
    victim = draw.choice(pids(job))
    time.sleep(draw.uniform(1.0, 4.0))
    os.kill(victim, signal.SIGKILL)
    killed_s = time.monotonic()
    done = job.done(timeout_s=20)
    assert time.monotonic() - killed_s < LONGEST_HANG_S
    assert done.status != 0
    assert status(done.run) in ("aborted", "failed")
    items = mdibench.load(done.run).items
    assert len(items) > 0
    assert items.item.is_unique


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stopped_rank_goes_on_and_nothing_is_lost(job: Job, seed: int) -> None:
    draw = random.Random(f"stop {seed}")
    ranks = pids(job)
    rank = draw.randrange(len(ranks))
    time.sleep(draw.uniform(0.2, 2.5))
    os.kill(ranks[rank], signal.SIGSTOP)
    time.sleep(draw.uniform(0.1, 2.5))
    os.kill(ranks[rank], signal.SIGCONT)
    done = job.done(timeout_s=30)
    check_ledger(done)
    assert {whom for _, whom in told(done.run, "suspect")} <= {rank}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three hosts on a switch, each with a link of its own."""
    if reason := why_not():
        pytest.skip(reason)
    with shaped_hosts(tmp_path, "100mbit", 3) as hosts:
        yield hosts


@pytest.mark.parametrize("seed", SEEDS[: len(SEEDS) // 2])
def test_a_link_that_is_cut_for_two_seconds_loses_nothing(
    world: World, tmp_path: Path, seed: int
) -> None:
    """Over TCP between network namespaces; only who cannot hear each other suspect each other."""
    draw = random.Random(f"cut {seed}")
    text = CONFIG.replace("duration_s = 5.0", f"duration_s = {CUT_RUN_S}")
    job = Job(tmp_path, 3, text, start=world.line, **WIRE)
    job.folder()
    rank = draw.randrange(3)
    time.sleep(draw.uniform(0.2, 2.0))
    world.cut(rank)
    time.sleep(CUT_S)
    world.mend(rank)
    done = job.done(timeout_s=30)
    check_ledger(done)
    ended_s = mdibench.load(done.run).items.completed_s.sort_values()
    assert ended_s.diff().max() < CUT_S + LONGEST_HANG_S
    assert ended_s.max() < CUT_RUN_S + LONGEST_HANG_S
    suspected, recovered = told(done.run, "suspect"), told(done.run, "recovered")
    assert suspected
    assert all(rank in pair for pair in suspected)
    assert recovered == suspected


def check_ledger(done: Done) -> None:
    """The run is complete, every item ended once, and none is lost."""
    assert done.status == 0, done.err
    totals = read_manifest(done.run)["totals"]
    assert totals["lost"] == 0
    assert totals["offered"] == totals["ok"] + totals["dropped"]
    items = mdibench.load(done.run).items
    assert items.item.is_unique
    assert len(items) == totals["offered"]


def told(run: Path, kind: str) -> set[tuple[int, int]]:
    """Who said it of whom."""
    events = mdibench.load(run).events
    events = events[events.kind == kind]
    return set(zip(events["rank"], events.text.str.split().str[1].astype(int), strict=True))
