"""How precisely a run knows a figure so far: what ``run.until`` waits for.

Batch means that test themselves, as a run goes on: when there are too many, neighbours are joined,
and the interval counts only while neighbouring batches are hardly correlated (Law and Carson 1979;
Fishman 1978). Pure; called by ``source``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

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

Figure = Literal["rate", "latency", "accuracy"]


@dataclass(frozen=True, slots=True)
class Until:
    """Which figure a run shall know, and to which share of its value (half the 95 % interval)."""

    figure: Figure
    share: float


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
        n = len(self._means)
        mean = sum(self._means) / n if n else 0.0
        if n < FEWEST or mean == 0:
            return math.inf
        deviations = [value - mean for value in self._means]
        square = sum(d * d for d in deviations)
        if square > 0 and _neighbours(deviations) > CORRELATED * square:
            return math.inf
        return CAUTION * STUDENT * math.sqrt(square / (n - 1) / n) / abs(mean)


def _neighbours(deviations: Sequence[float]) -> float:
    return sum(a * b for a, b in pairwise(deviations))
