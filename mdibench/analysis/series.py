"""Intervals for dependent series: latencies, counts and shares in the order of their happening.

Neighbouring items wait for each other, so n of them are worth fewer independent ones. A series
tells how many by its autocorrelation, and a latency by ``walk_worth``. Where that is too few
(``LEAST_WORTH``; of a latency ``statistics.LIMIT_Z``) the interval is unknown (both bounds
infinite), because near saturation a short series mostly shows too little of its own spread: its
interval would be too narrow just where it matters. For the same reason the intervals of series
that just pass are wider.

Sources: initial monotone sequence, Geyer 1992 ("Practical Markov chain Monte Carlo", 3.3); batch
means, Law, "Simulation Modeling and Analysis", 9.5.3; order statistics, Hahn and Meeker,
"Statistical Intervals", 5.2; run lengths near saturation, Whitt 1989 ("Planning queueing
simulations").
``python -m benchmarks.coverage`` measures what they cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.special import bdtr, bdtrik, ndtr, stdtrit

from mdibench.analysis.shares import UNKNOWN, Z_95, Estimate, Numbers
from mdibench.analysis.statistics import (
    LEVEL,
    LIMIT_Z,
    Effect,
    finite,
    latency_interval,
    low_by,
    raised,
    reciprocal,
    two_sided,
    wilson,
)

BATCHES = 16
LEAST_WORTH = 100.0
"""Independent values that a series must be worth, or its interval is unknown."""
MEAN_CAUTION = 10.0
"""The interval of any mean is wider by ``MEAN_CAUTION`` / worth."""
SHARE_CAUTION = 0.2
"""The interval of a share, and of a quantile that is no latency's, is wider by this share of
``LEAST_WORTH`` / worth."""
LEAST_BEYOND = 8.0
"""Independent values on the rarer side of a quantile, or hits of a share, that it must be worth."""
POINTS = 4096
"""Means that a longer series is reduced to before its autocorrelation is taken."""


def effective_size(series: ArrayLike) -> float:
    """How many independent values the mean of ``series`` is worth, at most its length."""
    x = finite(series)
    if x.size < 4:
        return float(x.size)
    size = max(1, x.size // POINTS)
    points = x[x.size % size :].reshape(-1, size).mean(axis=1)
    own = float(x.var())
    if own <= 1e-24 * float(x[0]) ** 2:  # nothing but rounding
        return float(x.size)
    long_run = size * _long_run_variance(points)
    return float(min(x.size, x.size * own / long_run)) if long_run > 0 else float(x.size)


def _long_run_variance(x: Numbers) -> float:
    """Sum of all autocovariances, by Geyer's initial monotone sequence; may be negative."""
    deviations = x - x.mean()
    length = fft.next_fast_len(2 * x.size, real=True)
    spectrum = fft.rfft(deviations, length)
    covariances = fft.irfft(np.abs(spectrum) ** 2, length)[: x.size // 2 * 2] / x.size
    pairs = np.minimum.accumulate(covariances[::2] + covariances[1::2])
    return float(2 * pairs[pairs > 0].sum() - covariances[0])


def mean_of_series(series: ArrayLike, skewed: bool = False) -> Estimate:
    """The mean of a stationary, possibly dependent series of positive or negative values.

    ``skewed``: of a latency, which gets a ``latency_interval``.
    """
    x = finite(series)
    if not x.size:
        return UNKNOWN
    mean = float(x.mean())
    half, sufficiency = half_width(x, BATCHES if skewed else LEAST_WORTH)
    if not skewed:
        return Estimate(mean, mean - half, mean + half, int(x.size), sufficiency)
    worth, power = walk_worth(x)
    sufficiency, least = min(sufficiency, worth / LIMIT_Z**2), float(x.min())
    found = Estimate(mean, mean - half, mean + half, x.size, sufficiency, least, power, power)
    return latency_interval(reciprocal(found, half)) if half < math.inf else found


def walk_worth(x: Numbers) -> tuple[float, float]:
    """(mean / standard error of the mean)² of a queue's latencies, by how far they move per item.

    Near saturation a latency is a random walk between 0 and infinity: with variance s² per item
    its mean is m = s² / 2d for a drift -d, and that over n items has a variance of 8 m⁴ / n s²
    (Whitt 1989, "Planning queueing simulations"). s² is known well even from a series that is much
    too short for its autocorrelations. m² becomes m times what of it lies above the least latency,
    for a constant part does not wait; where that part is large, the square of what waits. Far from
    saturation, where a step is as large as the mean, one item is worth one.

    The second value is the power of m (above its least) with which the root of that falls: from 1
    near saturation down to ``LEAST_POWER``, where items are independent.
    """
    if x.size < 2:
        return float(x.size), LEAST_POWER
    mean, own = float(x.mean()), float(x.var())
    above = mean - float(x.min())
    square, most = above * max(mean, above), 4 * max(above * above, own)
    if min(square, most) <= 1e-24 * mean * mean:
        return float(x.size), LEAST_POWER
    power = (1 + above / max(mean, above)) / 2 if square < most else 1.0
    moved = min(1.0, WALK * _step(x) / min(square, most))
    return float(x.size * moved / (4 - 3 * moved)), max(LEAST_POWER, power * math.sqrt(1 - moved))


LEAST_POWER = 0.05
WALK = 1.05
"""Waits that end in an empty queue cut steps short: by as much they move further than they seem."""


def half_width(x: Numbers, least: float = LEAST_WORTH) -> tuple[float, float]:
    """Half the interval of the mean of ``x``, infinite where it is too short, and how sufficient.

    ``least``: independent values that it must be worth.

    A series without any spread has an interval without width.
    """
    worth = effective_size(x)
    sufficiency = worth / least
    if x.size < 2 * BATCHES or sufficiency < 1:
        return math.inf, sufficiency
    half = float(stdtrit(BATCHES - 1, (1 + LEVEL) / 2)) * _error(x) * (1 + MEAN_CAUTION / worth)
    return max(half, Z_95 * _neighbours_error(x) / math.sqrt(sufficiency)), sufficiency


def _neighbours_error(x: Numbers) -> float:
    """Standard error of the mean by the correlation of neighbours alone, as of an AR(1) series.

    Of series that just pass, more than their share show too little of their later correlations.
    """
    own = float(x.var())
    moved = _step(x) / own if own > 0 else 1.0
    return math.sqrt(own / x.size * max(1.0, (2 - moved) / moved)) if moved > 0 else 0.0


def _step(x: Numbers) -> float:
    """Half the mean square of the difference of neighbours: the variance of independent values."""
    steps = np.diff(x)
    return float(np.square(steps, out=steps).mean()) / 2


def _error(x: Numbers) -> float:
    """Standard error of the mean of ``x`` from its batch means."""
    size = x.size // BATCHES
    means = x[x.size - size * BATCHES :].reshape(BATCHES, size).mean(axis=1)
    return float(means.std(ddof=1)) / math.sqrt(BATCHES)


def event_rate(
    times_s: ArrayLike, start_s: float, end_s: float, driven_by_s: ArrayLike = ()
) -> Estimate:
    """Events per second between ``start_s`` and ``end_s``, by their counts in equal spans.

    ``driven_by_s`` are the times of what causes the events, e.g. arrivals of completions. While a
    server is busy, completions are more regular than the arrivals that decide their rate in the
    long run: the wider of both intervals is taken.
    """
    if not end_s > start_s:
        return UNKNOWN
    found, n = _rate(np.asarray(times_s, np.float64), start_s, end_s)
    driving, caused = _rate(np.asarray(driven_by_s, np.float64), start_s, end_s)
    half = max(found.half_width, driving.half_width if caused else 0.0)
    low, high = found.value - half, found.value + half
    return Estimate(found.value, low, high, n, found.sufficiency).within(0.0)


def _rate(times_s: Numbers, start_s: float, end_s: float) -> tuple[Estimate, int]:
    inside = times_s[(times_s >= start_s) & (times_s < end_s)]
    spans = max(2 * BATCHES, min(inside.size, POINTS) // BATCHES * BATCHES)
    places = ((inside - start_s) * (spans / (end_s - start_s))).astype(np.int64)
    counts = np.bincount(np.minimum(places, spans - 1), minlength=spans)
    return mean_of_series(counts * (spans / (end_s - start_s))), int(inside.size)


def share_of_series(hits: ArrayLike) -> Estimate:
    """A share of the items of a series, such as those that were dropped; drops come in bursts.

    Wilson's interval of as many trials as the series is worth; none where nothing, or all, was
    hit, as a series without a burst does not tell how long bursts are.
    """
    x = finite(hits)
    if not x.size:
        return UNKNOWN
    share = float(x.mean())
    if share in (0.0, 1.0):
        return Estimate(share, n=int(x.size))
    worth = effective_size(x)
    sufficiency = _sufficiency(worth, share)
    if sufficiency < 1:
        return Estimate(share, -math.inf, math.inf, int(x.size), sufficiency)
    trials = _cautious(worth)
    found = wilson(share * trials, trials)
    return Estimate(share, found.low, found.high, int(x.size), sufficiency)


def _sufficiency(worth: float, share: float) -> float:
    """For an interval of a share: enough values, and enough of the rarer kind."""
    return min(worth / LEAST_WORTH, worth * min(share, 1 - share) / LEAST_BEYOND)


def _cautious(worth: float) -> float:
    return worth / (1 + SHARE_CAUTION * LEAST_WORTH / worth) ** 2


def quantile(series: ArrayLike, p: float, dependent: bool = True, skewed: bool = False) -> Estimate:
    """The p-quantile of a series with the interval that its order statistics give.

    With ``dependent`` the series is in the order of its happening, and the interval is that of as
    many independent values as it is worth, by which of its values are above the quantile; unknown
    where that of the mean would be. A bound beyond the extremes is infinite. ``skewed``: of a
    latency, which gets a ``latency_interval``.
    """
    return quantiles(series, (p,), dependent, skewed)[0]


def quantiles(
    series: ArrayLike,
    shares: Sequence[float],
    dependent: bool = True,
    skewed: bool = False,
    ordered: Numbers | None = None,
) -> list[Estimate]:
    """Several of them; ``ordered`` are the sorted values, where the caller has them."""
    x = np.asarray(series, np.float64)
    x = x[~np.isnan(x)]
    if not x.size:
        return [UNKNOWN] * len(shares)
    ordered = np.sort(x) if ordered is None else ordered
    if skewed:
        walk = walk_worth(finite(x))
        return [_latency_quantile(x, ordered, p, *walk) for p in shares]
    most = effective_size(x) if dependent else math.inf
    return [_quantile(x, ordered, p, most) for p in shares]


def _latency_quantile(
    x: Numbers, ordered: Numbers, p: float, most: float, power: float
) -> Estimate:
    """``most`` and ``power`` are ``walk_worth`` of all."""
    value, often, least = _order_statistic(ordered, p), _as_often(p), float(ordered[0])
    worth = effective_size(x <= value)
    sufficiency = min(most / often / LIMIT_Z**2, worth / BATCHES)
    low, high = _bounds(ordered, p, max(1, int(worth)))
    if math.isinf(high) and sufficiency >= 1:  # then the walk tells
        share = Z_95 / LIMIT_Z / math.sqrt(sufficiency)
        below, high = (least + (value - least) / (1 + side) for side in (share, -share))
        low = min(low, below)
    spread = power / math.sqrt(often)
    found = Estimate(value, low, high, int(x.size), sufficiency, least, power, spread)
    return raised(latency_interval(found), low_by(p))


def _as_often(p: float) -> float:
    """By which factor the relative variance of a latency's p-quantile is that of its mean."""
    return QUANTILE_BASE + QUANTILE_GROWTH * math.log1p(-p) ** 2


QUANTILE_BASE, QUANTILE_GROWTH = 0.75, 0.095
"""Fitted to M/M/1 and M/D/1 queues; a walk's latencies are exponential, -log(1 - p) times m."""


def _quantile(x: Numbers, ordered: Numbers, p: float, most: float) -> Estimate:
    """``most`` is what the series is worth for its mean; infinite for independent values."""
    value, n = _order_statistic(ordered, p), int(x.size)
    sufficiency = math.nan
    if math.isfinite(most):
        worth = effective_size(x <= value)
        sufficiency = min(_sufficiency(worth, p), most / LEAST_WORTH)
        if sufficiency < 1:
            return Estimate(value, -math.inf, math.inf, n, sufficiency)
        n = max(1, int(_cautious(worth)))
    return Estimate(value, *_bounds(ordered, p, n), int(x.size), sufficiency)


def _bounds(ordered: Numbers, p: float, n: int) -> tuple[float, float]:
    """The order statistics that bound the p-quantile of ``n`` independent values."""
    low = _binomial_quantile((1 - LEVEL) / 2, n, p) / n
    high = (_binomial_quantile((1 + LEVEL) / 2, n, p) + 1) / n
    return _order_statistic(ordered, low), _order_statistic(ordered, high)


def _binomial_quantile(share: float, n: int, p: float) -> int:
    """Least k with P(X <= k) >= ``share`` for X binomial of ``n`` and ``p``."""
    k = max(0, math.ceil(float(bdtrik(share, n, p))))
    return k - 1 if k and float(bdtr(k - 1, n, p)) >= share else k


def _order_statistic(ordered: Numbers, share: float) -> float:
    rank = math.ceil(share * ordered.size)
    if rank < 1:
        return -math.inf
    return math.inf if rank > ordered.size else float(ordered[rank - 1])


# --- pairs ---------------------------------------------------------------------------------------


def paired_series_effect(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b - a over the items of two runs, in item order: pairs, yet dependent in time."""
    x = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    return _effect(mean_of_series(x), 0.0)


def paired_series_ratio(a: ArrayLike, b: ArrayLike) -> Effect:
    """Mean of b over mean of a, over the items of two runs in item order (ratio estimator)."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not x.size or not x.mean() > 0:
        return Effect(UNKNOWN, math.nan, True)
    ratio = float(y.mean() / x.mean())
    half, sufficiency = half_width((y - ratio * x) / x.mean())
    found = Estimate(ratio, ratio - half, ratio + half, int(x.size), sufficiency)
    return _effect(found, 1.0)


def _effect(estimate: Estimate, none: float) -> Effect:
    """The p-value that goes with a symmetrical interval; NaN where that is unknown."""
    if not math.isfinite(estimate.half_width):
        return Effect(estimate, math.nan, True)
    error = float(estimate.half_width) / float(stdtrit(BATCHES - 1, (1 + LEVEL) / 2))
    return Effect(estimate, two_sided(estimate.value - none, error, BATCHES - 1), True)


# --- growth --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Growth:
    """How a backlog moved: by ``slope`` per second over ``span_s``, about its ``mean``.

    ``p_value`` is of "it does not grow for ever".
    """

    slope: float
    p_value: float
    mean: float
    span_s: float

    @property
    def growth(self) -> float:
        """What the line gained over the whole span."""
        return self.slope * self.span_s


LONGEST_LAG = 20
"""Part of the span over which a random walk's spread is measured, at most."""


def growth(times_s: ArrayLike, values: ArrayLike) -> Growth:
    """Does a backlog grow? Least squares through it, against a random walk without a drift.

    A stable queue near saturation wanders for as long as a run lasts, and a test against
    independent noise calls that growth. Without drift it wanders no further than the random walk
    that it is between two visits to zero: the slope of such a walk over a span T with variance s²
    per second has variance 1.2 s² / T. s² is the largest over several lags, so that bursts count.
    """
    t, x = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
    known = np.isfinite(t) & np.isfinite(x)
    t, x = t[known], x[known]
    if x.size < LONGEST_LAG or not t[-1] > t[0]:
        return Growth(math.nan, math.nan, float(x.mean()) if x.size else math.nan, math.nan)
    span_s = float(t[-1] - t[0])
    centred = t - t.mean()
    slope = float(centred @ x) / float(centred @ centred)
    error = math.sqrt(1.2 * _walk_variance(x) * x.size) / span_s
    p_value = float(ndtr(-slope / error)) if error > 0 else float(slope <= 0)
    return Growth(slope, p_value, float(x.mean()), span_s)


def _walk_variance(x: Numbers) -> float:
    """Variance that a random walk gains per step, of steps of several lengths the largest."""
    drift = (x[-1] - x[0]) / (x.size - 1)
    found, lag = 0.0, 1
    while lag <= max(1, x.size // LONGEST_LAG):
        steps = x[lag:] - x[:-lag] - drift * lag
        found = max(found, float(steps @ steps) / steps.size / lag)
        lag *= 2
    return found
