"""Intervals and tests of independent values: shares, repeats, pairs; for series see ``series``.

Pure functions over numpy arrays. The distributions are those of ``scipy.special``: importing
``scipy.stats`` would add a second to the end of every run. Sources: Wilson 1927; Holm
1979; MOVER, Zou and Donner 2008; MSER-5, White, Cobb and Spratt 2000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from mdibench.analysis.shares import UNKNOWN, Z_95, Estimate, Numbers, wilson_interval

LEVEL = 0.95
NEAR_LEAST = 1.3
"""MSER-5's minimum is flat and noisy: the first cut within this factor of it is taken."""


def wilson(successes: float, n: float) -> Estimate:
    """A share of ``n`` independent trials with Wilson's score interval."""
    return Estimate(successes / n, *wilson_interval(successes, n), round(n)) if n > 0 else UNKNOWN


def mean_of_independent(values: ArrayLike, level: float = LEVEL) -> Estimate:
    """The mean of independent values (repeats of a run) with Student's interval."""
    x = finite(values)
    if x.size < 2:
        return Estimate(float(x[0]), n=1) if x.size else UNKNOWN
    mean, error = float(x.mean()), float(x.std(ddof=1)) / math.sqrt(x.size)
    half = float(stdtrit(x.size - 1, (1 + level) / 2)) * error
    return Estimate(mean, mean - half, mean + half, int(x.size))


def mean_of_skewed(values: Sequence[Estimate], low_by: float = 0.0) -> Estimate:
    """The mean over repeats of a latency; unknown where together they are too short to tell.

    ``latency_interval`` by the spread of the runs and by what all of them together are worth: of
    each, the square of its latency counts, as what a run is worth falls with that.

    ``low_by``: see ``raised``; repeats do not make that less.
    """
    found = mean_of_independent([estimate.value for estimate in values])
    least, power, spread = (
        sum(getattr(e, name) for e in values) / max(1, len(values))
        for name in ("least", "power", "spread")
    )
    found = replace(found, least=least, power=power, spread=spread)
    squares = sum(e.sufficiency * (e.value - e.least) * e.value for e in values)
    square = (found.value - found.least) * found.value
    enough = squares / square if square > 0 else sum(e.sufficiency for e in values)
    told = latency_interval(replace(reciprocal(found, found.half_width), sufficiency=enough))
    return raised(told, low_by * len(values))


# --- latencies -----------------------------------------------------------------------------------

LIMIT_Z = math.sqrt(20.0)
"""Value over standard error of a latency's figure whose sufficiency is just 1."""
SELDOM_Z = float(ndtri(0.99))
"""Systems of whose series less than 1 % are sufficient are left out of an interval. The table of
coverage counts less than 2 % as none: what passes is decided by an estimate of a walk, not by z."""


def reciprocal(estimate: Estimate, half: float) -> Estimate:
    """The interval that is symmetrical in 1 / value, of what lies above the least latency."""
    above, least = estimate.value - estimate.least, estimate.least
    if not above > 0 or not math.isfinite(half):
        return replace(estimate, low=estimate.value - half, high=estimate.value + half)
    share = half / above
    if share >= 1:
        return replace(estimate, low=least, high=math.inf)
    low, high = (least + above / (1 + side) for side in (share, -share))
    return replace(estimate, low=low, high=high)


def latency_interval(estimate: Estimate) -> Estimate:
    """The interval of a figure of a latency, from one by its own spread, and its ``sufficiency``.

    The spread of a queue's latency grows with its mean to the 1 + ``power``, near saturation with
    its square: there the interval is symmetrical in 1 / value, whose standard error is the same at
    all loads. Near saturation latency moves as a random walk between 0 and infinity, and by that
    alone the value is worth z = ``LIMIT_Z`` √``sufficiency`` standard errors: where the series is
    just sufficient, the width is that of the walk, and of longer series more and more that of its
    own spread.

    Series are sufficient where the latency that they happened to see is low: of those near the
    limit the upper bound is the conditional one, given that they passed (Lee, Sun, Sun and Taylor
    2016, "Exact post-selection inference"). z has a standard error of ``spread``: less than one
    where a constant part of the latency holds it, and for a percentile, whose own standard error is
    larger than that of the mean by which it passes.
    """
    enough, above = estimate.sufficiency, estimate.value - estimate.least
    if enough < 1:
        return replace(estimate, low=-math.inf, high=math.inf)
    if math.isnan(enough) or not 0 < above < math.inf:
        return estimate
    z = LIMIT_Z * math.sqrt(enough)
    below, beyond = (
        math.hypot(Z_95 / z / math.sqrt(enough), own * math.sqrt(max(1e-9, 1 - 1 / enough)))
        for own in _own_shares(estimate, above)
    )
    likely = _share_left(estimate, z, _bound_given_passed(z, estimate.spread))
    most = _share_left(estimate, z, LIMIT_Z - SELDOM_Z * estimate.spread)
    left = max(1 - beyond * (1 - likely) * z / Z_95, most)
    low, high = (estimate.least + above / share for share in (1 + below, left))
    return replace(estimate, low=low, high=high)


def _own_shares(estimate: Estimate, above: float) -> tuple[float, float]:
    """How far 1 / value reaches upwards and downwards by the estimate's own bounds, as shares."""
    lowest = estimate.low - estimate.least
    share = above / lowest - 1 if lowest > 0 else math.inf
    return share, 1 - above / (estimate.high - estimate.least)


def _share_left(estimate: Estimate, z: float, bound: float) -> float:
    """Value / truth, if ``bound`` were the true z: the value is as far away as z, in its errors."""
    errors = (z - bound) / estimate.spread
    return float((1 + estimate.power * errors / bound) ** (-1 / estimate.power))


def raised(estimate: Estimate, low_by: float) -> Estimate:
    """With the upper bound of a percentile that is low on average, by its relative variance.

    ``low_by``: by how much, as a multiple of that.
    """
    if not estimate.sufficiency >= 1:
        return estimate
    low = low_by / (LIMIT_Z**2 * estimate.sufficiency)
    return replace(estimate, high=estimate.high + low * (estimate.high - estimate.least))


def low_by(p: float) -> float:
    """By how much a run's p-quantile is too low on average, as a multiple of its relative variance.

    With k independent values above a percentile of an exponential tail, its order statistic is low
    by 1 / 2k of the scale (Rényi's representation); the number is fitted to M/M/1 queues.
    """
    return -LOW_BY * math.log1p(-p)


LOW_BY = 0.16


def _bound_given_passed(z: float, spread: float) -> float:
    """Lower 95 % bound of what ``z`` estimates, given that z is at least ``LIMIT_Z``.

    The least mean of a normal distribution of standard deviation ``spread``, cut off at the limit,
    of whose draws 5 % are above z or more than ``Z_95`` below their mean.
    """
    limit, z = LIMIT_Z / spread, z / spread
    low, high = limit - SELDOM_Z, z - Z_95
    if _missed(low, z, limit) > 0:
        return low * spread
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if _missed(middle, z, limit) > 0 else (middle, high)
    return low * spread


BISECTIONS = 30


def _missed(mean: float, z: float, limit: float) -> float:
    """By how much more than 5 % of the draws that pass have an interval without ``mean``."""
    tail = (1 - LEVEL) / 2
    under = max(0.0, tail - float(ndtr(limit - mean)))
    return float(ndtr(mean - z)) + under - (1 - LEVEL) * float(ndtr(mean - limit))


# --- comparisons ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """B against A as a ratio or a difference, with its interval and the p-value of no effect."""

    estimate: Estimate
    p_value: float
    paired: bool


def paired_effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b - a over independent pairs (repeats that share their seed).

    Differences without any spread have no interval, and the p-value of their signs alone.
    """
    x = finite(np.asarray(b, np.float64) - np.asarray(a, np.float64))
    estimate = mean_of_independent(x)
    if x.size < 2:
        return Effect(estimate, math.nan, True)
    error = float(x.std(ddof=1)) / math.sqrt(x.size)
    if spreadless(error, x) and estimate.value != 0:
        return Effect(Estimate(estimate.value, n=x.size), 2.0 ** (1 - x.size), True)
    return Effect(estimate, two_sided(estimate.value, error, x.size - 1), True)


def unpaired_effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b less mean of a over independent repeats, by Welch's interval.

    Values without any spread have no interval, and the p-value of their ranks alone.
    """
    x, y = finite(a), finite(b)
    if x.size < 2 or y.size < 2:
        return Effect(UNKNOWN, math.nan, False)
    u, v = float(x.var(ddof=1)) / x.size, float(y.var(ddof=1)) / y.size
    difference, error = float(y.mean() - x.mean()), math.sqrt(u + v)
    if spreadless(error, np.append(x, y)) and difference != 0:
        p_value = min(1.0, 2 / math.comb(x.size + y.size, x.size))
        return Effect(Estimate(difference, n=x.size + y.size), p_value, False)
    spread = u * u / (x.size - 1) + v * v / (y.size - 1)
    freedom = (u + v) ** 2 / spread if spread else float(x.size + y.size - 2)
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    estimate = Estimate(difference, difference - half, difference + half, int(x.size + y.size))
    return Effect(estimate, two_sided(difference, error, freedom), False)


def spreadless(error: float, values: Numbers) -> bool:
    """Whether what spread there is comes from rounding."""
    return error <= 1e-12 * float(np.abs(values).max(initial=0.0))


def combined_effect(a: Estimate, b: Estimate) -> Effect:
    """b - a out of two intervals alone (MOVER): for one run on each side, unpaired.

    The interval need not be symmetrical: the p-value goes by the side that faces no difference, so
    that it is below 5 % where the interval leaves zero out, and only there. Two figures without any
    spread have neither.
    """
    if not (math.isfinite(a.value) and math.isfinite(b.value)):
        return Effect(UNKNOWN, math.nan, False)
    difference = b.value - a.value
    low = difference - math.hypot(b.value - b.low, a.high - a.value)
    high = difference + math.hypot(b.high - b.value, a.value - a.low)
    facing = difference - low if difference > 0 else high - difference
    if facing == 0 and difference != 0:
        return Effect(Estimate(difference, n=a.n + b.n), math.nan, False)
    error = facing / float(ndtri((1 + LEVEL) / 2))
    p_value = two_sided(difference, error, math.inf) if error < math.inf else math.nan
    return Effect(Estimate(difference, low, high, a.n + b.n), p_value, False)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN stays NaN and does not count."""
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        adjusted[i] = largest
    return adjusted


def two_sided(difference: float, error: float, freedom: float) -> float:
    """P-value of no difference, by Student's distribution; NaN where there is no spread."""
    if error == 0:
        return 1.0 if difference == 0 else math.nan
    return 2 * float(stdtr(freedom, -abs(difference) / error))


# --- is it steady? -------------------------------------------------------------------------------


def warm_up_length(series: ArrayLike) -> int | None:
    """How many leading values of a series MSER-5 cuts off; ``None`` where it never settles.

    The cut is the first that (nearly) minimises the squared standard error of the mean of what is
    left, over batches of five; one in the second half means that the series is too short or not
    stationary.
    """
    x = finite(series)
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


def finite(values: ArrayLike) -> Numbers:
    """Those of ``values`` that are numbers and finite."""
    x = np.asarray(values, np.float64)
    known = np.isfinite(x)
    return x if known.all() else x[known]
