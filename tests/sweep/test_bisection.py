"""The search for the highest rate that passes, against every possible boundary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mdibench.sweep.search import MAX_DOUBLINGS, Bisection


def search(start: float, precision: float, boundary: float) -> tuple[Bisection, list[float]]:
    """A search in which rates up to ``boundary`` pass, and the rates that it tried."""
    bisection = Bisection(start, precision)
    tried = []
    while (rate := bisection.next_rate()) is not None:
        tried.append(rate)
        bisection.tell(rate, rate <= boundary)
    return bisection, tried


def test_it_doubles_until_a_rate_fails_and_then_halves_the_ratio() -> None:
    bisection, tried = search(10.0, 0.5, 30.0)
    assert tried[:3] == [10.0, 20.0, 40.0]
    assert tried[3] == (20 * 40) ** 0.5
    assert bisection.highest == tried[3]


@given(
    start=st.floats(0.5, 500),
    precision=st.floats(0.01, 0.5),
    ratio=st.floats(2.0**-10, 2.0**10),
)
def test_the_boundary_is_found_within_the_precision(
    start: float, precision: float, ratio: float
) -> None:
    boundary = start * ratio
    bisection, tried = search(start, precision, boundary)
    assert bisection.highest is not None
    assert bisection.lowest is not None
    assert bisection.highest <= boundary < bisection.lowest
    assert bisection.lowest <= bisection.highest * (1 + precision) * (1 + 1e-12)
    assert len(set(tried)) == len(tried) <= MAX_DOUBLINGS + 8


def test_a_system_that_always_fails_or_always_passes_ends_the_search() -> None:
    never, tried = search(10.0, 0.1, 0.0)
    assert never.highest is None
    assert len(tried) == MAX_DOUBLINGS + 1
    always, tried = search(10.0, 0.1, float("inf"))
    assert always.highest == 10.0 * 2**MAX_DOUBLINGS
