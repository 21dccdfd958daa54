"""Recordings: the outcome of a real network for every item at every exit.

With them a simulation needs no network: its time is virtual, its accuracy and exits are real. A
recording is cached in a file named by everything it depends on: weights, items and confidence
measure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mdibench.compute.engine import Hosted, RecordedEngine
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Split
from mdibench.models.network import MultiExitNetwork
from mdibench.network.plan import ModelInfo
from mdibench.record.files import cache_folder, write_whole

if TYPE_CHECKING:
    from mdibench.compute.confidence import Measure

_FORMAT = b"1"


@dataclass(frozen=True, slots=True)
class Recordings:
    """``predictions`` int64 and ``confidences`` float64, both ``[K, N]``, of N labelled items."""

    predictions: NDArray[np.int64]
    confidences: NDArray[np.float64]
    labels: NDArray[np.int64]
    originals: NDArray[np.int64] | None = None
    """As in ``Split``."""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``[K, N]``: whether exit k classifies an item correctly."""
        hits: NDArray[np.bool_] = self.predictions == self.labels
        return hits

    def engine(self, model: ModelInfo, hosted: Hosted) -> RecordedEngine:
        """An engine that answers from these recordings for the blocks of ``hosted``."""
        sizes = [block.output_bytes for block in model.blocks[:-1]]
        return RecordedEngine(
            self.predictions.tolist(),
            self.confidences.tolist(),
            [*sizes, 0],
            hosted,
        )

    def compared(self, patience: bool) -> NDArray[np.float64]:
        """The values that are compared with thresholds, ``[K, N]``.

        With ``patience``, the number of heads in a row that agree / K.
        """
        if not patience:
            return self.confidences
        streaks = np.ones(self.predictions.shape)
        for k in range(1, len(streaks)):
            agrees = self.predictions[k] == self.predictions[k - 1]
            streaks[k] = np.where(agrees, streaks[k - 1] + 1, 1)
        return streaks / len(streaks)

    def exits(
        self, thresholds: Sequence[float], early_exit: bool = True, patience: bool = False
    ) -> NDArray[np.int64]:
        """The exit (from 1) that each item takes, ``[N]``."""
        limits = np.asarray(thresholds)[:, None]
        leaves = (self.compared(patience) >= limits) & (limits < 1) & early_exit
        leaves[-1] = True
        exits: NDArray[np.int64] = leaves.argmax(axis=0) + 1
        return exits


def record(
    model: ModelSection, temperatures: Sequence[float] = (), run_seed: int = 1
) -> Recordings:
    """The recordings of the configured network over a run's items, cached where possible.

    ``temperatures`` divide the logits of each exit (calibration). Raises UserError where network,
    weights or data are missing.
    """
    from mdibench.data.registry import load_evaluation
    from mdibench.models.registry import load_model

    network = load_model(model)
    split = load_evaluation(model.dataset, model.data_dir, run_seed)
    key = _key(network, split, f"{model.confidence} {temperatures}")
    path = cache_folder() / "recordings" / f"{key}.npz"
    known = _read(path)
    if known is not None:
        return replace(known, originals=split.originals)
    recordings = observe(network, split, model.confidence, temperatures)
    with suppress(OSError):  # a run does not fail without a cache
        _write(path, recordings)
    return recordings


def recorded_in(profile: Path) -> Recordings:
    """The recordings in a folder that ``mdibench profile`` wrote."""
    from mdibench.record.profile import read_exits

    table = read_exits(profile)
    return Recordings(
        np.array(table.predictions, np.int64),
        np.array(table.confidences, np.float64),
        np.array(table.labels, np.int64),
    )


def observe(
    network: MultiExitNetwork,
    split: Split,
    measure: Measure,
    temperatures: Sequence[float] = (),
) -> Recordings:
    """Run the network over ``split``, in batches."""
    from mdibench.models.evaluation import score
    from mdibench.training.calibration import confidences

    scores = score(network, split)
    scaled = confidences(scores, measure, tuple(temperatures) or None)
    return Recordings(
        scores.logits.argmax(2), scaled.astype(np.float64), split.labels, split.originals
    )


def _key(network: MultiExitNetwork, split: Split, measure: str) -> str:
    digest = hashlib.sha256(_FORMAT)
    digest.update(f"{network.name} {measure} {network.blocks} {network.heads}".encode())
    for part in (*network.blocks, *network.heads):
        for name, value in part.state_dict().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.cpu().numpy()).data)
    digest.update(np.ascontiguousarray(split.inputs).data)
    digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()[:32]


def _read(path: Path) -> Recordings | None:
    """The recordings in ``path``; None if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Recordings(stored["predictions"], stored["confidences"], stored["labels"])
    except (OSError, KeyError, ValueError, BadZipFile, EOFError):
        return None


def _write(path: Path, recordings: Recordings) -> None:
    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez_compressed(
                file,
                predictions=recordings.predictions,
                confidences=recordings.confidences,
                labels=recordings.labels,
            )

    write_whole(path, write)
