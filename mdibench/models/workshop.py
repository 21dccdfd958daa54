"""A training job from its options to its weights file and model card: what ``train`` does."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mdibench.data.registry import load_dataset
from mdibench.errors import Problem, UserError
from mdibench.models.card import described, write_card
from mdibench.models.evaluation import score
from mdibench.models.memory import keep_freed_memory
from mdibench.models.progress import TrainingProgress
from mdibench.models.recipes import items_of_epoch, plan_for
from mdibench.models.registry import build_network
from mdibench.models.training import Recipe, as_module, train
from mdibench.models.weights import load_weights, make_place, save_weights


@dataclass(frozen=True, slots=True)
class Job:
    """The options of ``mdibench train``; ``None`` leaves the choice to the recipe or machine."""

    name: str
    dataset: str
    data_dir: str | None
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


def run_job(job: Job) -> None:
    """Train, write ``job.out`` and its card, and print the accuracy of each exit."""
    keep_freed_memory()
    torch.set_num_threads(job.threads or usable_cores())
    torch.manual_seed(job.seed)
    plan = plan_for(job.name, job.dataset)
    recipe = chosen_recipe(plan.recipe, job)
    if job.items is not None and job.items < recipe.batch:
        what = f"{job.items} items do not fill a batch"
        raise UserError(Problem(what, "--items", f"{recipe.batch} or more"))
    make_place(job.out)
    network = build_network(job.name, plan.dataset)
    if job.weights is not None:
        load_weights(job.weights, network)
        as_module(network).requires_grad_()
    dataset = load_dataset(plan.dataset, job.data_dir)
    with TrainingProgress(job.name, recipe.epochs) as progress:
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
    load_weights(job.out, network)  # judge what was written: half precision included
    scores = score(network, dataset.evaluation)
    accuracy = [round(float(value), 4) for value in scores.accuracy]
    save_weights(job.out, network, facts | {"accuracy": json.dumps(accuracy)})
    start = f"from the weights {job.weights.name}" if job.weights else "from random weights"
    how = f"{described(recipe)}; seed {job.seed}; {start}"
    card = write_card(job.out, network, how, plan.dataset, scores)
    sys.stdout.write(card)


def chosen_recipe(recipe: Recipe, job: Job) -> Recipe:
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
