"""What reports and the live monitor share: estimates, shares, percentiles, and crowded hosts.

numpy only, as a monitor that draws a screen must not wait for scipy. Source: Wilson 1927.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided intervals at 95 %."""
MOST_SAMPLES = 1 << 24
"""Numbers of samples that are told apart; none of the data sets is so large."""
LEAST_OBSERVATIONS = 30
"""Below this many observations a share is not shown as a percentage."""
EXACT_UP_TO = 1 << 16
BUCKETS_PER_E = 100
"""Log buckets are 1 % wide: percentiles of more than ``EXACT_UP_TO`` values are that exact."""
_SMALLEST_S = 1e-6
BUCKETS = 2200


def wilson_interval(hits: float, count: float) -> tuple[float, float]:
    """Wilson's score interval at 95 %; (0, 1) where nothing was counted."""
    if count <= 0:
        return 0.0, 1.0
    share, z2 = hits / count, Z_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    variance = share * (1 - share) / count + z2 / (4 * count * count)
    half = Z_95 / (1 + z2 / count) * math.sqrt(variance)
    return max(0.0, centre - half), min(1.0, centre + half)


def sample_means(samples: ArrayLike, values: ArrayLike) -> Numbers:
    """The mean of the values of each sample, in order of first appearance.

    A sample that is sent again is no further independent observation. A value whose sample is not
    known (NaN, negative or above ``MOST_SAMPLES``) stands for itself.
    """
    samples, values = np.asarray(samples), np.asarray(values, np.float64)
    known = (samples >= 0) & (samples < MOST_SAMPLES)
    places, ids = np.flatnonzero(known), samples[known].astype(np.int64)
    times = np.bincount(ids)
    seen = times > 0
    first = np.zeros(times.size, np.int64)
    first[ids[::-1]] = places[::-1]  # of several places, numpy keeps the last one assigned
    means = np.bincount(ids, values[known])[seen] / times[seen]
    order = np.argsort(np.concatenate((first[seen], np.flatnonzero(~known))))
    every: Numbers = np.concatenate((means, values[~known]))[order]
    return every


def right_samples(samples: ArrayLike, right: ArrayLike) -> tuple[float, int]:
    """Right answers and answers, each distinct sample counting once, by its mean."""
    means = sample_means(samples, right)
    return float(means.sum()), int(means.size)


def crowded_hosts(manifest: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Hosts with more real ranks than cores: number of ranks and of cores by host."""
    plan = manifest.get("plan") or {}
    if manifest.get("kind") == "simulated" or any(plan.get("devices") or ()):
        return {}
    facts = [rank for rank in manifest.get("ranks") or () if rank.get("cores")]
    ranks = Counter(str(rank.get("host")) for rank in facts)
    cores = {str(rank.get("host")): int(rank["cores"]) for rank in facts}
    return {host: (n, cores[host]) for host, n in ranks.items() if n > cores[host]}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval of level ``LEVEL``.

    NaN stands for not available, an infinite bound for one that the data cannot give. ``n`` is
    the number of observations (items, distinct samples of an accuracy, or runs where repeats were
    combined).
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    sufficiency: float = math.nan
    """Of a dependent series: what it is worth in independent values, as a share of what an interval
    needs. NaN where values are independent."""
    least: float = 0.0
    """Of a latency: the smallest of the series. Its interval scales what lies above that."""
    power: float = 1.0
    """Of a latency: its relative standard error grows with this power of what lies above."""
    spread: float = 1.0
    """Of a latency: standard error of what says whether its series is sufficient, over its own."""

    @property
    def known(self) -> bool:
        """Whether there is a figure at all."""
        return not math.isnan(self.value)

    @property
    def half_width(self) -> float:
        """Half the interval's width; NaN or infinite where it has none."""
        return (self.high - self.low) / 2

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit; ``factor`` is positive."""
        scaled = (each * factor for each in (self.value, self.low, self.high, self.least))
        value, low, high, least = scaled
        return replace(self, value=value, low=low, high=high, least=least)

    def within(self, least: float, most: float = math.inf) -> Estimate:
        """The same without what no such figure can be; an unknown bound stays so."""
        low = self.low if math.isinf(self.low) else max(self.low, least)
        high = self.high if math.isinf(self.high) else min(self.high, most)
        return replace(self, low=low, high=high)


UNKNOWN = Estimate(math.nan)


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


def bucket(latency_s: Numbers) -> Numbers:
    """Index of each latency's log bucket; NaN goes to bucket 0."""
    clean = np.where(np.isnan(latency_s), 0.0, latency_s)
    index = np.log(np.maximum(clean, _SMALLEST_S) / _SMALLEST_S) * BUCKETS_PER_E
    return np.asarray(np.minimum(index, BUCKETS - 1), np.int16)


def percentiles(latency_s: Numbers, buckets: Numbers, shares: Sequence[float]) -> tuple[float, ...]:
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
