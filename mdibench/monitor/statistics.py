"""Statistics of the snapshot: the interval of a share, and percentiles of many latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdibench.analysis.shares import wilson_interval
from mdibench.monitor.columns import Array

LEAST_OBSERVATIONS = 30
"""Below this many observations a share is not shown as a percentage."""
EXACT_UP_TO = 1 << 16
BUCKETS_PER_E = 100
"""Log buckets are 1 % wide: percentiles of more than ``EXACT_UP_TO`` values are that exact."""
_SMALLEST_S = 1e-6
BUCKETS = 2200


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``count``, with the Wilson score interval at 95 %."""

    hits: float
    count: int

    @property
    def value(self) -> float:
        """The share itself; NaN when nothing was counted."""
        return self.hits / self.count if self.count else math.nan

    @property
    def few(self) -> bool:
        """Whether there are too few observations for a percentage."""
        return self.count < LEAST_OBSERVATIONS

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end (Wilson 1927); (0, 1) when nothing was counted."""
        return wilson_interval(self.hits, self.count)

    @property
    def margin(self) -> float:
        """Half the interval's width."""
        low, high = self.interval
        return (high - low) / 2


def bucket(latency_s: Array) -> Array:
    """Index of each latency's log bucket; NaN goes to bucket 0."""
    clean = np.where(np.isnan(latency_s), 0.0, latency_s)
    index = np.log(np.maximum(clean, _SMALLEST_S) / _SMALLEST_S) * BUCKETS_PER_E
    return np.asarray(np.minimum(index, BUCKETS - 1), np.int16)


def percentiles(latency_s: Array, buckets: Array, shares: Sequence[float]) -> tuple[float, ...]:
    """Latencies below which each of ``shares`` (0 to 1) of the values lie; NaN without values.

    Exact order statistics up to ``EXACT_UP_TO`` values, upper ends of log buckets beyond.
    """
    count = len(latency_s)
    if not count:
        return (math.nan,) * len(shares)
    places = [min(count - 1, max(0, math.ceil(share * count) - 1)) for share in shares]
    if count <= EXACT_UP_TO:
        ordered = np.partition(latency_s, sorted(set(places)))
        return tuple(float(ordered[place]) for place in places)
    reached = np.cumsum(np.bincount(buckets, minlength=BUCKETS))
    ends = [int(np.searchsorted(reached, place, side="right")) for place in places]
    return tuple(_SMALLEST_S * math.exp((end + 0.5) / BUCKETS_PER_E) for end in ends)
