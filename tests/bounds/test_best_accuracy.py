"""The best accuracy at a rate, against hand-solved cases and exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mdibench.bounds.best_accuracy import NO_EXIT, Outcomes, ThresholdSearch, best_accuracy
from mdibench.bounds.capacity import Demand, Fleet

ALONE = Fleet([frozenset({1, 2})], {})
TWO_BLOCKS = Demand([[0.01, 0.03]], [1.0, 0.0], {})


def surely(first: list[bool], last: list[bool]) -> Outcomes:
    """Two exits; the first is the surer the earlier the item stands in the list."""
    confidences = np.array([np.linspace(0.9, 0.1, len(first)), np.full(len(first), 0.5)])
    return Outcomes(confidences, np.array([first, last]))


def test_with_time_enough_every_item_goes_where_it_is_right() -> None:
    """Exit 1 is right about its surest half, exit 2 about the rest only."""
    outcomes = surely([True, True, False, False], [False, False, True, True])
    best = best_accuracy(ALONE, TWO_BLOCKS, outcomes, 10.0)
    assert best is not None
    assert best.accuracy == pytest.approx(1.0)


def test_a_mixture_by_hand() -> None:
    """Exit 1 guesses half right, exit 2 all; 10 ms and 30 ms more.

    At 50 items a second, 20 ms an item: a third may go on, so 1/2 + 1/3 x 1/2 are right. Exit 1
    knows nothing of its own errors, so that no threshold is better than chance.
    """
    right = [True, False] * 20
    outcomes = Outcomes(np.full((2, 40), 0.5), np.array([right, [True] * 40]))
    best = best_accuracy(ALONE, TWO_BLOCKS, outcomes, 50.0)
    assert best is not None
    assert best.accuracy == pytest.approx(0.5 + 0.5 / 3)
    weights = {option.thresholds[0] > 0.5: share for share, option in best.mixture}
    assert weights == {True: pytest.approx(1 / 3), False: pytest.approx(2 / 3)}


def test_no_accuracy_beyond_what_the_first_exit_can_carry() -> None:
    outcomes = surely([True] * 4, [True] * 4)
    best = best_accuracy(ALONE, TWO_BLOCKS, outcomes, 100.0)
    assert best is not None
    assert best.accuracy == pytest.approx(1.0)
    assert best_accuracy(ALONE, TWO_BLOCKS, outcomes, 100.1) is None


@pytest.mark.slow
@settings(max_examples=15)
@given(st.integers(0, 10_000))
@example(1402)  # one threshold at a time does not reach the best
def test_accuracy_falls_with_the_rate_and_no_single_vector_beats_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    confidences = random.random((3, 60))
    outcomes = Outcomes(confidences, random.random((3, 60)) < confidences * [[0.7], [0.9], [1.0]])
    demand = Demand([[0.01, 0.01, 0.01]], [1.0, 1.0, 0.0], {})
    fleet = Fleet([frozenset({1, 2, 3})], {})
    bests = []
    for rate in (30.0, 50.0, 80.0):
        best = best_accuracy(fleet, demand, outcomes, rate)
        assert best is not None
        bests.append(best.accuracy)
        search = ThresholdSearch(outcomes)
        for thresholds in product((0.0, 0.3, 0.6, 0.9, NO_EXIT), repeat=2):
            option = search.option(np.array(thresholds))
            blocks = sum(k * share for k, share in enumerate(option.leaves, 1))
            if rate * blocks * 0.01 <= 1:
                assert option.accuracy <= best.accuracy + 0.02
    assert bests == pytest.approx(sorted(bests, reverse=True), rel=1e-12)  # but for rounding
