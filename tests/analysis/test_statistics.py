"""The statistics: against scipy where scipy has them, and by coverage where truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, signal, stats

from benchmarks.coverage import queue
from mdibench.analysis import series
from mdibench.analysis import statistics as s

Numbers = NDArray[np.float64]
RUNS = 2000


def autoregressive(generator: np.random.Generator, n: int, phi: float, mean: float) -> Numbers:
    noise = generator.normal(size=n + 200)
    series = signal.lfilter([1], [1, -phi], noise)
    return np.asarray(series[200:] + mean)


def covers(estimates: list[s.Estimate], truth: float) -> float:
    return sum(e.low <= truth <= e.high for e in estimates) / len(estimates)


# --- coverage ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_batch_means_cover_95_percent(phi: float) -> None:
    generator = np.random.default_rng(7)
    found = [series.mean_of_series(autoregressive(generator, 4000, phi, 5.0)) for _ in range(RUNS)]
    assert 0.93 <= covers(found, 5.0) <= 0.97


def test_the_interval_for_independent_data_would_fail_on_a_dependent_series() -> None:
    generator = np.random.default_rng(7)
    found = [s.mean_of_independent(autoregressive(generator, 2000, 0.9, 5.0)) for _ in range(300)]
    assert covers(found, 5.0) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5])
def test_repeats_cover_95_percent(runs: int) -> None:
    generator = np.random.default_rng(8)
    found = [s.mean_of_independent(generator.normal(3, 1, runs)) for _ in range(RUNS)]
    assert 0.93 <= covers(found, 3.0) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("share", "n"), [(0.5, 200), (0.93, 1000), (0.97, 3000)])
def test_wilson_covers_95_percent(share: float, n: int) -> None:
    generator = np.random.default_rng(9)
    found = [s.wilson(int(generator.binomial(n, share)), n) for _ in range(RUNS)]
    assert 0.93 <= covers(found, share) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.5, 0.95])
@pytest.mark.parametrize("phi", [0.3, 0.8])
def test_quantiles_cover_95_percent(p: float, phi: float) -> None:
    generator = np.random.default_rng(10)
    truth = stats.norm.ppf(p) / math.sqrt(1 - phi**2)
    found = [series.quantile(autoregressive(generator, 4000, phi, 0.0), p) for _ in range(RUNS)]
    assert 0.93 <= covers(found, truth) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.5, 0.95])
def test_quantiles_of_independent_values_cover_95_percent(p: float) -> None:
    generator = np.random.default_rng(10)
    drawn = [generator.normal(0, 1, 2000) for _ in range(RUNS)]
    truth = float(stats.norm.ppf(p))
    assert 0.93 <= covers([series.quantile(x, p, dependent=False) for x in drawn], truth) <= 0.97
    # Not told that they are independent, the interval is a little wider than it need be.
    assert 0.95 <= covers([series.quantile(x, p) for x in drawn], truth) <= 0.98


@pytest.mark.parametrize("spread", [1.0, 0.6], ids=["its own", "of the mean, for p99"])
@pytest.mark.parametrize("true_z", [3.0, 4.5, 6.0])
def test_a_latency_covers_given_that_its_series_is_long_enough(
    true_z: float, spread: float
) -> None:
    """1 / value is drawn with standard error 1; of those that pass, not of all, 95 % cover.

    No bound is nearer than that of a series whose length was never in question. What decides has
    ``spread``: with the bounds of 1, 99 % and more are covered where that is 0.6.
    """
    true_z = spread * true_z + (1 - spread) * s.LIMIT_Z  # as many pass
    errors = np.random.default_rng(14).normal(0, 1, 40_000)
    errors = errors[true_z + spread * errors > s.LIMIT_Z][:1500]
    found = [
        passed(true_z + spread * float(e), true_z / (true_z + float(e)), spread) for e in errors
    ]
    assert 0.935 <= covers(found, 1.0) <= 0.98


def passed(z: float, value: float, spread: float) -> s.Estimate:
    """The interval of ``value``, whose own standard error is that of ``z``."""
    found = s.Estimate(value, sufficiency=(z / s.LIMIT_Z) ** 2, spread=spread)
    return s.latency_interval(s.reciprocal(found, s.Z_95 * value / z))


def test_the_interval_of_a_long_series_is_that_of_its_own_spread() -> None:
    own = s.reciprocal(s.Estimate(3.0, sufficiency=1e4, least=1.0), 0.2)
    assert (own.low, own.high) == pytest.approx((1 + 2 / 1.1, 1 + 2 / 0.9))
    found = s.latency_interval(own)
    assert (found.low, found.high) == pytest.approx((own.low, own.high), rel=1e-3)
    short = s.latency_interval(replace(own, sufficiency=0.99))
    assert (short.low, short.high) == (-math.inf, math.inf)


def test_a_constant_part_of_a_latency_does_not_hide_its_interval() -> None:
    waits = np.random.default_rng(15).exponential(1.0, 2000)
    bare, served = (series.mean_of_series(waits + least, skewed=True) for least in (0.0, 50.0))
    assert served.least == pytest.approx(50, abs=0.01) and served.sufficiency > 1
    assert bare.half_width <= served.half_width < 2 * bare.half_width


def test_a_walk_tells_of_a_percentile_where_order_statistics_have_no_bound() -> None:
    """The 99th percentile of 1,000 dependent values is the tenth from above: too near the end."""
    draw = np.random.default_rng(16)
    drawn = queue(draw, 0.5, (40, 1000), False).latency
    found = [series.quantile(x, 0.99, skewed=True) for x in drawn]
    told = [e for e in found if math.isfinite(e.high)]
    assert len(told) > 30
    assert np.median([e.high / e.value for e in told]) < 2.0  # 2.7 with an end at infinity


def test_how_far_a_latency_is_a_walk() -> None:
    """Near saturation 1 / mean; where a constant part holds it, less; independent values, none."""
    draw = np.random.default_rng(17)
    busy, calm = (queue(draw, load, (1, 20_000), True).latency[0] for load in (0.95, 0.5))
    powers = [series.walk_worth(x)[1] for x in (busy, calm, draw.exponential(1, 1000))]
    assert powers == pytest.approx([0.95, 0.56, series.LEAST_POWER], abs=0.04)


@pytest.mark.slow
def test_rates_cover_95_percent() -> None:
    generator = np.random.default_rng(11)
    found = []
    for _ in range(RUNS):
        times = np.cumsum(generator.exponential(1 / 50, 800))
        found.append(series.event_rate(times, 1.0, 11.0))
    assert 0.93 <= covers(found, 50.0) <= 0.97


@pytest.mark.slow
def test_effects_cover_95_percent() -> None:
    generator = np.random.default_rng(12)
    paired, unpaired, combined = [], [], []
    for _ in range(RUNS):
        shared = generator.normal(10, 3, 6)
        a, b = shared + generator.normal(0, 1, 6), shared + generator.normal(0.5, 1, 6)
        paired.append(s.paired_effect(a, b).estimate)
        x, y = generator.normal(10, 1, 5), generator.normal(10.5, 2, 8)
        unpaired.append(s.unpaired_effect(x, y).estimate)
        u, v = (
            s.wilson(generator.binomial(900, 0.9), 900),
            s.wilson(generator.binomial(700, 0.95), 700),
        )
        combined.append(s.combined_effect(u, v).estimate)
    assert 0.93 <= covers(paired, 0.5) <= 0.97
    assert 0.93 <= covers(unpaired, 0.5) <= 0.97
    assert 0.93 <= covers(combined, 0.05) <= 0.97


@pytest.mark.slow
def test_the_growth_test_seldom_sees_growth_where_there_is_none() -> None:
    generator = np.random.default_rng(13)
    times = np.arange(500) / 10
    found = [series.growth(times, autoregressive(generator, 500, 0.6, 20)) for _ in range(RUNS)]
    assert sum(t.p_value < 0.05 for t in found) / RUNS < 0.05
    walks = [series.growth(times, generator.normal(size=500).cumsum()) for _ in range(RUNS)]
    assert 0.02 < sum(t.p_value < 0.05 for t in walks) / RUNS < 0.06  # the hardest case
    growing = [series.growth(times, autoregressive(generator, 500, 0.6, 20) + 2 * times)
               for _ in range(100)]  # fmt: skip
    assert all(t.p_value < 0.01 for t in growing)
    assert np.mean([t.growth for t in growing]) == pytest.approx(100, rel=0.05)


# --- against scipy and hand-computed values ------------------------------------------------------


@given(n=st.integers(1, 3000), share=st.floats(0, 1))
def test_wilson_is_scipys(n: int, share: float) -> None:
    successes = round(n * share)
    ours = s.wilson(successes, n)
    theirs = stats.binomtest(successes, n).proportion_ci(0.95, "wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(share=st.sampled_from([0.025, 0.975]), n=st.integers(1, 500), p=st.floats(0.01, 0.99))
def test_the_binomial_quantile_is_scipys(share: float, n: int, p: float) -> None:
    assert series._binomial_quantile(share, n, p) == stats.binom.ppf(share, n, p)


def test_tests_agree_with_scipys() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.normal(0, 1, 9), generator.normal(1, 2, 9)
    assert s.paired_effect(a, b).p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    welch = stats.ttest_ind(b, a, equal_var=False)
    ours = s.unpaired_effect(a, b)
    assert ours.p_value == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval(0.95)
    assert (ours.estimate.low, ours.estimate.high) == pytest.approx((interval.low, interval.high))
    t, x = np.arange(27.0), np.concatenate([a, a, b])
    assert series.growth(t, x).slope == pytest.approx(stats.linregress(t, x).slope)


SIDES = st.tuples(st.floats(-10, 10), st.floats(0, 5), st.floats(0, 5))


@given(SIDES, SIDES)
def test_a_p_value_and_its_interval_say_the_same(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> None:
    one, other = (s.Estimate(v, v - below, v + above) for v, below, above in (a, b))
    found = s.combined_effect(one, other)
    apart = min(abs(found.estimate.low), abs(found.estimate.high)) > 1e-9
    without_zero = not found.estimate.low <= 0 <= found.estimate.high
    assert not apart or (found.p_value < 0.05) == without_zero


def test_equal_values_without_an_interval_do_not_differ() -> None:
    exact = s.Estimate(4.0, 4.0, 4.0, 9)
    assert s.combined_effect(exact, exact).p_value == 1
    other = s.combined_effect(exact, s.Estimate(5.0, 5.0, 5.0, 9))  # no spread proves nothing
    assert (
        other.estimate.value == 1 and math.isnan(other.p_value) and math.isnan(other.estimate.low)
    )
    assert math.isnan(s.combined_effect(exact, s.Estimate(4.0)).p_value)


def test_holm_by_hand() -> None:
    assert s.holm([0.01, 0.04, 0.03, math.nan]) == pytest.approx(
        [0.03, 0.06, 0.06, math.nan], nan_ok=True
    )
    assert s.holm([0.9, 0.8]) == [1.0, 1.0]
    assert s.holm([]) == []


def test_order_statistics_by_hand() -> None:
    values = np.arange(1, 101, dtype=float)
    median = series.quantile(values, 0.5, dependent=False)
    assert (median.value, median.low, median.high) == (50, 40, 61)
    p99 = series.quantile(values, 0.99, dependent=False)
    assert (p99.value, p99.low, p99.high) == (99, 97, math.inf)
    assert not series.quantile([], 0.5).known


def test_too_little_data_has_a_value_and_no_interval() -> None:
    few = series.mean_of_series([1.0, 2.0])
    assert (few.value, few.n) == (1.5, 2) and math.isinf(few.low)
    one = s.mean_of_independent([4.0])
    assert one.value == 4 and math.isnan(one.high)
    for nothing in (
        series.mean_of_series([]),
        s.wilson(0, 0),
        series.event_rate([1.0], 2, 2),
        series.quantile([], 0.9),
    ):
        assert not nothing.known


def test_a_constant_series_has_a_zero_width_interval() -> None:
    flat = series.mean_of_series(np.ones(100))
    assert (flat.low, flat.value, flat.high) == (1, 1, 1)
    assert series.quantile(np.ones(200), 0.95).low == 1
    assert series.growth(np.arange(100), np.ones(100)).growth == 0
    late = series.growth(np.arange(32), np.maximum(0, np.arange(32) - 12.0))  # none is left out
    assert late.growth < 25


@pytest.mark.parametrize(("runs", "p_value"), [(2, 0.5), (3, 0.25), (6, 1 / 32)])
def test_equal_differences_have_the_p_value_of_their_signs(runs: int, p_value: float) -> None:
    found = s.paired_effect(np.ones(runs), np.ones(runs) + 0.0005)
    assert found.p_value == p_value
    assert found.estimate.value == pytest.approx(0.0005) and math.isnan(found.estimate.low)
    apart = s.unpaired_effect(np.ones(runs), np.ones(runs) + 0.0005)
    assert apart.p_value == pytest.approx(min(1, 2 / math.comb(2 * runs, runs)))


def test_warm_up_is_found_where_it_is() -> None:
    generator = np.random.default_rng(5)
    steady = generator.normal(10, 1, 2000)
    warming = np.concatenate([steady[:200] + np.linspace(20, 0, 200), steady[200:]])
    cut = s.warm_up_length(warming)
    assert cut is not None and 120 <= cut <= 260
    cut = s.warm_up_length(steady)
    assert cut is not None and cut < 400
    assert s.warm_up_length(np.linspace(0, 10, 500) ** 2) is None
    assert s.warm_up_length([1.0] * 20) is None


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=30),
    st.floats(0, 50), st.floats(1, 50),
)  # fmt: skip
def test_time_average_is_the_mean_number_of_open_stays(
    stays: list[tuple[float, float]], start: float, length: float
) -> None:
    starts = np.array([a for a, _ in stays])
    ends = starts + np.array([d for _, d in stays])
    window = (start, start + length)
    grid = np.linspace(*window, 2001)
    counted = [np.sum((starts <= t) & (t < ends)) for t in grid]
    measured = s.time_average(starts, ends, window) if stays else 0.0
    assert measured == pytest.approx(
        integrate.trapezoid(counted, grid) / length, abs=0.03 * max(1, len(stays))
    )
