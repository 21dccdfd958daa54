"""Exits by depth: who left where, how accurate and how well calibrated each head was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis.statistics import Estimate, wilson

CALIBRATION_BINS = 10

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExitRow:
    """Exit ``exit`` (from 1) over the classified items of the measured window."""

    exit: int
    items: int
    share: Estimate
    accuracy: Estimate
    confidence: float
    calibration_error: float
    latency_p50_s: float


def exit_rows(
    exits: Numbers, correct: Numbers, confidence: Numbers, latency_s: Numbers, count: int
) -> tuple[ExitRow, ...]:
    """One row per exit 1 to ``count``, out of one value per classified item."""
    return tuple(
        _row(k, len(exits), correct[here], confidence[here], latency_s[here])
        for k in range(1, count + 1)
        for here in [exits == k]
    )


def _row(k: int, total: int, correct: Numbers, confidence: Numbers, latency_s: Numbers) -> ExitRow:
    n = len(correct)
    return ExitRow(
        exit=k,
        items=n,
        share=wilson(n, total),
        accuracy=wilson(float(correct.sum()), n),
        confidence=float(confidence.mean()) if n else np.nan,
        calibration_error=calibration_error(confidence, correct),
        latency_p50_s=float(np.median(latency_s)) if n else np.nan,
    )


def calibration_error(confidence: Numbers, correct: Numbers) -> float:
    """Expected calibration error over equal bins of confidence (Naeini et al. 2015); 0 to 1."""
    mean_confidence, accuracy, counts = reliability(confidence, correct)
    if not counts.sum():
        return np.nan
    return float(np.abs(mean_confidence - accuracy) @ counts / counts.sum())


def reliability(confidence: Numbers, correct: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Mean confidence, accuracy and items of each bin that is not empty."""
    known = np.isfinite(confidence) & np.isfinite(correct)
    confidence, correct = confidence[known], correct[known]
    bins = np.clip((confidence * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS).astype(np.float64)
    full = counts > 0
    sums = np.bincount(bins, confidence, CALIBRATION_BINS)[full]
    right = np.bincount(bins, correct, CALIBRATION_BINS)[full]
    return sums / counts[full], right / counts[full], counts[full]
