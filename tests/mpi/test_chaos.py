"""Ranks that are killed or stopped at random moments: no hang, the right status, an exact ledger.

``MDIBENCH_CHAOS=20`` tries that many seeds of each kind; a few by default.
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
from mdibench.record.run_folder import find_runs, read_manifest, status
from tests.mpi.jobs import Job

SEEDS = range(int(os.environ.get("MDIBENCH_CHAOS", "2")))
pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(120)]

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
    deadline_s = time.monotonic() + 40
    while time.monotonic() < deadline_s:
        runs = find_runs([job.results]) if job.results.exists() else []
        if runs:
            return [facts["pid"] for facts in read_manifest(runs[0])["ranks"]]
        time.sleep(0.05)
    pytest.fail("the run did not begin")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_rank_ends_the_job_and_leaves_what_was_flushed(job: Job, seed: int) -> None:
    draw = random.Random(f"kill {seed}")
    victim = draw.choice(pids(job))
    time.sleep(draw.uniform(1.0, 4.0))
    os.kill(victim, signal.SIGKILL)
    killed_s = time.monotonic()
    done = job.done(timeout_s=20)
    assert time.monotonic() - killed_s < 5
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
    assert done.status == 0, done.err
    totals = read_manifest(done.run)["totals"]
    assert totals["lost"] == 0
    assert totals["offered"] == totals["ok"] + totals["dropped"]
    items, events = mdibench.load(done.run).items, mdibench.load(done.run).events
    assert items.item.is_unique
    assert len(items) == totals["offered"]
    accused = events[events.kind == "suspect"].text.str.split().str[1].astype(int)
    assert set(accused) <= {rank}
