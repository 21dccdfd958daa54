"""How precisely a run knows a figure so far: what ``run.until`` waits for.

Batch means that test themselves, as a run goes on: when there are too many, neighbours are joined,
and the interval counts only while neighbouring batches are hardly correlated (Law and Carson 1979;
Fishman 1978). Of a percentile, the batches are those of the share of values beyond it, and its
interval has the percentiles that are as far away as that share may be off (Heidelberger and Lewis
1984). Pure; called by ``source``.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from mdibench.core.setup import Until

FEWEST, MOST = 32, 64
"""Batches that are judged, and that are joined in pairs."""
FIRST_SIZE = 16
"""Values of a batch at first."""
STUDENT = 2.04
"""97.5 % quantile of Student's t with ``FEWEST`` - 1 degrees of freedom."""
CORRELATED = 0.25
"""Correlation of neighbouring batches from which they are too short to be judged."""
CAUTION = 1.1
"""An interval that decides when to stop is too narrow by chance more often than others."""

P = 0.95
"""The percentile that can be waited for."""
LEAST = 1e-6
PER_E = 500
HIGHEST = 2**16 - 1
"""A percentile is known to one of ``PER_E`` logarithmic steps per factor e: to 0.2 %."""


class Precision:
    """The mean of a series of values, with its precision."""

    def __init__(self) -> None:
        self._size = FIRST_SIZE
        self._means: list[float] = []
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> bool:
        """The next value; whether it completes a batch, so that the precision is another."""
        self._sum += value
        self._count += 1
        if self._count < self._size:
            return False
        self._means.append(self._sum / self._size)
        self._sum, self._count = 0.0, 0
        if len(self._means) == MOST:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [(a + b) / 2 for a, b in pairs]
            self._size *= 2
        return True

    @property
    def half_share(self) -> float:
        """Half the interval as a share of the mean; infinite while it cannot be told."""
        mean = sum(self._means) / len(self._means) if self._means else 0.0
        return _half_width(self._means) / abs(mean) if mean else math.inf


class PercentilePrecision:
    """The 95th percentile of a series of positive values, with its precision.

    Values are kept as logarithmic steps, two bytes each, in order within their batch.
    """

    def __init__(self) -> None:
        self._size = FIRST_SIZE
        self._batches: list[Sequence[int]] = []
        self._open = array("H")

    def add(self, value: float) -> bool:
        """The next value, infinite where there is none; whether it completes a batch."""
        self._open.append(_step(value))
        if len(self._open) < self._size:
            return False
        self._batches.append(_ordered(self._open))
        self._open = array("H")
        if len(self._batches) == MOST:
            pairs = zip(self._batches[::2], self._batches[1::2], strict=True)
            self._batches = [_ordered(a, b) for a, b in pairs]
            self._size *= 2
        return True

    @property
    def half_share(self) -> float:
        """Half the interval as a share of the percentile; infinite while it cannot be told."""
        if len(self._batches) < FEWEST:
            return math.inf
        middle = self._percentile(P)
        beyond = [1 - bisect_left(batch, middle + 1) / self._size for batch in self._batches]
        half = _half_width(beyond)
        if not half < 1 - P:
            return math.inf
        low, high = self._percentile(P - half), self._percentile(P + half)
        if high == HIGHEST:
            return math.inf
        return (math.exp((high - middle) / PER_E) - math.exp((low - middle) / PER_E)) / 2

    def _percentile(self, p: float) -> int:
        """The least step with a share ``p`` of all values up to it."""
        wanted = p * self._size * len(self._batches)
        low, high = 0, HIGHEST
        while low < high:
            middle = (low + high) // 2
            enough = sum(bisect_left(batch, middle + 1) for batch in self._batches) >= wanted
            low, high = (low, middle) if enough else (middle + 1, high)
        return low


def _step(value: float) -> int:
    if not value < math.inf:
        return HIGHEST
    return min(HIGHEST - 1, max(0, round(math.log(max(value, LEAST) / LEAST) * PER_E)))


def _ordered(*batches: Sequence[int]) -> Sequence[int]:
    return array("H", sorted(step for batch in batches for step in batch))


def precision_of(until: Until | None) -> Precision | PercentilePrecision:
    """What keeps the figure that ``until`` names."""
    return PercentilePrecision() if until and until.figure == "latency p95" else Precision()


def _half_width(means: Sequence[float]) -> float:
    """Of the mean of batch means; infinite for too few batches, or where they are correlated."""
    n = len(means)
    if n < FEWEST:
        return math.inf
    mean = sum(means) / n
    deviations = [value - mean for value in means]
    square = sum(d * d for d in deviations)
    if square > 0 and _neighbours(deviations) > CORRELATED * square:
        return math.inf
    return CAUTION * STUDENT * math.sqrt(square / (n - 1) / n)


def _neighbours(deviations: Sequence[float]) -> float:
    return sum(a * b for a, b in pairwise(deviations))
