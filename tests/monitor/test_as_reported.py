"""A finished run has the same measured figures on the monitor as in its report."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mdibench.analysis.metrics import due_in, read_items
from mdibench.analysis.run_groups import evaluate_run
from mdibench.analysis.series import quantile
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.snapshot import Snapshot
from mdibench.record.reader import RunReader
from mdibench.simulation.run import simulate
from tests.simulation.scenarios import scenario

OVERLOADED = (
    "run.warmup_s=0.5", "run.drain_s=0.05", "admission.interarrival_s=0.004",
    "admission.max_in_flight=30",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with dropped and lost items, in which many end long after they were due."""
    return simulate(scenario(tmp_path, 2, "", *OVERLOADED), quiet=True)[1]


def monitored(folder: Path) -> Snapshot:
    feed = RunFeed(folder)
    while feed.read():
        pass
    return feed.snapshot()


def test_the_monitor_says_what_the_report_says(folder: Path) -> None:
    seen, summary = monitored(folder), evaluate_run(RunReader(folder)).summary
    reported = summary.measured
    assert seen.flow.dropped > 30 and seen.flow.lost > 3
    assert math.isclose(seen.flow.mean_per_s, reported.rate_per_s.value)
    for share, estimate in (
        (seen.quality.run, reported.accuracy),
        (seen.quality.of_offered, reported.accuracy_offered),
    ):
        assert (share.value, share.count) == (pytest.approx(estimate.value), estimate.n)
        assert share.interval == pytest.approx((estimate.low, estimate.high))
    latency, items = seen.latency, read_items(RunReader(folder))
    waited_s = items["latency_s"][due_in(items, summary.window) & items.ok]
    ranked = [quantile(waited_s, p, dependent=False).value for p in (0.5, 0.95, 0.99)]
    assert [latency.p50, latency.p95, latency.p99] == ranked  # of completed items, as it says
    assert latency.largest == waited_s.max()
    assert reported.latency_p95_s.value == math.inf  # where most of 500 items were dropped
    assert [view.left for view in seen.exits] == [row.items for row in summary.exits]
    repeated = [row.items - row.accuracy.n for row in summary.exits]
    assert max(repeated) > 0  # a sample that came twice is one observation, here as there
    for view, row in zip(seen.exits, summary.exits, strict=True):
        assert view.accuracy.count == row.accuracy.n
        assert view.accuracy.value == pytest.approx(row.accuracy.value, nan_ok=True)
        if row.items:
            assert view.share == pytest.approx(row.share.value)
