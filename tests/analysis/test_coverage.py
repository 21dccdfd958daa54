"""Queues of known truth near saturation: what is printed covers, and tests hold their size.

A small part of ``python -m benchmarks.coverage``, whose table is in docs/report.md.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.coverage import (
    EARLIER,
    Cover,
    Queue,
    backlog,
    bursts,
    cover,
    queue,
    true_quantile,
    waits_at_most,
)
from mdibench.analysis import series
from mdibench.analysis.shares import Estimate, Numbers
from mdibench.analysis.steadiness import Backlog

SETS = 200


@pytest.fixture(scope="module", params=[0.8, 0.9, 0.95])
def stationary(request: pytest.FixtureRequest) -> tuple[float, Queue]:
    """M/M/1 queues of some load, 2,000 items each."""
    draw = np.random.default_rng(17)
    return request.param, queue(draw, request.param, (SETS, 2000), False)


@pytest.mark.slow
def test_latencies_that_are_printed_cover(stationary: tuple[float, Queue]) -> None:
    """Also where few series pass: these have seen low latencies, and had intervals too narrow.

    An interval of independent values covers 56 to 82 % at a load of 0.9.
    """
    load, made = stationary
    truths = [1 / (1 - load), *(-math.log(1 - p) / (1 - load) for p in (0.5, 0.95))]
    for items in (250, 2000):
        found = [_latency(x[:items]) for x in made.latency]
        for place, truth in enumerate(truths):
            row = cover("latency", "M/M/1", items, [each[place] for each in found], truth)
            noise = 2 * math.sqrt(0.05 * row.told / SETS) + 1 / SETS
            assert row.false <= 0.05 * row.told + noise


def _latency(x: Numbers) -> list[Estimate]:
    """Mean, median and p95."""
    return [series.mean_of_series(x, True), *series.quantiles(x, (0.5, 0.95), skewed=True)]


@pytest.mark.slow
def test_latencies_of_a_calm_queue_are_not_printed_too_wide() -> None:
    """Many just pass, and by a mean that a constant part holds: 98.4 and 100 % were covered."""
    made = queue(np.random.default_rng(19), 0.5, (1500, 250), True)
    found = [_latency(x) for x in made.latency]
    for place, truth in ((0, 1.5), (2, true_quantile(0.5, 0.95, True))):
        row = cover("latency", "M/D/1", 250, [each[place] for each in found], truth)
        noise = 2 * math.sqrt(0.05 * 0.95 / (row.told * row.sets))
        assert 0.93 - noise <= row.covered <= 0.97 + noise


@pytest.mark.parametrize("load", [0.5, 0.9])
def test_waits_of_a_queue_of_equal_services_are_exact(load: float) -> None:
    """Their mean is that of Pollaczek and Khinchine, and a share 1 - ρ does not wait."""
    assert waits_at_most(0.0, load) == pytest.approx(1 - load)
    t, step = np.linspace(0, 60, 241, retstep=True)
    beyond = [1 - waits_at_most(float(x), load) for x in t]
    mean = step * (sum(beyond) - (beyond[0] + beyond[-1]) / 2)
    assert mean == pytest.approx(load / (1 - load) / 2, rel=2e-3)


def test_half_of_the_items_of_a_calm_queue_have_the_least_latency() -> None:
    assert true_quantile(0.5, 0.5, True) == 1.0
    assert true_quantile(0.5, 0.51, True) > 1.0
    told = {"told": 1.0, "sets": 1000, "edge": True}
    assert Cover("p50", "M/D/1", 250, covered=0.985, **told).judged == "edge"
    assert Cover("p50", "M/D/1", 250, covered=1.0, **told).judged == "outside"


@pytest.mark.parametrize(
    ("told", "covered", "judged"),
    [
        (0.019, 0.5, "seldom"),
        (0.021, 0.5, "outside"),
        (1.0, 0.931, "inside"),
        (0.15, 0.987, "chance"),
        (0.65, 0.995, "outside"),
    ],
)
def test_a_cell_is_outside_where_chance_does_not_explain_it(
    told: float, covered: float, judged: str
) -> None:
    assert Cover("p99", "M/M/1", 250, told, covered, 1000).judged == judged


def backlogs(made: Queue, items: int) -> list[Backlog]:
    """Of windows of so many items."""
    whole = slice(EARLIER + items)
    return [backlog(a[whole], x[whole]) for a, x in zip(made.arrived, made.latency, strict=True)]


@pytest.mark.slow
def test_a_stable_queue_does_not_grow(stationary: tuple[float, Queue]) -> None:
    """A test against independent noise rejects 5 to 28 % of these."""
    _, made = stationary
    for items in (250, 1600):
        found = backlogs(made, items)
        for p_values in (
            np.array([each.line.p_value for each in found]),
            np.array([each.balance.p_value for each in found]),
        ):
            assert np.mean(p_values < 0.05) <= 0.08  # 5 %, and the noise of 200 sets
            assert np.mean(p_values < 0.01) <= 0.03
        assert np.mean([each.grew or each.balance.short for each in found]) <= 0.06


@pytest.mark.slow
def test_an_overloaded_queue_grows() -> None:
    made = queue(np.random.default_rng(3), 1.2, (SETS, EARLIER + 1000), False)
    found = backlogs(made, 1000)
    assert np.mean([each.line.p_value < 0.01 for each in found]) > 0.8
    assert np.mean([each.grew for each in found]) > 0.9
    short = [each.grew or each.balance.short for each in backlogs(made, 250)]
    assert np.mean(short) > 0.5  # in eight seconds of 32 items each


@pytest.mark.slow
def test_two_equal_systems_do_not_differ(stationary: tuple[float, Queue]) -> None:
    """The same items in two runs: 14 to 34 % were called significant."""
    _, made = stationary
    half = SETS // 2
    pairs = zip(made.latency[:half], made.latency[half:], strict=True)
    p_values = np.array([series.paired_series_ratio(a, b).p_value for a, b in pairs])
    assert np.mean(p_values < 0.05) <= 0.08


@pytest.mark.slow
def test_shares_of_bursty_drops_cover_or_are_unknown() -> None:
    """Wilson's interval of independent items covers 19 to 62 %."""
    made = bursts(np.random.default_rng(5), (SETS, 4000))
    for items in (500, 4000):
        found = [series.share_of_series(x[:items]) for x in made]
        assert cover("drops", "bursts", items, found, 0.1).false <= 0.07
