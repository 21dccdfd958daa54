"""Figures of the monitor: shares with intervals, percentiles, and every kind of number as text."""

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


# --- text ----------------------------------------------------------------------------------------

UNKNOWN_TEXT = "–"
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    """A whole number with thousands: ``12,345``; ``1.23 M`` from ten million on."""
    if value is None or math.isnan(value):
        return UNKNOWN_TEXT
    if abs(value) >= 1e7:
        return f"{value / 1e6:,.1f} M"
    return f"{int(value):,}"


def figure(value: float) -> str:
    """Three significant digits: ``0.12``, ``48.7``, ``312``; ``18,312``; ``183 k``."""
    if math.isnan(value) or math.isinf(value):
        return UNKNOWN_TEXT
    for size, unit in _STEPS:
        if abs(value) >= max(size, 1e5):
            return f"{_digits(value / size)} {unit}"
    return _digits(value)


def _digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def rate(value: float) -> str:
    """A rate per second, one decimal below a hundred: ``48.7``, ``312``."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.1f}"


def percent(value: float) -> str:
    """A share of one: ``96.2 %``."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    return f"{100 * value:.0f} %" if value >= 0.9995 else f"{100 * value:.1f} %"


def whole_percent(value: float) -> str:
    """A share without decimals: ``71 %``."""
    return UNKNOWN_TEXT if math.isnan(value) else f"{100 * value:.0f} %"


def accuracy(share: Share) -> str:
    """A share of right answers; ``n<30`` where there are too few for a percentage."""
    return f"n<{LEAST_OBSERVATIONS}" if share.few else percent(share.value)


def margin(share: Share) -> str:
    """Half the Wilson interval in points: ``±0.9``."""
    return "" if share.few else f"±{100 * share.margin:.1f}"


def milliseconds(seconds: float) -> str:
    """A short time: ``0.12 ms``, ``83.4 ms``, ``1.20 s``."""
    if math.isnan(seconds):
        return UNKNOWN_TEXT
    if abs(seconds) >= 0.9995:
        return f"{_digits(seconds)} s"
    return f"{bare_milliseconds(seconds)} ms"


def bare_milliseconds(seconds: float) -> str:
    """Milliseconds without their unit."""
    return UNKNOWN_TEXT if math.isnan(seconds) else _digits(seconds * 1e3)


def clock(seconds: float) -> str:
    """Run time: ``00:07``, ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes:02}:{whole % 60:02}"


def bytes_of(value: float) -> str:
    """A size: ``412 B``, ``16.2 KB``, ``3.1 MB`` (powers of 1000)."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if abs(value) >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{value:.0f} B"
