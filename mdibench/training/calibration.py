"""Exit thresholds from data: temperature scaling, and thresholds that keep an accuracy.

The first part are pure functions of arrays: logits, confidences and correctness of every exit for
every item of the calibration split. ``calibrated_exits`` applies them to a config before a run:
rank 0 scores the calibration split, fits a temperature per exit and chooses the thresholds for
``target_accuracy`` or ``accuracy_drop``. The logits are cached by the content of the weights, so
that only the first run with a network computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from mdibench.compute.confidence import MEASURES, Measure
from mdibench.config.schema import ModelSection, SchemeSection
from mdibench.errors import Problem, UserError
from mdibench.models.evaluation import ExitScores
from mdibench.training.scores import calibration_scores, known_info

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

TEMPERATURES = (0.05, 20.0)
"""Range of the search for a temperature."""

LEVELS = 64
"""Candidate thresholds per exit: equally spaced quantiles of the confidences."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds, and their effect on the items on which they were chosen.

    ``thresholds[k-1]`` is T_e^k; the last is 0, as everything leaves there. ``shares`` is the share
    of items that left at each exit. ``reached`` is False if the target cannot be reached: then
    items leave early only where that costs no accuracy.
    """

    thresholds: tuple[float, ...]
    target: float
    accuracy: float
    shares: tuple[float, ...]
    reached: bool


def negative_log_likelihood(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood of ``labels`` ``[N]`` under ``logits / temperature``."""
    scaled = logits.astype(np.float64) / temperature
    peak = scaled.max(axis=1, keepdims=True)
    total = np.log(np.exp(scaled - peak).sum(axis=1)) + peak[:, 0]
    return float((total - scaled[np.arange(len(labels)), labels]).mean())


def fit_temperature(logits: Floats, labels: NDArray[np.int64], tolerance: float = 1e-4) -> float:
    """The maximum-likelihood temperature for ``labels`` (Guo et al. 2017, arXiv 1706.04599).

    ``logits`` ``[N, classes]``. The likelihood is unimodal in the logarithm of the temperature:
    golden-section search.
    """
    low, high = np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1])

    def loss(position: float) -> float:
        return negative_log_likelihood(logits, labels, float(np.exp(position)))

    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > tolerance:
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - _GOLDEN * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + _GOLDEN * (high - low)
            loss_right = loss(right)
    return float(np.exp((low + high) / 2))


def expected_calibration_error(confidence: Floats, correct: Bools, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over ``bins`` equal bins, weighted by items.

    Naeini et al. 2015; in [0, 1], 0 for a perfectly calibrated exit. An empty split has 0.
    """
    if len(confidence) == 0:
        return 0.0
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def exits_taken(confidence: Floats, thresholds: Sequence[float] | Floats) -> NDArray[np.int64]:
    """Index (from 0) of the exit that each item takes; ``confidence`` ``[K, N]``."""
    leaves = confidence >= np.asarray(thresholds)[:, None]
    leaves[-1] = True
    exits: NDArray[np.int64] = leaves.argmax(axis=0)
    return exits


def calibrate(
    confidence: Floats, correct: Bools, target: float, costs: Sequence[float]
) -> Calibration:
    """Per-exit thresholds of low cost with at least ``target`` accuracy on these items.

    ``confidence`` and ``correct`` are ``[K, N]``; ``costs[k-1]`` is the cost of an item that leaves
    at exit k (such as the FLOPs of blocks 1 to k). Greedy search: starting without early exits, it
    lowers the threshold whose next level saves the most cost per lost item, while the target holds
    (or, below the target, while accuracy does not fall).
    """
    search = _Search(confidence, correct, np.asarray(costs, float), target)
    search.descend()
    exits = exits_taken(confidence, search.thresholds)
    accuracy = float(correct[exits, np.arange(len(exits))].mean())
    shares = np.bincount(exits, minlength=len(confidence)) / len(exits)
    return Calibration(
        tuple(float(value) for value in search.thresholds),
        target,
        accuracy,
        tuple(shares.tolist()),
        accuracy >= target,
    )


def accuracy_target(
    correct: Bools, target_accuracy: float | None, accuracy_drop: float | None
) -> float:
    """The accuracy to keep: given, or that of the last exit minus ``accuracy_drop``."""
    if target_accuracy is not None:
        return target_accuracy
    return float(correct[-1].mean()) - (accuracy_drop or 0.0)


NEVER = 1.0 + 1e-9
"""A threshold that no confidence reaches: no item leaves at the exit."""


class _Search:
    """Greedy descent over the levels of the thresholds; each exit but the last has its own."""

    def __init__(self, confidence: Floats, correct: Bools, costs: Floats, target: float) -> None:
        self.confidence = confidence
        self.correct = correct
        self.costs = costs
        self.target = target
        self.thresholds = np.append(np.full(len(confidence) - 1, NEVER), 0.0)
        self.levels = [list(_levels(row)) for row in confidence[:-1]]

    def descend(self) -> None:
        """Lower thresholds while some step keeps the target; then cap ``NEVER`` at 1."""
        accuracy, cost = self._outcome(self.thresholds)
        while (step := self._best_step(accuracy, cost)) is not None:
            exit_index, accuracy, cost = step
            self.thresholds[exit_index] = self.levels[exit_index].pop()
        self.thresholds = np.minimum(self.thresholds, 1.0)

    def _best_step(self, accuracy: float, cost: float) -> tuple[int, float, float] | None:
        """The exit to lower next, with accuracy and cost after it."""
        best, best_gain = None, -np.inf
        for index, levels in enumerate(self.levels):
            if not levels:
                continue
            thresholds = self.thresholds.copy()
            thresholds[index] = levels[-1]
            after, after_cost = self._outcome(thresholds)
            if after < min(self.target, accuracy):
                continue
            gain = (cost - after_cost) / (max(accuracy - after, 0.0) + 1e-6)
            if gain > best_gain:
                best, best_gain = (index, after, after_cost), gain
        return best

    def _outcome(self, thresholds: Floats) -> tuple[float, float]:
        exits = exits_taken(self.confidence, thresholds)
        hits = self.correct[exits, np.arange(len(exits))]
        return float(hits.mean()), float(self.costs[exits].mean())


def _levels(confidence: Floats) -> Floats:
    """Ascending candidate thresholds; the search takes them from the end."""
    steps: Floats = np.unique(np.quantile(confidence, np.linspace(0, 1, LEVELS)))
    return steps


# --- calibration of a config ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CalibratedExits:
    """The chosen thresholds, with what a run and its report need to know about them.

    ``temperatures[k-1]`` divides the logits of exit k; ``ece`` is each exit's expected
    calibration error with that temperature, on the calibration split of ``items`` items.
    """

    chosen: Calibration
    temperatures: tuple[float, ...]
    ece: tuple[float, ...]
    items: int


def calibrated_exits(model: ModelSection, scheme: SchemeSection) -> CalibratedExits:
    """Thresholds that keep the config's target on the calibration split, at the least FLOPs.

    Raises UserError for ``patience``, whose streaks have no threshold to calibrate.
    """
    if model.confidence == "patience":
        remedy = "choose max-softmax, entropy or margin, or give scheme.threshold"
        raise UserError(Problem("patience cannot be calibrated", "model.confidence", remedy))
    scores = calibration_scores(model)
    temperatures = tuple(fit_temperature(logits, scores.labels) for logits in scores.logits)
    confidence = confidences(scores, model.confidence, temperatures)
    target = accuracy_target(scores.correct, scheme.target_accuracy, scheme.accuracy_drop)
    costs = list(accumulate(block.flops for block in known_info(model).blocks))
    return CalibratedExits(
        calibrate(confidence, scores.correct, target, costs),
        temperatures,
        tuple(
            expected_calibration_error(row, hits)
            for row, hits in zip(confidence, scores.correct, strict=True)
        ),
        len(scores.labels),
    )


def confidences(
    scores: ExitScores, measure: Measure, temperatures: tuple[float, ...] | None = None
) -> NDArray[np.float32]:
    """``[K, N]``: C_k of every item, as the engine computes it."""
    scale = temperatures or (1.0,) * len(scores.logits)
    rows = [
        MEASURES[measure](logits / np.float32(temperature))[0]
        for logits, temperature in zip(scores.logits, scale, strict=True)
    ]
    return np.stack(rows)
