"""What reports and the live monitor share: shares with their intervals, and crowded hosts.

numpy only, as a monitor that draws a screen must not wait for scipy. Source: Wilson 1927.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided intervals at 95 %."""
MOST_SAMPLES = 1 << 24
"""Numbers of samples that are told apart; none of the data sets is so large."""


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
