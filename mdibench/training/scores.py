"""The logits of every exit for a run's items: shipped with the package, cached, or computed now.

Thresholds are calibrated on them, and simulations and runs with recorded answers are made of them.
Only computing them needs the network and torch; where they are known, neither is loaded. A cached
file is named by everything that its content depends on: the network's code and weights, and the
items.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Split
from mdibench.data.registry import dataset_of, load_evaluation
from mdibench.models.evaluation import ExitScores, score
from mdibench.models.packaged import network_key
from mdibench.network.plan import ModelInfo
from mdibench.record.files import cache_folder, write_cached, write_text_cached
from mdibench.training.packed_scores import packaged_info, packaged_scores

_FORMAT = "2"
log = logging.getLogger(__name__)


def calibration_scores(model: ModelSection) -> ExitScores:
    """Logits of every exit on the calibration split."""
    known = packaged_scores(model, "calibration")
    return _scores(model, dataset_of(model).calibration) if known is None else known


def evaluation_scores(
    model: ModelSection, run_seed: int = 1
) -> tuple[ExitScores, NDArray[np.int64] | None]:
    """Logits of every exit for the items of a run with ``run_seed``, and the items' originals."""
    known = packaged_scores(model, "evaluation")
    if known is not None:
        return known, None
    split = load_evaluation(model, run_seed)
    return _scores(model, split), split.originals


def known_info(model: ModelSection) -> ModelInfo:
    """Sizes and costs of the network, without loading torch where they are kept."""
    known = packaged_info(model)
    if known is not None:
        return known
    path = cache_folder() / "scores" / f"{network_key(model, _FORMAT)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return ModelInfo.from_json(json.loads(path.read_text(encoding="utf-8")))
    from mdibench.models.registry import network_info

    info = network_info(model)
    write_text_cached(path, json.dumps(asdict(info)))
    return info


def _scores(model: ModelSection, split: Split) -> ExitScores:
    path = cache_folder() / "scores" / f"{network_key(model, _FORMAT, split.digest())}.npy"
    logits = _read(path)
    if logits is not None:
        return ExitScores(logits, split.labels)
    from mdibench.models.registry import load_model

    log.info("scoring %d items, once for this network", len(split))
    scores = score(load_model(model), split)
    write_cached(path, lambda draft: _write(draft, scores.logits))
    return scores


def _read(path: Path) -> NDArray[np.float32] | None:
    """The logits in ``path``; None if the file is missing or damaged."""
    try:
        logits: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
    return logits


def _write(draft: Path, logits: NDArray[np.float32]) -> None:
    with draft.open("wb") as file:
        np.save(file, logits, allow_pickle=False)
