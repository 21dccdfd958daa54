"""Recordings: the outcome of a real network for every item at every exit.

With them simulations and emulated runs need no network: their accuracy and exits are real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from mdibench.compute.engine import Hosted, RecordedEngine
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.errors import Problem, UserError
from mdibench.network.plan import BlockInfo, ModelInfo
from mdibench.training.calibration import confidences
from mdibench.training.coded_answers import CodedAnswers
from mdibench.training.scores import evaluation_scores

Answers: TypeAlias = tuple[list[list[Any]], list[list[Any]]]
"""Predictions and confidences by exit, as plain lists, for ``RecordedEngine``."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """``predictions`` int64 and ``confidences`` float64, both ``[K, N]``, of N labelled items."""

    predictions: NDArray[np.int64]
    confidences: NDArray[np.float64]
    labels: NDArray[np.int64]
    originals: NDArray[np.int64] | None = None
    """As in ``Split``."""
    coded: CodedAnswers | None = None
    """The outcomes under the codec of the run's links, where these are known."""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``[K, N]``: whether exit k classifies an item correctly."""
        hits: NDArray[np.bool_] = self.predictions == self.labels
        return hits

    def lists(self) -> Answers:
        """Predictions and confidences for engines; of every set of encoded cuts where known."""
        if self.coded is None:
            return self.predictions.tolist(), self.confidences.tolist()
        predictions, confidences = self.coded.predictions, self.coded.confidences
        return [each.tolist() for each in predictions], [each.tolist() for each in confidences]

    def engine(
        self,
        model: ModelInfo,
        hosted: Hosted,
        maps: bool = False,
        encoded: Callable[[Task], int] | None = None,
        lists: Answers | None = None,
    ) -> RecordedEngine:
        """An engine that answers from these recordings for the blocks of ``hosted``.

        With ``maps`` its payloads are feature maps of zeros, for a run that sends them. ``encoded``
        tells the cuts at which a task's maps were encoded, where that is recorded; engines can
        share ``lists``.
        """
        inner = model.blocks[:-1]
        return RecordedEngine(
            *(lists or self.lists()),
            [*(block.output_bytes for block in inner), 0],
            hosted,
            [*(_zeros(block) for block in inner), None] if maps else (),
            encoded if self.coded is not None else None,
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


def _zeros(block: BlockInfo) -> NDArray[np.generic]:
    """A feature map of the right shape and size."""
    elements = prod(block.output_shape)
    return np.zeros(block.output_shape, f"f{block.output_bytes // elements}")


def record(
    model: ModelSection, temperatures: Sequence[float] = (), run_seed: int = 1
) -> Recordings:
    """The recordings of the configured network over a run's items.

    ``temperatures`` divide the logits of each exit (calibration). Raises UserError where network,
    weights or data are missing.
    """
    scores, originals = evaluation_scores(model, run_seed)
    scaled = confidences(scores, model.confidence, tuple(temperatures) or None)
    return Recordings(scores.logits.argmax(2), scaled.astype(np.float64), scores.labels, originals)


def recorded_in(profile: Path) -> Recordings:
    """The recordings in a folder that ``mdibench profile`` wrote."""
    from mdibench.record.profile import read_exits

    table = read_exits(profile)
    return Recordings(
        np.array(table.predictions, np.int64),
        np.array(table.confidences, np.float64),
        np.array(table.labels, np.int64),
    )


SPOT_CHECK = 8
"""Items on which a profile's answers are compared with the network's."""
MOST_CHANGED = 0.25
"""Share of them that an exit may classify otherwise: another machine rounds otherwise."""


def check_answers(model: ModelSection, known: Recordings, profile: Path) -> None:
    """Raise UserError where the network does not say any more what ``profile`` has recorded."""
    from mdibench.data.registry import dataset_of
    from mdibench.models.inspection import answers
    from mdibench.models.registry import load_model

    count = len(known.labels)
    chosen = np.unique(np.linspace(0, count - 1, min(SPOT_CHECK, count)).astype(int))
    items = dataset_of(model).evaluation.inputs[chosen]
    said = answers(load_model(model), items).argmax(2)
    changed = (said != known.predictions[:, chosen]).mean(axis=1)
    if changed.max() > MOST_CHANGED:
        what = f"exit {int(changed.argmax()) + 1} of {model.name} answers otherwise now"
        remedy = "its code or weights have changed: profile it again"
        raise UserError(Problem(what, str(profile), remedy))


def packed(recordings: Recordings) -> bytes:
    """What the ranks of a run need of the recordings, as one message."""
    arrays: dict[str, NDArray[Any]] = {
        "predictions": recordings.predictions.astype(np.int32),
        "confidences": recordings.confidences.astype(np.float32),
    }
    if recordings.coded is not None:
        coded = recordings.coded
        for k, (classes, shares) in enumerate(
            zip(coded.predictions, coded.confidences, strict=True), 1
        ):
            arrays[f"coded_predictions{k}"] = classes.astype(np.int32)
            arrays[f"coded_confidences{k}"] = shares.astype(np.float32)
    message: bytes = save(arrays)
    return message


def unpacked(message: bytes) -> Recordings:
    """The reverse of ``packed``: recordings without labels."""
    arrays = load(message)
    return Recordings(
        arrays["predictions"].astype(np.int64),
        arrays["confidences"].astype(np.float64),
        np.empty(0, np.int64),
        coded=_coded(arrays),
    )


def _coded(arrays: dict[str, NDArray[Any]]) -> CodedAnswers | None:
    exits = sum(name.startswith("coded_predictions") for name in arrays)
    if not exits:
        return None
    classes = tuple(arrays[f"coded_predictions{k}"].astype(np.int64) for k in range(1, exits + 1))
    shares = tuple(arrays[f"coded_confidences{k}"].astype(np.float64) for k in range(1, exits + 1))
    return CodedAnswers(classes, shares, (), ())
