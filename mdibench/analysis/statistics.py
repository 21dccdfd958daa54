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
from scipy.special import ndtri, stdtr, stdtrit

from mdibench.analysis.shares import UNKNOWN, Estimate, Numbers, wilson_interval

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


def mean_of_skewed(
    values: Sequence[Estimate], needed: float = 1.0, caution: float | None = None
) -> Estimate:
    """The mean over repeats of a latency; unknown where together they are too short to tell.

    Student's interval, symmetrical in 1 / mean, and a little wider where the runs are just enough:
    where the sum of their sufficiencies is just ``needed``, by ``caution``.
    """
    found = mean_of_independent([estimate.value for estimate in values])
    enough = sum(e.sufficiency for e in values) / needed
    if enough < 1:
        return replace(found, low=-math.inf, high=math.inf, sufficiency=enough)
    caution = CAUTION if caution is None else caution
    wider = 1.0 if math.isnan(enough) else 1 + caution / enough
    return replace(reciprocal(found, wider * found.half_width), sufficiency=enough)


REPEATED_MEANS = (2.0, 1 / 3)
"""``needed`` and ``caution`` where the values are means: 60 independent items over all repeats."""
CAUTION = 0.2
"""Intervals of a latency are wider by this share, divided by its series' sufficiency: of the series
that just pass, more than their share have seen too little of their own spread."""


def reciprocal(estimate: Estimate, half: float) -> Estimate:
    """An interval of the mean of a latency that is symmetrical in 1 / mean.

    The spread of a queue's latency grows with the square of its mean.
    """
    mean = estimate.value
    if not mean > 0 or not math.isfinite(half):
        return replace(estimate, low=mean - half, high=mean + half)
    share = half / mean
    high = mean / (1 - share) if share < 1 else math.inf
    return replace(estimate, low=mean / (1 + share), high=high)


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
