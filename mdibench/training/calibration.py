"""Exit thresholds from data: temperature scaling, and thresholds that keep an accuracy.

Pure functions of arrays: logits, confidences and correctness of every exit for every item of the
calibration split. What the chosen thresholds are worth on other items is measured, never assumed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdibench.compute.confidence import MEASURES, Measure
from mdibench.config.schema import ModelSection, SchemeSection
from mdibench.data.dataset import Split
from mdibench.data.registry import load_dataset
from mdibench.errors import Problem, UserError
from mdibench.models.evaluation import ExitScores, score
from mdibench.models.packaged import weights_file
from mdibench.models.registry import load_model, model_info
from mdibench.record.files import cache_folder, write_whole

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

TEMPERATURES = (0.05, 20.0)
"""Range that a temperature is searched in."""

LEVELS = 64
"""Candidate thresholds per exit, at even steps of the confidences that occur."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds, and what they did on the items that they were chosen on.

    ``thresholds[k-1]`` is T_e^k; the last is 0, as everything leaves there. ``shares`` are the
    items that left at each exit. ``reached`` is False where the target is out of reach: then items
    leave early only where that costs no accuracy.
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
    """The temperature that makes ``labels`` likeliest (Guo et al. 2017, arXiv 1706.04599).

    ``logits`` ``[N, classes]``. The likelihood is unimodal in the temperature's logarithm, so that
    a golden-section search finds it.
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
    """Per-exit thresholds of little cost with at least ``target`` accuracy on these items.

    ``confidence`` and ``correct`` are ``[K, N]``; ``costs[k-1]`` is what an item has cost when it
    leaves at exit k (FLOPs of blocks 1 to k, say). From "nobody leaves early", the threshold whose
    next lower level saves the most cost per lost item goes down, while the target holds (or, below
    the target, while accuracy does not fall).
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


def target_of(correct: Bools, target_accuracy: float | None, accuracy_drop: float | None) -> float:
    """The accuracy to keep: given, or the last exit's own less ``accuracy_drop``."""
    if target_accuracy is not None:
        return target_accuracy
    return float(correct[-1].mean()) - (accuracy_drop or 0.0)


NEVER = 1.0 + 1e-9
"""A threshold that no confidence reaches: while searching, "nobody leaves here"."""


class _Search:
    """Greedy descent over the thresholds' levels; every exit but the last has its own levels."""

    def __init__(self, confidence: Floats, correct: Bools, costs: Floats, target: float) -> None:
        self.confidence = confidence
        self.correct = correct
        self.costs = costs
        self.target = target
        self.thresholds = np.append(np.full(len(confidence) - 1, NEVER), 0.0)
        self.levels = [list(_levels(row)) for row in confidence[:-1]]

    def descend(self) -> None:
        """Lower thresholds while some step keeps the target; then cap "never" at 1."""
        accuracy, cost = self._outcome(self.thresholds)
        while (step := self._best_step(accuracy, cost)) is not None:
            exit_index, accuracy, cost = step
            self.thresholds[exit_index] = self.levels[exit_index].pop()
        self.thresholds = np.minimum(self.thresholds, 1.0)

    def _best_step(self, accuracy: float, cost: float) -> tuple[int, float, float] | None:
        """The exit to lower next, with accuracy and cost after it."""
        best, best_worth = None, -np.inf
        for index, levels in enumerate(self.levels):
            if not levels:
                continue
            thresholds = self.thresholds.copy()
            thresholds[index] = levels[-1]
            after, after_cost = self._outcome(thresholds)
            if after < min(self.target, accuracy):
                continue
            worth = (cost - after_cost) / (max(accuracy - after, 0.0) + 1e-6)
            if worth > best_worth:
                best, best_worth = (index, after, after_cost), worth
        return best

    def _outcome(self, thresholds: Floats) -> tuple[float, float]:
        exits = exits_taken(self.confidence, thresholds)
        hits = self.correct[exits, np.arange(len(exits))]
        return float(hits.mean()), float(self.costs[exits].mean())


def _levels(confidence: Floats) -> Floats:
    """Ascending candidates: the search takes them from the end."""
    steps: Floats = np.unique(np.quantile(confidence, np.linspace(0, 1, LEVELS)))
    return steps


# --- calibrated --------------------------------------------------------------------------------
# ``target_accuracy`` and ``accuracy_drop`` of a config, made into thresholds before a run.
#
# Rank 0 scores the calibration split once, fits a temperature per exit and chooses the thresholds;
# the other ranks are told the outcome. Logits are kept in the user's cache, by the weights'
# content,
# so that only the first run with a network pays for them.

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CalibratedExits:
    """Everything that a run and its report need to know about its chosen thresholds.

    ``temperatures[k-1]`` divides the logits of exit k; ``ece`` is each exit's expected
    calibration error with it, on the calibration split; ``items`` the size of that split.
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
    target = target_of(scores.correct, scheme.target_accuracy, scheme.accuracy_drop)
    costs = list(accumulate(block.flops for block in model_info(model).blocks))
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
    """``[K, N]``: what the engine would give as C_k for every item."""
    scale = temperatures or (1.0,) * len(scores.logits)
    rows = [
        MEASURES[measure](logits / np.float32(temperature))[0]
        for logits, temperature in zip(scores.logits, scale, strict=True)
    ]
    return np.stack(rows)


def calibration_scores(model: ModelSection) -> ExitScores:
    """Logits of every exit on the calibration split, from the cache where they are there."""
    split = load_dataset(model.dataset, model.data_dir).calibration
    kept = _cache_file(model, split)
    if kept is not None and kept.exists():
        logits = np.load(kept, allow_pickle=False)
        return ExitScores(logits, split.labels)
    log.info("scoring %d calibration items, once for these weights", len(split))
    scores = score(load_model(model), split)
    if kept is not None:
        _keep(kept, scores.logits)
    return scores


def _cache_file(model: ModelSection, split: Split) -> Path | None:
    """A name that changes with the network, its weights and the items; none without a file."""
    weights = weights_file(model.name, model.weights)
    if weights is None or not weights.exists():
        return None
    digest = hashlib.sha256(model.name.encode())
    for content in (weights.read_bytes(), split.inputs.tobytes()):
        digest.update(hashlib.sha256(content).digest())
    return cache_folder() / "logits" / f"{digest.hexdigest()[:32]}.npy"


def _keep(path: Path, logits: NDArray[np.float32]) -> None:
    """Write the cache file if that is possible: a run does not fail for want of a cache."""

    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.save(file, logits, allow_pickle=False)

    try:
        write_whole(path, write)
    except OSError as failure:
        log.info("calibration logits not kept: %s", failure)
