"""``target_accuracy`` and ``accuracy_drop`` of a config, made into thresholds before a run.

Rank 0 scores the calibration split once, fits a temperature per exit and chooses the thresholds;
the other ranks are told the outcome. Logits are kept in the user's cache, by the weights' content,
so that only the first run with a network pays for them.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mdibench.compute.confidence import MEASURES, Measure
from mdibench.config import ModelSection, SchemeSection
from mdibench.data.cache import cache_folder
from mdibench.data.dataset import Split
from mdibench.data.registry import load_dataset
from mdibench.errors import Problem, UserError
from mdibench.models.calibration import (
    Calibration,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    target_of,
)
from mdibench.models.evaluation import ExitScores, score
from mdibench.models.registry import load_model, model_info, weights_file

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
        MEASURES[measure](torch.from_numpy(logits) / temperature)[0].numpy()
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, logits, allow_pickle=False)
        partial.replace(path)
    except OSError as failure:
        log.info("calibration logits not kept: %s", failure)
