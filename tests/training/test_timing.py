import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.training.profiling import WARMUP_CALLS, median_interval, time_calls


def test_a_fake_clock_is_read_around_every_call() -> None:
    times = iter([0.0, 1.0, 10.0, 12.0, 20.0, 23.0])
    calls = []
    result = time_calls(lambda: calls.append(1), repeats=3, clock=lambda: next(times))
    assert len(calls) == 3 + WARMUP_CALLS
    assert (result.low_s, result.median_s, result.high_s) == (1.0, 2.0, 3.0)
    assert result.repeats == 3


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60))
def test_the_interval_holds_the_median(durations) -> None:
    result = median_interval(durations)
    assert result.median_s == pytest.approx(float(np.median(durations)))
    assert result.low_s <= result.median_s <= result.high_s
    assert {result.low_s, result.high_s} <= set(durations)


def test_the_interval_covers_the_true_median_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        result = median_interval(rng.exponential(1.0, 51).tolist())
        hits += result.low_s <= np.log(2) <= result.high_s
    assert 0.94 <= hits / 1000 <= 0.98
