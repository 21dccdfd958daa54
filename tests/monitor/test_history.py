import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mdibench.monitor.facts import facts_of
from mdibench.monitor.history import MOST_BINS, PercentileCache, Span, edges_of, history_of
from mdibench.monitor.tables import Tables
from tests.monitor.synthetic import Synthetic


@given(st.floats(0, 1e5), st.floats(0.01, 1e5), st.sampled_from([0.05, 0.2, 1.0]))
def test_edges_cover_the_span_in_few_steady_bins(
    start: float, length: float, sample: float
) -> None:
    edges = edges_of(Span(start, start + length), sample)
    assert edges[0] <= start + 1e-6
    assert edges[-1] >= start + length - 1e-6
    assert len(edges) - 1 <= MOST_BINS + 2
    assert np.all(np.diff(edges) >= sample - 1e-6)


def test_a_growing_run_keeps_its_bins() -> None:
    before, after = edges_of(Span(0, 8.2), 0.2), edges_of(Span(0, 8.9), 0.2)
    assert list(before) == list(after)[: len(before)]


def test_bins_count_what_completed_in_them() -> None:
    run = Synthetic(ranks=2, rate=30, duration_s=4, warmup_s=0)
    facts = facts_of(run.manifest())
    tables = Tables(facts.ranks, facts.exits)
    tables.extend(run.rows())
    history = history_of(tables, np.arange(0, 5.0), 4.0, PercentileCache())
    done = [row["completed_s"] for table, row in run.rows() if table == "items"]
    assert history.completed_per_s == tuple(
        float(sum(start < t <= start + 1 for t in done)) for start in range(4)
    )


def test_closed_bins_are_sorted_once() -> None:
    run = Synthetic(ranks=2, rate=30, duration_s=4, warmup_s=0)
    tables = Tables(2, 5)
    tables.extend(run.rows())
    cache = PercentileCache()
    first = history_of(tables, np.arange(0, 5.0), 4.0, cache)
    assert first.p95_s == history_of(tables, np.arange(0, 5.0), 4.0, cache).p95_s
    assert len(cache._known) == 4


def test_a_bin_that_has_just_begun_tells_no_rate() -> None:
    run = Synthetic(ranks=2, rate=30, duration_s=4, warmup_s=0)
    tables = Tables(2, 5)
    tables.extend(run.rows())
    history = history_of(tables, np.arange(0, 5.0), 3.2, PercentileCache())
    assert math.isnan(history.completed_per_s[-1])
    assert not math.isnan(history.completed_per_s[-2])
