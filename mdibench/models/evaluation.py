"""Scores of a network: the logits of every exit for every item of a split.

Only ``score`` and ``all_logits`` load torch: kept scores are read without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mdibench.data.dataset import Split
from mdibench.errors import Problem, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from mdibench.models.network import MultiExitNetwork

BATCH = 250


@dataclass(frozen=True, slots=True)
class ExitScores:
    """``logits`` float32 ``[K, N, classes]`` and ``labels`` int64 ``[N]``."""

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``[K, N]``: whether exit k classifies an item correctly."""
        hits: NDArray[np.bool_] = self.logits.argmax(2) == self.labels
        return hits

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """``[K]``: accuracy of each exit if every item left there."""
        share: NDArray[np.float64] = self.correct.mean(axis=1)
        return share


def all_logits(network: MultiExitNetwork, pixels: Tensor) -> list[Tensor]:
    """Logits ``[N, classes]`` of every head, in order, for a batch of raw items."""
    logits = []
    features = pixels
    for block, head in zip(network.blocks, network.heads, strict=True):
        features = block(features)
        logits.append(head(features))
    return logits


def score(network: MultiExitNetwork, split: Split) -> ExitScores:
    """Logits of every exit for every item, in evaluation mode, on the network's device.

    Raises UserError where an exit gives NaN.
    """
    import torch

    parts = [*network.blocks, *network.heads]
    device = next((p.device for part in parts for p in part.parameters()), torch.device("cpu"))
    for part in parts:
        part.eval()
    batches = []
    with torch.inference_mode():
        for start in range(0, len(split), BATCH):
            pixels = torch.from_numpy(split.inputs[start : start + BATCH]).to(device)
            batches.append(
                torch.stack([each.float() for each in all_logits(network, pixels)]).cpu().numpy()
            )
    logits = np.concatenate(batches, axis=1)
    _check_finite(network.name, logits)
    return ExitScores(logits, split.labels)


def _check_finite(name: str, logits: NDArray[np.float32]) -> None:
    """Raise UserError where an exit has no answer: NaN compares with no threshold."""
    lost = (~np.isfinite(logits.max(axis=2))).sum(axis=1)
    for number, count in enumerate(lost.tolist(), start=1):
        if count:
            items = f"{count} of {logits.shape[1]} items"
            what = f"exit {number} of {name} gives NaN or infinity for {items}"
            remedy = "train it again, or check its weights and normalisation"
            raise UserError(Problem(what, "model.name", remedy))


def first_exits(confidence: NDArray[np.floating], threshold: float) -> NDArray[np.int64]:
    """Index (from 0) of the exit that each item takes; ``confidence`` ``[K, N]``, T_e for all.

    At T_e = 1 all take the last.
    """
    leaves = (confidence >= threshold) & (threshold < 1)
    leaves[-1] = True
    exits: NDArray[np.int64] = leaves.argmax(axis=0)
    return exits
