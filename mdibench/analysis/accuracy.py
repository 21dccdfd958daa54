"""Accuracies over distinct samples: of one run, by exit, pooled over repeats, and of B against A.

What is sent again is no further sample, and corrupted variants of one original are right or wrong
together: they are one cluster. An interval is Wilson's, of as many independent samples as the
clusters are worth (the design effect, Kish 1965). Pairs are judged by McNemar's test with clusters
(Obuchowski 1998), exactly where few clusters differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from mdibench.analysis.series import share_of_series
from mdibench.analysis.shares import UNKNOWN, Estimate, Numbers
from mdibench.analysis.statistics import LEVEL, Effect, two_sided, wilson

FEW_CLUSTERS = 25
"""Differing clusters up to which their signs are counted instead of their sum taken as normal."""
MOST_SAMPLES = 2**31
"""More samples than a data set has."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Distinct samples of a run: the share of its items that were right, ``[N]`` each.

    ``keys`` are equal for the same picture, ``originals`` for variants of one original.
    """

    keys: NDArray[np.int64]
    originals: NDArray[np.int64]
    right: Numbers

    @classmethod
    def of(cls, samples: Numbers, right: Numbers, data: dict[str, Any]) -> Samples:
        """Of items; ``data`` is what the manifest says of their data set.

        Items without a sample are one each.
        """
        unknown = np.flatnonzero(np.isnan(samples))
        ids = samples.copy()
        ids[unknown] = MOST_SAMPLES - 1.0 - np.arange(unknown.size)
        distinct, means = _means_by(ids.astype(np.int64), right)
        known = np.array(str(data.get("originals") or "").split(), np.int64)
        originals = distinct
        if known.size and distinct.size and distinct[-1] < known.size:
            originals = known[distinct]
        return cls(distinct + MOST_SAMPLES * int(data.get("seed") or 0), originals, means)


def _means_by(ids: NDArray[np.int64], values: Numbers) -> tuple[NDArray[np.int64], Numbers]:
    """The distinct ids, ascending, and the mean of the values of each."""
    if ids.size and ids.max() < 10 * ids.size:  # quicker than to sort
        counts = np.bincount(ids)
        distinct = np.flatnonzero(counts)
        return distinct, np.bincount(ids, values)[distinct] / counts[distinct]
    distinct, of = np.unique(ids, return_inverse=True)
    return distinct, np.bincount(of, values) / np.maximum(np.bincount(of), 1)


def pooled(runs: Sequence[Samples]) -> Estimate:
    """The accuracy over the distinct samples of ``runs`` together.

    Where runs differ by more than their samples explain, as with thresholds that adapt, their
    spread widens the interval.
    """
    together = _merged(runs)
    n = together.right.size
    if not n:
        return UNKNOWN
    share = float(together.right.mean())
    spread = max(_cluster_variance(together, share), _spread_of_runs([run.right for run in runs]))
    own = share * (1 - share)
    worth = float(np.unique(together.originals).size)
    if spread > 0 and own > 0:
        worth = min(float(n), own / spread)
    return replace(wilson(share * worth, worth), value=share, n=n)


def _merged(runs: Sequence[Samples]) -> Samples:
    keys = np.concatenate([run.keys for run in runs])
    distinct, first, of = np.unique(keys, return_index=True, return_inverse=True)
    right = np.bincount(of, np.concatenate([run.right for run in runs])) / np.bincount(of)
    return Samples(distinct, np.concatenate([run.originals for run in runs])[first], right)


def _cluster_variance(samples: Samples, mean: float) -> float:
    """Of the mean, when the samples of an original depend on each other as they like."""
    sums = _by_original(samples.originals, samples.right - mean)
    return float(sums @ sums) / samples.right.size**2


def _by_original(originals: NDArray[np.int64], values: Numbers) -> Numbers:
    _, of = np.unique(originals, return_inverse=True)
    sums: Numbers = np.bincount(of, values).astype(np.float64)
    return sums


def _spread_of_runs(runs: Sequence[Numbers]) -> float:
    """Variance of the mean over runs, of their means; 0 for fewer than three."""
    means = np.array([right.mean() for right in runs if right.size])
    return float(means.var(ddof=1)) / means.size if means.size > 2 else 0.0


# --- pairs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SamplePairs:
    """The same pictures, judged by A and by B."""

    a: Samples
    b: Samples
    covered: float
    """Which share of either side's samples the other has, too."""
    shifts: Numbers
    """Of B against A, one for each pair of runs."""

    @property
    def shift(self) -> Effect:
        """B - A with the interval of Bonett and Price (2012), and McNemar's p-value."""
        differences = self.b.right - self.a.right
        n, total = differences.size, float(differences.sum())
        sums = _by_original(self.a.originals, differences)
        square = max(float(sums @ sums), _run_square(self.shifts, n))
        centre = total / (n + 2)
        error = math.sqrt(max(square + 2 - (total * total) / (sums.size + 2), 0.0)) / (n + 2)
        half = float(ndtri((1 + LEVEL) / 2)) * error
        estimate = Estimate(total / n, centre - half, centre + half, n)
        return Effect(estimate, self._p_value(sums, total, square), True)

    def _p_value(self, sums: Numbers, total: float, square: float) -> float:
        sums = sums[np.abs(sums) > 1e-12]
        if sums.size == 0:
            return 1.0
        normal = two_sided(total, math.sqrt(square), math.inf)
        if sums.size > FEW_CLUSTERS:
            return normal
        fewer = int(min((sums > 0).sum(), (sums < 0).sum()))
        return max(normal, min(1.0, 2 * float(bdtr(fewer, sums.size, 0.5))))

    @property
    def ratio(self) -> Effect:
        """B / A, its interval that of the difference over A."""
        shift = self.shift
        base = float(self.a.right.mean())
        if not base > 0:
            return Effect(UNKNOWN, math.nan, True)
        e = shift.estimate
        ratio = Estimate(1 + e.value / base, 1 + e.low / base, 1 + e.high / base, e.n)
        return Effect(ratio, shift.p_value, True)


def _run_square(shifts: Numbers, n: int) -> float:
    """What the spread over pairs of runs says of the sum of all differences, squared."""
    if shifts.size < 3:
        return 0.0
    return float(shifts.var(ddof=1)) / shifts.size * n**2


def paired(a: Sequence[Samples], b: Sequence[Samples]) -> SamplePairs:
    """The pictures that both sides judged, whatever their runs."""
    left, right = _merged(a), _merged(b)
    _, at_a, at_b = np.intersect1d(left.keys, right.keys, return_indices=True)
    covered = at_a.size / max(1, left.keys.size, right.keys.size)
    shifts = _shifts(a, b) if len(a) == len(b) else np.empty(0)
    return SamplePairs(_chosen(left, at_a), _chosen(right, at_b), covered, shifts)


def _shifts(a: Sequence[Samples], b: Sequence[Samples]) -> Numbers:
    both = [(x, y) for x, y in zip(a, b, strict=True) if x.right.size and y.right.size]
    return np.array([float(y.right.mean() - x.right.mean()) for x, y in both])


def _chosen(samples: Samples, at: NDArray[np.int64]) -> Samples:
    return Samples(samples.keys[at], samples.originals[at], samples.right[at])


# --- exits ---------------------------------------------------------------------------------------

Reliability: TypeAlias = tuple[Numbers, Numbers, Numbers]
"""Mean confidence, accuracy and items, ``[bins]`` each."""
CALIBRATION_BINS = 10
EXIT_COLUMNS = ("exit", "sample", "correct", "confidence", "latency_s")


@dataclass(frozen=True, slots=True)
class ExitFigures:
    """Exit ``exit`` (from 1) over the classified items of the measured window."""

    exit: int
    items: int
    share: Estimate
    accuracy: Estimate
    confidence: float
    calibration_error: float
    latency_p50_s: float


def exit_figures(
    columns: Mapping[str, Numbers], count: int, data: dict[str, Any]
) -> tuple[ExitFigures, ...]:
    """One row per exit 1 to ``count``, of ``EXIT_COLUMNS`` with one value per classified item.

    ``data`` is what the manifest says of the data set.
    """
    exits = np.nan_to_num(columns["exit"]).astype(np.int16)
    order = np.argsort(exits, kind="stable")
    ends = np.searchsorted(exits[order], np.arange(1, count + 2))
    by_exit = {name: values[order] for name, values in columns.items()}
    return tuple(
        _row(k, exits == k, {name: values[start:end] for name, values in by_exit.items()}, data)
        for k, start, end in zip(range(1, count + 1), ends, ends[1:], strict=False)
    )


def _row(
    k: int, here: NDArray[np.bool_], left: Mapping[str, Numbers], data: dict[str, Any]
) -> ExitFigures:
    n, correct, confidence = len(left["exit"]), left["correct"], left["confidence"]
    return ExitFigures(
        exit=k,
        items=n,
        share=share_of_series(here),
        accuracy=pooled([Samples.of(left["sample"], correct, data)]),
        confidence=float(confidence.mean()) if n else np.nan,
        calibration_error=calibration_error(confidence, correct),
        latency_p50_s=float(np.median(left["latency_s"])) if n else np.nan,
    )


def calibration_error(confidence: Numbers, correct: Numbers) -> float:
    """Expected calibration error over equal bins of confidence (Naeini et al. 2015); 0 to 1."""
    return mean_error(reliability(confidence, correct))


def mean_error(bins: Reliability) -> float:
    """How far mean confidence and accuracy of a bin are apart, by its items; NaN without any."""
    confidence, accuracy, counts = bins
    if not counts.sum():
        return np.nan
    return float(np.abs(confidence - accuracy) @ counts / counts.sum())


def reliability(confidence: Numbers, correct: Numbers) -> Reliability:
    """Mean confidence, accuracy and items of each bin that is not empty."""
    known = np.isfinite(confidence) & np.isfinite(correct)
    confidence, correct = confidence[known], correct[known]
    bins = np.clip((confidence * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS).astype(np.float64)
    full = counts > 0
    sums = np.bincount(bins, confidence, CALIBRATION_BINS)[full]
    right = np.bincount(bins, correct, CALIBRATION_BINS)[full]
    return sums / counts[full], right / counts[full], counts[full]
