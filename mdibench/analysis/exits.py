"""Exits by depth: share of the items, accuracy and calibration of each exit head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdibench.analysis.accuracy import Samples, pooled
from mdibench.analysis.series import share_of_series
from mdibench.analysis.shares import Numbers
from mdibench.analysis.statistics import Estimate

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
    return tuple(_row(k, columns, data) for k in range(1, count + 1))


def _row(k: int, columns: Mapping[str, Numbers], data: dict[str, Any]) -> ExitFigures:
    here = columns["exit"] == k
    left = {name: values[here] for name, values in columns.items()}
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
