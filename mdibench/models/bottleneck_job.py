"""``mdibench train NAME --bottleneck RATIO``, from its options to a file of pairs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from mdibench.data.registry import load_dataset
from mdibench.models.bottleneck import save_pairs
from mdibench.models.bottleneck_training import PairRecipe, score_with_pairs, train_pairs
from mdibench.models.evaluation import ExitScores, score
from mdibench.models.registry import home_dataset, load_network, weights_file
from mdibench.models.weights import fingerprint, make_place
from mdibench.models.workshop import usable_cores

REPORT_EVERY = 25


@dataclass(frozen=True, slots=True)
class PairJob:
    """The options; ``None`` and empty text leave the choice to the network or the machine."""

    name: str
    dataset: str
    data_dir: str | None
    weights: str | None
    ratio: float
    seed: int
    threads: int | None
    out: Path


def run_pair_job(job: PairJob) -> None:
    """Learn the pairs, write ``job.out``, and print each exit's accuracy with and without."""
    torch.set_num_threads(job.threads or usable_cores())
    dataset_name = job.dataset or home_dataset(job.name)
    network = load_network(job.name, job.weights, dataset=dataset_name)
    make_place(job.out)
    dataset = load_dataset(dataset_name, job.data_dir)
    recipe = PairRecipe(ratio=job.ratio)
    pairs = train_pairs(network, dataset.train, recipe, job.seed, _say_step)
    plain = score(network, dataset.evaluation)
    narrowed = score_with_pairs(network, pairs, dataset.evaluation)
    facts = {
        "network": network.name,
        "weights": fingerprint(weights_file(job.name, job.weights)),
        "dataset": dataset_name,
        "ratio": f"{job.ratio:g}",
        "seed": str(job.seed),
        "accuracy": json.dumps(_rounded(narrowed)),
        "accuracy without": json.dumps(_rounded(plain)),
    }
    save_pairs(job.out, pairs, facts)
    sys.stdout.write(_table(plain, narrowed))


def _rounded(scores: ExitScores) -> list[float]:
    return [round(float(value), 4) for value in scores.accuracy]


def _table(plain: ExitScores, narrowed: ExitScores) -> str:
    """Accuracy of each exit; behind exit 1, every cut on the way is narrowed."""
    lines = ["exit   accuracy   with the bottleneck at every cut   change"]
    rows = zip(plain.accuracy, narrowed.accuracy, strict=True)
    for number, (before, after) in enumerate(rows, start=1):
        lines.append(f"{number:4}   {before:8.4f}   {after:32.4f}   {after - before:+.4f}")
    return "\n".join(lines) + "\n"


def _say_step(step: int, steps: int) -> None:
    if step % REPORT_EVERY == 0 or step == steps:
        sys.stderr.write(f"step {step} of {steps}\n")
        sys.stderr.flush()
