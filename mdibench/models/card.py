"""Model cards: what a weights file is, how it was made, and what was measured of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdibench.models.cost import describe
from mdibench.models.evaluation import ExitScores, first_exits
from mdibench.models.network import MultiExitNetwork
from mdibench.models.training import Recipe
from mdibench.models.weights import CARD

THRESHOLD = 0.8
"""The threshold of the card's table: the default of a config."""

LICENCE = "Apache-2.0, as the package"

DATA_NOTES = {
    "digits": "scikit-learn's digits (UCI ML Optical Recognition of Handwritten Digits, CC BY 4.0) "
    "at 32 x 32 with seeded corruption, new corruption in every training epoch",
    "cifar10": "CIFAR-10 (Krizhevsky 2009), 45,000 training items",
}


def write_card(
    weights: Path,
    network: MultiExitNetwork,
    recipe: str,
    dataset: str,
    scores: ExitScores,
) -> str:
    """Write the card of ``weights`` beside them, as Markdown, and return its text."""
    text = "\n".join(
        [
            f"# {network.name} on {dataset}",
            "",
            f"* Data: {DATA_NOTES.get(dataset, dataset)}.",
            f"* Evaluation: {len(scores.labels):,} items that share nothing with training.",
            f"* Recipe: {recipe}.",
            f"* Weights: {weights.stat().st_size / 1e6:.2f} MB, kernels in half precision.",
            f"* Licence: {LICENCE}.",
            "",
            *_table(network, scores),
            "",
        ]
    )
    weights.with_suffix(CARD).write_text(text)
    return text


def described(recipe: Recipe) -> str:
    """The recipe in one line."""
    return ", ".join(f"{key} {value}" for key, value in asdict(recipe).items() if value)


def _table(network: MultiExitNetwork, scores: ExitScores) -> list[str]:
    """One row per exit, and below it what the default threshold makes of them."""
    info = describe(network)
    exits = first_exits(softmax_peak(scores.logits), THRESHOLD)
    taken = np.bincount(exits, minlength=network.exits) / len(exits)
    lines = [
        f"| exit | accuracy at T_e = 1 | taken at T_e = {THRESHOLD} | MFLOPs of block and head "
        "| parameters | feature bytes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for number, block in enumerate(info.blocks):
        lines.append(
            f"| {number + 1} | {scores.accuracy[number]:.4f} | {taken[number]:.1%} "
            f"| {block.flops / 1e6:.1f} | {block.parameters:,} | {block.output_bytes:,} |"
        )
    total = scores.correct[exits, np.arange(len(exits))].mean()
    return [*lines, "", f"Accuracy with early exits at T_e = {THRESHOLD}: {total:.4f}."]


def softmax_peak(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest softmax probability along the last axis."""
    peak = logits.max(axis=-1, keepdims=True)
    return 1 / np.exp(logits - peak).sum(axis=-1)  # type: ignore[no-any-return]
