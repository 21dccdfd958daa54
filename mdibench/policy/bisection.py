"""The highest rate that still passes, by doubling or halving and then by bisection.

Rates are compared by their ratio: the middle of 10 and 40 is 20.
"""

from __future__ import annotations

import math

STEPS = 12
"""Doublings or halvings before the search gives up: a factor of 4096."""


class Bisection:
    """Ask ``next_rate``, try it, ``tell``; until there is none to try.

    ``highest`` passed, ``lowest`` did not; they end within ``precision`` (relative) of each other.
    """

    def __init__(self, start: float, precision: float) -> None:
        self.highest: float | None = None
        self.lowest: float | None = None
        self._start = start
        self._precision = precision

    def next_rate(self) -> float | None:
        """The rate to try next; None when the search is over."""
        if self.highest is None and self.lowest is None:
            return self._start
        if self.lowest is None:
            assert self.highest is not None
            return self._within(2 * self.highest)
        if self.highest is None:
            return self._within(self.lowest / 2)
        if self.lowest <= self.highest * (1 + self._precision):
            return None
        return math.sqrt(self.highest * self.lowest)

    def tell(self, rate: float, passed: bool) -> None:
        """What became of ``rate``."""
        if passed:
            self.highest = max(rate, self.highest or rate)
        else:
            self.lowest = min(rate, self.lowest or rate)

    def _within(self, rate: float) -> float | None:
        return rate if abs(math.log2(rate / self._start)) <= STEPS else None
