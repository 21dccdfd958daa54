"""Knowing a figure: whoever stops once the interval is narrow enough is seldom wrong."""

from __future__ import annotations

import math
import random

import pytest

from mdibench.core.ledger import FEWEST, FIRST_SIZE, Precision


def stopped(draw: random.Random, correlation: float, share: float) -> tuple[float, int]:
    """The mean when the precision was reached, and after how many values; of mean 10."""
    precision, total, value = Precision(), 0.0, 0.0
    for count in range(1, 200_001):
        value = correlation * value + draw.gauss(0, 1)
        total += 10 + value
        if precision.add(10 + value) and precision.half_share <= share:
            return total / count, count
    raise AssertionError("never known")


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_what_is_known_to_a_share_is_within_it(correlation: float) -> None:
    draw, share, sets = random.Random(4), 0.03, 100
    found = [stopped(draw, correlation, share) for _ in range(sets)]
    within = sum(abs(mean / 10 - 1) <= share for mean, _ in found) / sets
    assert within >= 0.9
    wanted = (1.96 / (10 * share * (1 - correlation))) ** 2  # of values, by the normal distribution
    average = sum(count for _, count in found) / sets
    assert average <= 3 * max(wanted, FEWEST * FIRST_SIZE)


def test_nothing_is_known_of_too_few_values() -> None:
    precision = Precision()
    for _ in range(FEWEST * FIRST_SIZE - 1):
        precision.add(1.0)
    assert precision.half_share == math.inf
    precision.add(1.0)
    assert precision.half_share == 0.0


def test_batches_that_follow_each_other_tell_nothing() -> None:
    precision = Precision()
    for value in range(3000):
        precision.add(float(value))
    assert precision.half_share == math.inf
