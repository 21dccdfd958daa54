"""Training of the bottleneck pairs of a trained network, whose weights stay frozen.

Each pair starts with the channels that the others predict worst and a least-squares estimate of
the rest. It is then trained with all cuts narrowed at once: the loss is the divergence of every
head's class distribution from the one without a bottleneck. Quantisation is part of the training
(straight-through gradient). ``run_pair_job`` is ``mdibench train NAME --bottleneck RATIO``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mdibench.codec.bottleneck import CodecPair, bits_for, narrow_channels, save_pairs
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Split, dataset_of
from mdibench.models.evaluation import BATCH, ExitScores, score
from mdibench.models.network import MultiExitNetwork
from mdibench.models.packaged import fingerprint, weights_file
from mdibench.models.registry import home_dataset, load_model
from mdibench.models.weights import make_place
from mdibench.training.training_job import usable_cores

STATISTICS_ITEMS = 500
RIDGE = 1e-4
"""Added to every channel's variance, as a share of their mean: constant channels have none."""
REPORT_EVERY = 25
"""Steps between two progress lines."""


@dataclass(frozen=True, slots=True)
class PairRecipe:
    """Hyperparameters of the training of pairs."""

    ratio: float = 8.0
    steps: int = 400
    batch: int = 64
    learning_rate: float = 2e-3


class TrainablePair(nn.Module):
    """A pair as torch layers, with the quantisation between them."""

    def __init__(self, start: CodecPair) -> None:
        super().__init__()
        self.encoder = _layer(start.encoder, start.encoder_bias)
        self.decoder = _layer(start.decoder, start.decoder_bias)
        self.bits = start.bits

    def forward(self, features: Tensor) -> Tensor:
        """``features`` ``[N, C, H, W]`` as the receiver decodes them."""
        code = self.encoder(features)
        low = code.detach().amin((1, 2, 3), keepdim=True)
        span = code.detach().amax((1, 2, 3), keepdim=True) - low
        step = (span / (2**self.bits - 1)).clamp_min(1e-12)
        rounded = code + (torch.round((code - low) / step) * step + low - code).detach()
        decoded: Tensor = self.decoder(rounded)
        return decoded

    def frozen(self) -> CodecPair:
        """The pair as numpy arrays."""
        return CodecPair(
            self.encoder.weight.detach()[:, :, 0, 0].numpy().copy(),
            _bias(self.encoder),
            self.decoder.weight.detach()[:, :, 0, 0].numpy().copy(),
            _bias(self.decoder),
            self.bits,
        )


def train_pairs(
    network: MultiExitNetwork,
    items: Split,
    recipe: PairRecipe,
    seed: int,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> dict[int, CodecPair]:
    """Pairs for all cuts of ``network`` (trained, frozen), learned on ``items``."""
    rng = np.random.default_rng(seed)
    sample = rng.choice(len(items), min(STATISTICS_ITEMS, len(items)), replace=False)
    starts = first_pairs(network, torch.from_numpy(items.inputs[sample]), recipe.ratio)
    pairs = nn.ModuleDict({str(cut): TrainablePair(pair) for cut, pair in starts.items()})
    optimizer = torch.optim.Adam(pairs.parameters(), recipe.learning_rate)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * (1 - step / recipe.steps)
        chosen = rng.choice(len(items), recipe.batch)
        loss = _loss(network, pairs, torch.from_numpy(items.inputs[chosen]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        on_step(step + 1, recipe.steps)
    return {int(cut): pair.frozen() for cut, pair in pairs.items()}  # type: ignore[operator]


def first_pairs(network: MultiExitNetwork, items: Tensor, ratio: float) -> dict[int, CodecPair]:
    """Pairs that keep some channels of every cut and estimate the others, from ``items``."""
    pairs = {}
    features = items
    with torch.inference_mode():
        for cut, block in enumerate(network.blocks[:-1], start=1):
            features = block(features)
            narrow = narrow_channels(features.shape[1:], ratio)
            pairs[cut] = _first_pair(features.numpy(), narrow, bits_for(ratio))
    return pairs


def score_with_pairs(
    network: MultiExitNetwork, pairs: Mapping[int, CodecPair], split: Split
) -> ExitScores:
    """Logits of every exit with every cut narrowed: the worst case of a run."""
    modules = {cut: TrainablePair(pair) for cut, pair in pairs.items()}
    batches = []
    with torch.inference_mode():
        for start in range(0, len(split), BATCH):
            features = torch.from_numpy(split.inputs[start : start + BATCH])
            batches.append(torch.stack(_narrowed(network, modules, features)).numpy())
    return ExitScores(np.concatenate(batches, axis=1), split.labels)


def _first_pair(features: np.ndarray, narrow: int, bits: int) -> CodecPair:
    """``features`` ``[N, C, H, W]``: keep ``narrow`` channels, estimate all by least squares."""
    columns = features.transpose(1, 0, 2, 3).reshape(features.shape[1], -1).astype(np.float64)
    mean, covariance = columns.mean(axis=1), np.cov(columns)
    covariance += RIDGE * np.trace(covariance) / len(mean) * np.eye(len(mean))
    kept = _least_redundant(covariance, narrow)
    decoder = np.linalg.solve(covariance[np.ix_(kept, kept)], covariance[kept]).T
    return CodecPair(
        np.eye(len(mean), dtype=np.float32)[kept],
        np.zeros(narrow, np.float32),
        decoder.astype(np.float32),
        (mean - decoder @ mean[kept]).astype(np.float32),
        bits,
    )


def _least_redundant(covariance: np.ndarray, count: int) -> list[int]:
    """``count`` channels: repeatedly drops the one that the rest predicts best."""
    kept = list(range(len(covariance)))
    while len(kept) > count:
        residual = 1 / np.diag(np.linalg.inv(covariance[np.ix_(kept, kept)]))
        del kept[int(np.argmin(residual))]
    return kept


def _loss(network: MultiExitNetwork, pairs: nn.ModuleDict, items: Tensor) -> Tensor:
    """Divergence of every narrowed head from the same head without a bottleneck."""
    with torch.no_grad():
        teachers = _narrowed(network, {}, items)
    modules = {int(cut): pair for cut, pair in pairs.items()}
    students = _narrowed(network, modules, items)
    return torch.stack(
        [
            functional.kl_div(
                functional.log_softmax(student, dim=1),
                functional.log_softmax(teacher, dim=1),
                reduction="batchmean",
                log_target=True,
            )
            for student, teacher in zip(students[1:], teachers[1:], strict=True)
        ]
    ).sum()


def _narrowed(
    network: MultiExitNetwork, pairs: Mapping[int, nn.Module], items: Tensor
) -> list[Tensor]:
    """Logits of every head; the feature map passes the pair of every cut that has one."""
    logits = []
    features = items
    for number, (block, head) in enumerate(zip(network.blocks, network.heads, strict=True), 1):
        features = block(features)
        logits.append(head(features))
        if number in pairs:
            features = pairs[number](features)
    return logits


def _layer(weight: np.ndarray, bias: np.ndarray) -> nn.Conv2d:
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    layer.load_state_dict(
        {
            "weight": torch.from_numpy(weight)[:, :, None, None].clone(),
            "bias": torch.from_numpy(bias).clone(),
        }
    )
    return layer


def _bias(layer: nn.Conv2d) -> np.ndarray:
    assert layer.bias is not None
    return layer.bias.detach().numpy().copy()


# --- the command ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PairJob:
    """The options of the command; None and empty text: defaults of the network or machine."""

    model: ModelSection
    """The network and its data; an empty ``dataset`` means the network's own."""
    weights: str | None
    ratio: float
    seed: int
    threads: int | None
    out: Path


def run_pair_job(job: PairJob) -> None:
    """Train the pairs, write ``job.out``, and print each exit's accuracy with and without."""
    torch.set_num_threads(job.threads or usable_cores())
    dataset_name = job.model.dataset or home_dataset(job.model.name)
    weights = job.weights or job.model.weights
    model = job.model.model_copy(update={"dataset": dataset_name, "weights": weights})
    network = load_model(model)
    make_place(job.out)
    dataset = dataset_of(model)
    recipe = PairRecipe(ratio=job.ratio)
    pairs = train_pairs(network, dataset.train, recipe, job.seed, _report_step)
    plain = score(network, dataset.evaluation)
    narrowed = score_with_pairs(network, pairs, dataset.evaluation)
    facts = {
        "network": network.name,
        "weights": fingerprint(weights_file(model.name, weights)),
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
    """Accuracy of each exit without and with the pairs, as text."""
    lines = ["exit   accuracy   with the bottleneck at every cut   change"]
    rows = zip(plain.accuracy, narrowed.accuracy, strict=True)
    for number, (before, after) in enumerate(rows, start=1):
        lines.append(f"{number:4}   {before:8.4f}   {after:32.4f}   {after - before:+.4f}")
    return "\n".join(lines) + "\n"


def _report_step(step: int, steps: int) -> None:
    if step % REPORT_EVERY == 0 or step == steps:
        sys.stderr.write(f"step {step} of {steps}\n")
        sys.stderr.flush()
