"""Knowing a figure: whoever stops once the interval is narrow enough is seldom wrong."""

from __future__ import annotations

import math
import random

import pytest

from mdibench.core.precision import FEWEST, FIRST_SIZE, P, PercentilePrecision, Precision


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
    assert within >= 0.95  # what a 95 % interval promises
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


def exceeding(draw: random.Random, load: float, share: float) -> tuple[float, int]:
    """How far from the truth p95 was when its precision was reached, in an M/M/1 queue."""
    precision, waited, seen = PercentilePrecision(), 0.0, []
    for _ in range(400_000):
        service = draw.expovariate(1)
        seen.append(waited + service)
        waited = max(0.0, waited + service - draw.expovariate(load))
        if precision.add(seen[-1]) and precision.half_share <= share:
            found = sorted(seen)[math.ceil(P * len(seen)) - 1]
            return found / (-math.log(1 - P) / (1 - load)) - 1, len(seen)
    raise AssertionError("never known")


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.3, 0.6])
def test_a_percentile_that_is_known_to_a_share_is_within_it(load: float) -> None:
    draw, share, sets = random.Random(7), 0.1, 30
    found = [exceeding(draw, load, share) for _ in range(sets)]
    assert sum(abs(error) <= share for error, _ in found) / sets >= 0.9
    assert max(count for _, count in found) < 60_000


def test_a_percentile_of_few_values_or_of_dropped_ones_is_not_known() -> None:
    precision = PercentilePrecision()
    for at in range(FEWEST * FIRST_SIZE):
        assert precision.half_share == math.inf
        precision.add(1.0 + at % 7)
    assert precision.half_share < 0.2
    dropping = PercentilePrecision()
    for at in range(FEWEST * FIRST_SIZE):
        dropping.add(math.inf if at % 15 == 0 else 1.0 + at % 7)
    assert dropping.half_share == math.inf


def test_steps_of_a_percentile_are_fine_and_bounded() -> None:
    for value in (1e-9, 1e-3, 7.0, 1e6, math.inf):
        precision = PercentilePrecision()
        for _ in range(64 * FIRST_SIZE):
            precision.add(value)
        known = precision.half_share
        assert known == (math.inf if value == math.inf else 0.0)
