import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.analysis.shares import EXACT_UP_TO, Share, bucket, percentiles, right_samples


def test_wilson_interval_agrees_with_the_published_example() -> None:
    # Newcombe 1998, table I: 81 of 263, Wilson score without continuity correction.
    low, high = Share(81, 263).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_interval_of_nothing_is_everything() -> None:
    assert Share(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Share(0, 0).value)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_its_share(case: tuple[int, int]) -> None:
    share = Share(*case)
    low, high = share.interval
    assert 0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1


@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=200))
def test_percentiles_are_order_statistics(values: list[float]) -> None:
    latency_s = np.array(values)
    got = percentiles(latency_s, bucket(latency_s), (0.5, 0.95, 0.99))
    want = np.quantile(latency_s, (0.5, 0.95, 0.99), method="inverted_cdf")
    assert got == tuple(want)


def test_many_values_are_within_a_percent() -> None:
    latency_s = np.random.default_rng(1).lognormal(-3, 1, 2 * EXACT_UP_TO)
    got = percentiles(latency_s, bucket(latency_s), (0.5, 0.95, 0.99))
    want = np.quantile(latency_s, (0.5, 0.95, 0.99))
    assert got == pytest.approx(want, rel=0.01)


def test_percentiles_of_nothing_are_unknown() -> None:
    empty = np.array([])
    assert all(math.isnan(value) for value in percentiles(empty, bucket(empty), (0.5, 0.99)))


def test_a_sample_that_is_sent_again_counts_once() -> None:
    """Two thirds of sample 4 and all of 7; items without a sample count for themselves."""
    samples, right = np.array([4, 7, 4, 4, -1, -1]), np.array([1, 1, 0, 1, 1, 0])
    assert right_samples(samples, right) == (pytest.approx(2 / 3 + 1 + 1), 4)
    assert right_samples(samples[:0], right[:0]) == (0.0, 0)
