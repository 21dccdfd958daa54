"""The logits of every exit for a run's items: shipped with the package, cached, or computed now.

Thresholds are calibrated on them, and simulations and runs with recorded answers are made of them.
Only computing them needs the network and torch; where they are known, neither is loaded. A cached
file is named by everything that its content depends on: the network's code and weights, and the
items.

The package has a small file of answers for a network whose weights are too large for it. Of each
item and exit it keeps how far every logit is below the largest (8 bits, finer for small gaps) and,
in half precision, the logarithm of the other classes' odds: so the class is exact, ``max-softmax``
is within 2e-3 without a temperature, and every measure and temperature can be applied.

    python -m mdibench.training.scores resnet50 weights/resnet50.safetensors OUT.answers.npz
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Split, dataset_of, load_evaluation
from mdibench.errors import Problem, UserError, say
from mdibench.models.evaluation import ExitScores, score
from mdibench.models.packaged import fingerprint, network_key, packaged_answers, weights_file
from mdibench.network.plan import ModelInfo
from mdibench.record.files import (
    cache_folder,
    made_once,
    write_cached,
    write_text_cached,
    write_whole,
)

_FORMAT = "2"
log = logging.getLogger(__name__)
SPLITS = ("evaluation", "calibration")
FINENESS = 40.0
"""A gap g is kept as the whole number nearest to FINENESS times its square root."""
SMALLEST_GAP = 1e-6


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

    def computed() -> NDArray[np.float32]:
        from mdibench.models.registry import load_model

        log.info("scoring %d items, once for this network", len(split))
        logits = score(load_model(model), split).logits
        write_cached(path, lambda draft: _write(draft, logits))
        return logits

    return ExitScores(made_once(path, lambda: _read(path), computed), split.labels)


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


# --- the answers that the package has ------------------------------------------------------------


def packed(scores: ExitScores) -> dict[str, NDArray[np.generic]]:
    """``gaps`` uint8 ``[classes, K, N]``, 0 for the class; ``odds`` and ``labels``."""
    logits = scores.logits.astype(np.float64)
    gaps = logits.max(axis=2, keepdims=True) - logits
    top = np.arange(logits.shape[2]) == logits.argmax(axis=2)[..., None]
    kept = np.where(top, 0, np.rint(FINENESS * np.sqrt(gaps)).clip(1, 255))
    odds = np.log(np.where(top, 0, np.exp(-gaps)).sum(axis=2))
    return {
        "gaps": np.moveaxis(kept, 2, 0).astype(np.uint8),
        "odds": odds.astype(np.float16),
        "labels": scores.labels.astype(np.uint8),
    }


def unpacked(gaps: NDArray[np.uint8], odds: NDArray[np.float16]) -> NDArray[np.float32]:
    """Logits ``[K, N, classes]``, 0 for the class: the gaps, moved so that the odds are exact."""
    kept = np.moveaxis(gaps, 0, 2)
    wide = (kept / FINENESS) ** 2
    others = np.where(kept == 0, 0, np.exp(-wide)).sum(axis=2)
    wide += (np.log(others) - odds.astype(np.float64))[..., None]
    logits: NDArray[np.float32] = np.where(kept == 0, 0, -np.maximum(wide, SMALLEST_GAP)).astype(
        np.float32
    )
    return logits


def write_packed(path: Path, info: ModelInfo, weights: str, splits: dict[str, ExitScores]) -> None:
    """Write the answers for both splits; ``weights`` is the fingerprint of their file."""
    arrays = {
        f"{split}_{name}": array
        for split, scores in splits.items()
        for name, array in packed(scores).items()
    }
    facts = np.frombuffer(json.dumps({"info": asdict(info), "weights": weights}).encode(), np.uint8)

    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, facts=facts, **arrays)

    write_whole(path, write)


def packaged_info(model: ModelSection) -> ModelInfo | None:
    """Sizes and costs of the network, where the package has its answers."""
    path = _answers_of(model)
    return ModelInfo.from_json(_facts(path)["info"]) if path else None


def packaged_scores(model: ModelSection, split: str) -> ExitScores | None:
    """The packaged answers of the configured network for ``evaluation`` or ``calibration``."""
    path = _answers_of(model)
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            logits = unpacked(stored[f"{split}_gaps"], stored[f"{split}_odds"])
            return ExitScores(logits, stored[f"{split}_labels"].astype(np.int64))
    except (OSError, KeyError, ValueError, BadZipFile) as failure:
        raise _damaged(path, failure) from failure


def _answers_of(model: ModelSection) -> Path | None:
    """The package's file, if it is of the weights that the config means."""
    path = packaged_answers(model.name)
    if ":" in model.name or model.dataset != "cifar10" or not path.is_file():
        return None
    if model.weights is None:
        return path
    weights = fingerprint(weights_file(model.name, model.weights))
    return path if weights == _facts(path)["weights"] else None


def _facts(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts: dict[str, Any] = json.loads(stored["facts"].tobytes())
            return facts
    except (OSError, KeyError, ValueError, BadZipFile) as failure:
        raise _damaged(path, failure) from failure


def _damaged(path: Path, failure: Exception) -> UserError:
    what = f"damaged, or not a file of recorded answers ({type(failure).__name__})"
    return UserError(Problem(what, str(path), "install mdibench again"))


def main(name: str, weights: str, out: str) -> None:
    """Ask the network with ``weights`` about both splits, and write ``out``."""
    model = ModelSection(name=name, dataset="cifar10", weights=weights)
    both = {
        "evaluation": evaluation_scores(model)[0],
        "calibration": calibration_scores(model),
    }
    write_packed(Path(out), known_info(model), fingerprint(Path(weights)), both)
    for split, found in both.items():
        say(f"{split}: accuracy of each exit {', '.join(f'{x:.4f}' for x in found.accuracy)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
