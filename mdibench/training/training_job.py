"""A training job, for ``mdibench train``: from its options to a weights file and a model card.

The card says what a weights file is, how it was made, and what was measured. Progress goes to
stderr: a bar on a terminal, a line per epoch elsewhere. Each packaged network has a default recipe.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mdibench.compute.engine import keep_freed_memory
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Dataset, Split, load_dataset
from mdibench.errors import Problem, UserError
from mdibench.models.cost import network_costs
from mdibench.models.evaluation import ExitScores, first_exits, score
from mdibench.models.inspection import ITEMS, inspect
from mdibench.models.network import MultiExitNetwork
from mdibench.models.registry import build
from mdibench.models.weights import (
    CARD,
    continue_from,
    load_weights,
    make_place,
    save_weights,
    weights_cuts,
)
from mdibench.training.loop import EpochReport, ItemsOfEpoch, Recipe, train


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """The options of ``mdibench train``; None: the default of the recipe or the machine."""

    model: ModelSection
    """The network and its data; an empty ``dataset`` means the recipe's."""
    seed: int
    epochs: int | None
    items: int | None
    threads: int | None
    precision: str
    distillation: float | None
    weights: Path | None
    learning_rate: float | None
    checkpoint: Path | None
    out: Path


def run_job(job: TrainingJob) -> None:
    """Train, write ``job.out`` and its card, and print the accuracy of each exit."""
    keep_freed_memory()
    torch.set_num_threads(job.threads or usable_cores())
    torch.manual_seed(job.seed)
    plan = plan_for(job.model.name, job.model.dataset)
    model = job.model.model_copy(update={"dataset": plan.dataset, "weights": None})
    recipe = chosen_recipe(plan.recipe, job)
    if job.items is not None and job.items < recipe.batch:
        what = f"{job.items} items do not fill a batch"
        raise UserError(Problem(what, "--items", f"{recipe.batch} or more"))
    make_place(job.out)
    network = build(_as_weights_say(model, job.weights))
    if job.weights is not None:
        continue_from(job.weights, network)
    dataset = load_dataset(plan.dataset, model.data_dir, pictures=model.pictures)
    recipe = _fitting(recipe, dataset)
    if ":" in model.name:
        inspect(network, dataset.train.spread(ITEMS))
    with TrainingProgress(model.name, recipe.epochs) as progress:
        train(
            network,
            items_of_epoch(dataset, job.seed, job.items),
            recipe,
            job.seed,
            checkpoint=job.checkpoint,
            on_step=progress.step,
            on_epoch=progress.epoch,
        )
    facts = {"dataset": plan.dataset, "seed": str(job.seed)}
    save_weights(job.out, network, facts)
    load_weights(job.out, network)  # score the weights as stored, in half precision
    scores = score(network, dataset.evaluation)
    accuracy = [round(float(value), 4) for value in scores.accuracy]
    save_weights(job.out, network, facts | {"accuracy": json.dumps(accuracy)})
    start = f"from the weights {job.weights.name}" if job.weights else "from random weights"
    origin = f"{described(recipe)}; seed {job.seed}; {start}"
    card = write_card(job.out, network, origin, plan.dataset, scores)
    sys.stdout.write(card)


def _fitting(recipe: Recipe, dataset: Dataset) -> Recipe:
    """``recipe`` with a batch that a small data set fills; UserError without training items."""
    if len(dataset.train) < 2 or not len(dataset.evaluation):
        what = f"{dataset.name} has {len(dataset.train)} training items"
        raise UserError(Problem(what, "model.dataset", "list more pictures, or their splits"))
    return replace(recipe, batch=min(recipe.batch, len(dataset.train)))


def _as_weights_say(model: ModelSection, weights: Path | None) -> ModelSection:
    """``model`` cut where the weights to start from were, unless it says where."""
    cuts = weights_cuts(weights) if weights is not None else ()
    if isinstance(model.cuts, tuple) or not cuts:
        return model
    return model.model_copy(update={"cuts": cuts})


def chosen_recipe(recipe: Recipe, job: TrainingJob) -> Recipe:
    """``recipe`` with what the options change."""
    wants_bfloat16 = recipe.bfloat16 and computes_bfloat16()
    return replace(
        recipe,
        epochs=job.epochs or recipe.epochs,
        learning_rate=job.learning_rate or recipe.learning_rate,
        small=recipe.small if job.weights is None else None,
        distillation=recipe.distillation if job.distillation is None else job.distillation,
        bfloat16=wants_bfloat16 if job.precision == "auto" else job.precision == "bfloat16",
    )


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def computes_bfloat16() -> bool:
    """Whether this machine's accelerator or processor has bfloat16 arithmetic of its own."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(
        word in flags.read_text(errors="replace") for word in ("avx512_bf16", "amx_bf16", " bf16")
    )


# --- model card ----------------------------------------------------------------------------------

THRESHOLD = 0.8
"""T_e in the card's table: the default of a config."""

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
    """The recipe in one line, defaults of zero left out."""
    return ", ".join(f"{key} {value}" for key, value in asdict(recipe).items() if value)


def _table(network: MultiExitNetwork, scores: ExitScores) -> list[str]:
    """One row per exit, and the accuracy with early exits at the default threshold."""
    info = network_costs(network)
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


# --- progress ------------------------------------------------------------------------------------


class TrainingProgress(Progress):
    """A progress bar; pass ``step`` and ``epoch`` to ``loop.train``, inside a ``with`` block."""

    def __init__(self, name: str, epochs: int) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        super().__init__(
            TextColumn(f"training {name}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._done = 0
        self._task = self.add_task(name, total=float(epochs))

    def step(self, step: int, steps: int) -> None:
        """Show that ``step`` of the epoch's ``steps`` is done."""
        self.update(self._task, completed=self._done + step / steps)

    def epoch(self, report: EpochReport) -> None:
        """Print the loss and the accuracies of an epoch."""
        self._done = report.epoch
        accuracy = " ".join(f"{value:.3f}" for value in report.train_accuracy)
        self.console.print(
            f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, "
            f"training accuracy by exit {accuracy}, {report.seconds:.0f} s"
        )


# --- default recipes -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A data set and a recipe."""

    dataset: str
    recipe: Recipe


_CIFAR = Recipe(
    epochs=10,
    learning_rate=0.08,
    optimizer="sgd",
    weight_decay=5e-4,
    exit_weights=(),
    label_smoothing=0.05,
    augmentation="crop-flip",
    bfloat16=True,
    channels_last=True,
)

TRAINING_PLANS: Mapping[str, TrainingPlan] = {
    "digits-cnn": TrainingPlan(
        "digits",
        Recipe(
            epochs=14,
            learning_rate=2e-3,
            exit_weights=(0.7, 0.7, 0.8, 1.0, 1.2),
            bfloat16=True,
        ),
    ),
    "mobilenetv2": TrainingPlan(
        "cifar10", replace(_CIFAR, exit_weights=(0.3, 0.3, 0.5, 0.7, 1.0), small=(6, 24))
    ),
    "resnet20": TrainingPlan(
        "cifar10", replace(_CIFAR, epochs=24, exit_weights=(0.4, 0.5, 0.7, 1.0))
    ),
    "resnet32": TrainingPlan("cifar10", replace(_CIFAR, epochs=12)),
    "resnet56": TrainingPlan("cifar10", replace(_CIFAR, epochs=12)),
    "resnet50": TrainingPlan("cifar10", replace(_CIFAR, epochs=30)),
}


def plan_for(name: str, dataset: str) -> TrainingPlan:
    """The plan of network ``name``; a user's network gets that of ours on the same data set."""
    if name in TRAINING_PLANS:
        return replace(TRAINING_PLANS[name], dataset=dataset or TRAINING_PLANS[name].dataset)
    if dataset not in ("", "digits"):
        return TrainingPlan(dataset, _CIFAR)
    digits = TRAINING_PLANS["digits-cnn"]
    return replace(digits, recipe=replace(digits.recipe, exit_weights=()))


def items_of_epoch(dataset: Dataset, seed: int, count: int | None = None) -> ItemsOfEpoch:
    """The training items of each epoch: digits with new corruption, others always the same.

    ``count`` limits each epoch to the first items.
    """

    def items(epoch: int) -> Split:
        split = dataset.train
        if dataset.name == "digits":
            # The division is the same for every seed: no evaluation original is used.
            split = load_dataset("digits", seed=1_000_003 * (seed + 1) + epoch).train
        return split.first(count)

    return items
