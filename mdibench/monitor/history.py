"""Series over time: rows in at most ``MOST_BINS`` equal bins.

Bin widths are round numbers, and bins start at multiples of their width, so that a growing run
adds bins instead of shifting all of them. Called by ``snapshot_view``.

``Playhead`` is the moment that is on the screen: frozen, and without a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mdibench.analysis.shares import percentiles
from mdibench.monitor.columns import Array
from mdibench.monitor.snapshot import Floats, History
from mdibench.monitor.tables import RankTable, Tables

WIDTHS_S = tuple(step * 10.0**power for power in range(-1, 5) for step in (1.0, 2.0, 5.0))
MOST_BINS = 200
NARROWEST_S = 0.5
"""Narrower bins would show the noise of single arrivals."""
LEAST_SHARE = 0.5
"""The newest bin has a rate once this share of it has passed."""
LEAST_ITEMS = 30
"""The newest bin, while it is not full, shows nothing of fewer items than this."""
PERCENTILES = (0.5, 0.95, 0.99)
UNKNOWN = (math.nan,) * len(PERCENTILES)


@dataclass(frozen=True, slots=True)
class Span:
    """The time that the charts cover."""

    start_s: float
    end_s: float


def edges_of(span: Span, sample_s: float, bins: int = MOST_BINS) -> Array:
    """Edges of about ``bins`` bins at most that cover ``span``, none narrower than a sample."""
    least_s = max(NARROWEST_S, sample_s)
    length_s = max(span.end_s - span.start_s, sample_s, 1e-9)
    width_s = next((w for w in WIDTHS_S if w >= least_s and w * bins >= length_s), length_s / bins)
    first = math.floor(span.start_s / width_s + 1e-9)
    last = max(first + 1, math.ceil(span.end_s / width_s - 1e-9))
    return np.arange(first, last + 1) * width_s


class PercentileCache:
    """Percentiles of complete bins, so that only the newest bin is sorted again."""

    LIMIT = 4 * MOST_BINS

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Floats] = {}

    def latencies(self, tables: Tables, start: int, stop: int) -> Floats:
        """p50, p95, p99 of the completed items in rows ``start`` to ``stop``."""
        key = (start, stop)
        if key not in self._known:
            if len(self._known) >= self.LIMIT:
                self._known.clear()
            columns = tables.items.columns
            latency_s, buckets = columns["latency_s"][start:stop], columns["bucket"][start:stop]
            done = ~np.isnan(latency_s)
            self._known[key] = percentiles(latency_s[done], buckets[done], PERCENTILES)
        return self._known[key]


def history_of(tables: Tables, edges: Array, moment_s: float, cache: PercentileCache) -> History:
    """All series up to ``moment_s``; the last bin ends there."""
    ends = np.minimum(edges, moment_s)
    widths = _widths(ends, edges)
    columns = tables.items.columns
    cuts = np.searchsorted(columns["known_s"], ends, side="right")
    completed = np.diff(_count(columns["ok"], cuts))
    correct = np.diff(_count(columns["correct"], cuts))
    judged = completed + np.diff(_count(columns["lost"], cuts))
    if moment_s < edges[-1] and judged[-1] < LEAST_ITEMS:
        completed[-1] = judged[-1] = math.nan
    latency = [
        UNKNOWN if math.isnan(count) else cache.latencies(tables, int(a), int(b))
        for (a, b), count in zip(pairwise(cuts), judged, strict=True)
    ]
    source = tables.ranks.get(0, RankTable(tables.exits))
    ranks = [tables.ranks[rank] for rank in sorted(tables.ranks)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return History(
            edges_s=_floats(edges),
            completed_per_s=_floats(completed / widths),
            offered_per_s=_rate(source, "offered", edges, ends),
            accuracy=_floats(correct / np.where(judged > 0, judged, np.nan)),
            p50_s=tuple(each[0] for each in latency),
            p95_s=tuple(each[1] for each in latency),
            p99_s=tuple(each[2] for each in latency),
            threshold=_level(source, "threshold", ends),
            interarrival_s=_level(source, "interarrival_s", ends),
            in_flight=_level(source, "in_flight", ends),
            input_queue=tuple(_mean(rank, "input_queue", ends) for rank in ranks),
            output_queue=tuple(_mean(rank, "output_queue", ends) for rank in ranks),
        )


def _floats(values: Array) -> Floats:
    return tuple(values.tolist())


def _widths(ends: Array, edges: Array) -> Array:
    """Elapsed lengths of the bins; NaN where too short for a rate."""
    widths = np.diff(ends)
    return np.where(widths >= LEAST_SHARE * (edges[1] - edges[0]), widths, np.nan)


def _count(cumulative: Array, cuts: Array) -> Array:
    """A running count at each cut (0 before the first row)."""
    if not len(cumulative):
        return np.zeros(len(cuts))
    return np.where(cuts > 0, cumulative[np.maximum(cuts, 1) - 1], 0).astype(float)


def _places(rank: RankTable, ends: Array) -> Array:
    return np.searchsorted(rank.columns["t_s"], ends, side="right")


def _rate(rank: RankTable, name: str, edges: Array, ends: Array) -> Floats:
    """Increase per second of a counter, interpolated between samples, up to the newest one."""
    values, times = rank.columns[name], rank.columns["t_s"]
    known = ~np.isnan(values)
    if not known.any():
        return (math.nan,) * (len(ends) - 1)
    times, values = np.r_[0.0, times[known]], np.r_[0.0, values[known]]
    ends = np.minimum(ends, times[-1])
    return _floats(np.diff(np.interp(ends, times, values)) / _widths(ends, edges))


def _level(rank: RankTable, name: str, ends: Array) -> Floats:
    """The newest value at the end of each bin; NaN before the first and past the last sample."""
    places, values = _places(rank, ends), rank.columns[name]
    if not len(values):
        return (math.nan,) * (len(ends) - 1)
    newest = np.where(places > 0, values[np.maximum(places, 1) - 1], np.nan)[1:]
    return _floats(np.where(np.diff(ends) > 0, newest, np.nan))


def _mean(rank: RankTable, name: str, ends: Array) -> Floats:
    """The mean of each bin's samples; a bin without one keeps the value before it."""
    places, values = _places(rank, ends), rank.columns[name]
    if not len(values):
        return (math.nan,) * (len(ends) - 1)
    sums = np.r_[0.0, np.cumsum(values)]
    counts = np.diff(places)
    newest = np.where(places > 0, values[np.maximum(places, 1) - 1], np.nan)[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(counts > 0, np.diff(sums[places]) / counts, newest)
    return _floats(np.where(np.diff(ends) > 0, means, np.nan))


# --- playhead ------------------------------------------------------------------------------------

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True, slots=True)
class Playhead:
    """``at_s`` is ``None`` while the newest moment is followed."""

    at_s: float | None = None
    playing: bool = True
    speed: float = 1.0

    @property
    def following(self) -> bool:
        """Whether the newest moment is shown as it comes."""
        return self.at_s is None and self.playing

    def moment_s(self, end_s: float) -> float:
        """The moment to show when ``end_s`` is the newest one."""
        return end_s if self.at_s is None else min(self.at_s, end_s)

    def advanced(self, seconds: float, end_s: float, live: bool) -> Playhead:
        """After ``seconds`` of playing. At the newest moment, only a live run goes on."""
        if self.at_s is None or not self.playing:
            return self
        at_s = self.at_s + seconds * self.speed
        if at_s < end_s:
            return replace(self, at_s=at_s)
        return replace(self, at_s=None, playing=live)

    def toggled(self, end_s: float, live: bool) -> Playhead:
        """Pause, or go on; at the end of a finished run, start over."""
        if self.playing and self.at_s is None and not live:
            return replace(self, at_s=0.0)
        if self.playing:
            return replace(self, playing=False, at_s=self.moment_s(end_s))
        if not live and self.moment_s(end_s) >= end_s:
            return replace(self, playing=True, at_s=0.0)
        return replace(self, playing=True)

    def shifted(self, by_s: float, end_s: float) -> Playhead:
        """``by_s`` seconds later (earlier when negative), within the run."""
        at_s = min(end_s, max(0.0, self.moment_s(end_s) + by_s))
        return replace(self, at_s=at_s)

    def at_start(self) -> Playhead:
        """The first moment."""
        return replace(self, at_s=0.0)

    def at_end(self) -> Playhead:
        """The newest moment, followed from now on."""
        return replace(self, at_s=None, playing=True)

    def faster(self, steps: int) -> Playhead:
        """``steps`` further in ``SPEEDS``."""
        place = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        return replace(self, speed=SPEEDS[min(len(SPEEDS) - 1, max(0, place + steps))])
