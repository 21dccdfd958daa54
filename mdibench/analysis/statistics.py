"""Intervals and tests for the data of runs: dependent series, quantiles, shares, repeats.

Pure functions over numpy arrays. The distributions are those of ``scipy.special``: importing
``scipy.stats`` would add a second to the end of every run. Sources: batch means, Law,
"Simulation Modeling and Analysis", 9.5.3, with the correlation adjustment of SKART (Tafazzoli and
Wilson 2011); order statistics, Hahn and Meeker, "Statistical Intervals", 5.2; Wilson 1927; Holm
1979; MOVER, Zou and Donner 2008; MSER-5, White, Cobb and Spratt 2000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrik, ndtri, stdtr, stdtrit

from mdibench.analysis.shares import Numbers, wilson_interval

LEVEL = 0.95
BATCHES = 20
NEAR_LEAST = 1.3
"""MSER-5's minimum is flat and noisy: the first cut within this factor of it is taken."""


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
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.n)

    def within(self, least: float, most: float = math.inf) -> Estimate:
        """The same without what no such figure can be; a bound that is not available stays so."""
        return Estimate(self.value, max(self.low, least), min(self.high, most), self.n)


UNKNOWN = Estimate(math.nan)


def wilson(successes: float, n: int) -> Estimate:
    """A share of ``n`` independent trials with Wilson's score interval."""
    return Estimate(successes / n, *wilson_interval(successes, n), n) if n > 0 else UNKNOWN


def mean_of_independent(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """The mean of independent values (repeats of a run) with Student's interval."""
    x = _finite(values)
    if x.size < 2:
        return Estimate(float(x[0]), n=1) if x.size else UNKNOWN
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(x.size)
    half = float(stdtrit(x.size - 1, (1 + level) / 2)) * error
    return Estimate(mean, mean - half, mean + half, int(x.size))


def batch_means(series: ArrayLike, level: float = LEVEL, batches: int = BATCHES) -> Estimate:
    """The mean of a stationary, possibly dependent series, in the order of its happening.

    The series is cut into batches whose means are almost independent; what correlation is left
    between neighbouring batches widens the interval. Fewer than two values per batch: no interval.
    """
    x = _finite(series)
    if x.size < 2 * batches:
        return Estimate(float(x.mean()), n=int(x.size)) if x.size else UNKNOWN
    mean = float(x.mean())
    half = float(stdtrit(batches - 1, (1 + level) / 2)) * _batch_error(x, batches)
    return Estimate(mean, mean - half, mean + half, int(x.size))


def _batch_error(x: Numbers, batches: int) -> float:
    """Standard error of the mean of ``x`` from its batch means."""
    size = x.size // batches
    means = x[x.size - size * batches :].reshape(batches, size).mean(axis=1)
    deviations = means - means.mean()
    square = float(deviations @ deviations)
    if square == 0:
        return 0.0
    correlation = float(deviations[1:] @ deviations[:-1]) / square
    correlation = min(max(correlation, 0.0), 0.8)
    widening = math.sqrt((1 + correlation) / (1 - correlation))
    return math.sqrt(square / (batches - 1) / batches) * widening


def event_rate(
    times_s: ArrayLike, start_s: float, end_s: float, batches: int = BATCHES
) -> Estimate:
    """Events per second between ``start_s`` and ``end_s``, by batch means over equal spans."""
    times = _finite(times_s)
    inside = times[(times >= start_s) & (times < end_s)]
    if not end_s > start_s:
        return UNKNOWN
    span_s = (end_s - start_s) / (2 * batches)
    counts, _ = np.histogram(inside, 2 * batches, (start_s, end_s))
    estimate = batch_means(counts / span_s, batches=batches)
    return Estimate(estimate.value, max(0.0, estimate.low), estimate.high, int(inside.size))


def quantile(series: ArrayLike, p: float, dependent: bool = True, level: float = LEVEL) -> Estimate:
    """The p-quantile of a series with the interval that its order statistics give.

    With ``dependent`` the series is in the order of its happening, and the interval is that of as
    many independent values as its batches are worth, which errs to the wide side (up to 97.5 %
    coverage) where the values are in fact independent. A bound beyond the extremes is infinite.
    """
    x = _finite(series)
    if not x.size:
        return UNKNOWN
    ordered = np.sort(x)
    value = float(ordered[min(x.size - 1, math.ceil(p * x.size) - 1)])
    n = _worth(x <= value, p) if dependent else x.size
    low = _binomial_quantile((1 - level) / 2, n, p) / n
    high = (_binomial_quantile((1 + level) / 2, n, p) + 1) / n
    return Estimate(value, _order_statistic(ordered, low), _order_statistic(ordered, high), x.size)


def _worth(below: NDArray[np.bool_], p: float) -> int:
    """How many independent values tell as much about a share near ``p`` as this series does."""
    if below.size < 2 * BATCHES:
        return int(below.size)
    variance = _batch_error(below.astype(np.float64), BATCHES) ** 2
    return int(max(1, min(below.size, p * (1 - p) / variance))) if variance else int(below.size)


def _binomial_quantile(share: float, n: int, p: float) -> int:
    """Least k with P(X <= k) >= ``share`` for X binomial of ``n`` and ``p``."""
    k = max(0, math.ceil(float(bdtrik(share, n, p))))
    return k - 1 if k and float(bdtr(k - 1, n, p)) >= share else k


def _order_statistic(ordered: Numbers, share: float) -> float:
    rank = math.ceil(share * ordered.size)
    if rank < 1:
        return -math.inf
    return math.inf if rank > ordered.size else float(ordered[rank - 1])


# --- comparisons ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """B against A as a ratio or a difference, with its interval and the p-value of no effect."""

    estimate: Estimate
    p_value: float
    paired: bool


def paired_effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b - a over independent pairs (repeats that share their seed)."""
    return _student(np.asarray(b, np.float64) - np.asarray(a, np.float64), paired=True)


def paired_series_effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b - a over the items of two runs, in item order: pairs, yet dependent in time."""
    x = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    estimate = batch_means(x)
    if math.isnan(estimate.low):
        return Effect(estimate, math.nan, True)
    error = estimate.half_width / float(stdtrit(BATCHES - 1, (1 + LEVEL) / 2))
    return Effect(estimate, _two_sided(estimate.value, error, BATCHES - 1), True)


def paired_series_ratio(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b over mean of a, over the items of two runs in item order (ratio estimator)."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not x.size or not x.mean() > 0:
        return Effect(UNKNOWN, math.nan, True)
    ratio = float(y.mean() / x.mean())
    effect = paired_series_effect(ratio * x / x.mean(), y / x.mean())
    half = effect.estimate.half_width
    error = half / float(stdtrit(BATCHES - 1, (1 + LEVEL) / 2))
    p_value = math.nan if math.isnan(half) else _two_sided(ratio - 1, error, BATCHES - 1)
    return Effect(Estimate(ratio, ratio - half, ratio + half, int(x.size)), p_value, True)


def unpaired_effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b less mean of a over independent repeats, by Welch's interval."""
    x, y = _finite(a), _finite(b)
    if x.size < 2 or y.size < 2:
        return Effect(UNKNOWN, math.nan, False)
    u, v = float(x.var(ddof=1)) / x.size, float(y.var(ddof=1)) / y.size
    difference, error = float(y.mean() - x.mean()), math.sqrt(u + v)
    spread = u * u / (x.size - 1) + v * v / (y.size - 1)
    freedom = (u + v) ** 2 / spread if spread else float(x.size + y.size - 2)
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    estimate = Estimate(difference, difference - half, difference + half, int(x.size + y.size))
    return Effect(estimate, _two_sided(difference, error, freedom), False)


def combined_effect(a: Estimate, b: Estimate) -> Effect:
    """b - a out of two intervals alone (MOVER): for one run on each side, unpaired.

    The interval need not be symmetrical: the p-value goes by the side that faces no difference, so
    that it is below 5 % where the interval leaves zero out, and only there.
    """
    difference = b.value - a.value
    low = difference - math.hypot(b.value - b.low, a.high - a.value)
    high = difference + math.hypot(b.high - b.value, a.value - a.low)
    facing = difference - low if difference > 0 else high - difference
    error = facing / float(ndtri((1 + LEVEL) / 2))
    p_value = _two_sided(difference, error, math.inf) if error < math.inf else math.nan
    return Effect(Estimate(difference, low, high, a.n + b.n), p_value, False)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN stays NaN and does not count."""
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        adjusted[i] = largest
    return adjusted


def _student(differences: Numbers, paired: bool) -> Effect:
    x = _finite(differences)
    estimate = mean_of_independent(x)
    if x.size < 2:
        return Effect(estimate, math.nan, paired)
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    return Effect(estimate, _two_sided(estimate.value, error, x.size - 1), paired)


def _two_sided(difference: float, error: float, freedom: float) -> float:
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return 2 * float(stdtr(freedom, -abs(difference) / error))


# --- is it steady? -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through a series: ``slope`` per second and the p-value of "it does not grow"."""

    slope: Estimate
    p_value: float
    mean: float
    span_s: float

    @property
    def growth(self) -> float:
        """What the line gained over the whole span."""
        return self.slope.value * self.span_s


def trend(times_s: ArrayLike, values: ArrayLike, batches: int = BATCHES) -> Trend:
    """Least squares through the batch means of a series, one-sided test for growth."""
    t, x = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(t) & np.isfinite(x)
    t, x = t[known], x[known]
    if x.size < batches:
        return Trend(UNKNOWN, math.nan, float(x.mean()) if x.size else math.nan, math.nan)
    at, level = (
        np.array([part.mean() for part in np.array_split(series, batches)]) for series in (t, x)
    )
    slope, p_value = _regress(at, level)
    return Trend(slope, p_value, float(x.mean()), float(t[-1] - t[0]))


def _regress(t: Numbers, x: Numbers) -> tuple[Estimate, float]:
    centred = t - t.mean()
    spread = float(centred @ centred)
    if spread == 0:
        return UNKNOWN, math.nan
    slope = float(centred @ x) / spread
    rest = x - x.mean() - slope * centred
    freedom = t.size - 2
    error = math.sqrt(float(rest @ rest) / freedom / spread)
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    p_value = float(stdtr(freedom, -slope / error)) if error > 0 else float(slope <= 0)
    return Estimate(slope, slope - half, slope + half, int(t.size)), p_value


def warm_up_length(series: ArrayLike) -> int | None:
    """How many leading values of a series MSER-5 cuts off; ``None`` where it never settles.

    The cut is the first that (nearly) minimises the squared standard error of the mean of what is
    left, over batches of five; one in the second half means that the series is too short or not
    stationary.
    """
    x = _finite(series)
    batches = x[: x.size // 5 * 5].reshape(-1, 5).mean(axis=1)
    if batches.size < 10:
        return None
    backwards = batches[::-1]
    left = np.arange(1, batches.size + 1)
    mean = np.cumsum(backwards) / left
    variance = np.maximum(np.cumsum(backwards**2) / left - mean**2, 0)
    score = (variance / left)[::-1][: batches.size - 5]
    cut = int(np.argmax(score <= NEAR_LEAST * score.min()))
    return None if cut > batches.size // 2 else cut * 5


def time_average(starts_s: ArrayLike, ends_s: ArrayLike, window: tuple[float, float]) -> float:
    """Mean number of stays [start, end) that are open during ``window``: Little's λW, exactly.

    Over a finite window the identity holds for the parts of the stays inside it (Little 2011,
    "Little's law as viewed on its 50th anniversary", theorem 2). A NaN end never ended.
    """
    start_s, end_s = window
    starts = np.asarray(starts_s, np.float64)
    ends = np.nan_to_num(np.asarray(ends_s, np.float64), nan=math.inf)
    inside = np.minimum(ends, end_s) - np.maximum(starts, start_s)
    return float(np.maximum(inside, 0).sum() / (end_s - start_s))


def _finite(values: ArrayLike) -> Numbers:
    x = np.asarray(values, np.float64)
    return x[np.isfinite(x)]
