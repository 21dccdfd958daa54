"""Timing of short calls: medians with distribution-free confidence intervals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WARMUP_CALLS = 3
Z = 1.96
"""Two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Median:
    """A median with its 95 % interval, seconds, and the spread of single calls.

    ``deciles_s`` are the shortest time, the 10 %, 20 %, ... quantiles, and the longest.
    """

    median_s: float
    low_s: float
    high_s: float
    repeats: int
    deciles_s: tuple[float, ...] = ()


def median_interval(durations: Sequence[float]) -> Median:
    """Median and order-statistics interval: the ranks n/2 +- 1.96 sqrt(n)/2 (binomial, normal)."""
    ordered = sorted(durations)
    count = len(ordered)
    half = Z * math.sqrt(count) / 2
    low = max(0, math.floor((count - 1) / 2 - half))
    high = min(count - 1, math.ceil((count - 1) / 2 + half))
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    deciles = tuple(ordered[round(tenth * (count - 1) / 10)] for tenth in range(11))
    return Median(middle, ordered[low], ordered[high], count, deciles)


def time_calls(
    call: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Median:
    """The time of ``call()``, after ``WARMUP_CALLS`` untimed calls."""
    for _ in range(WARMUP_CALLS):
        call()
    durations = []
    for _ in range(repeats):
        started = clock()
        call()
        durations.append(clock() - started)
    return median_interval(durations)
