"""One training loop for every network: all exits together, deterministic, resumable.

The loss is the weighted sum of every head's cross-entropy and, if wanted, of the divergence of
each earlier head from the last one (self-distillation). The order of the items, their augmentation
and the learning rate depend on the seed and the epoch alone, so that a resumed training ends with
the same weights as an uninterrupted one (same machine, same number of threads). A checkpoint is one
safetensors file: tensors ``model.<name>`` and ``optimizer.<parameter>.<key>``; epoch and seed are
in its metadata.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from mdibench.data.dataset import Split
from mdibench.errors import Problem, UserError
from mdibench.models.evaluation import all_logits
from mdibench.models.network import MultiExitNetwork
from mdibench.models.packaged import save_tensors

LARGEST_RESIDENT = 1024**3
"""Bytes of the training items that are kept on the training device, and cropped there."""
WARMUP_SHARE = 0.2
"""Share of the steps in which the learning rate rises; then it falls to 0 along a cosine."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyperparameters of a training: all that decides it except seed and data."""

    epochs: int
    learning_rate: float
    batch: int = 128
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.02
    exit_weights: tuple[float, ...] = ()
    """Weight of each exit's loss; 1 for every exit when empty."""
    label_smoothing: float = 0.0
    distillation: float = 0.0
    """Weight of the divergence of each earlier exit from the last one, at ``TEMPERATURE``."""
    augmentation: Augmentation = "none"
    small: tuple[int, int] | None = None
    """``(epochs, side)``: train the first epochs at a lower resolution, which is faster."""
    bfloat16: bool = False
    channels_last: bool = False


TEMPERATURE = 3.0
"""Softening of the last exit's distribution for distillation (Hinton et al. 2015)."""


@dataclass(frozen=True, slots=True)
class EpochReport:
    """The result of one epoch, for a progress line or a log."""

    epoch: int
    epochs: int
    loss: float
    train_accuracy: tuple[float, ...]
    """Of each exit, over the epoch's (augmented) items, while the weights still change."""
    seconds: float


ItemsOfEpoch = Callable[[int], Split]
"""Training items of an epoch (from 0): always the same, or newly corrupted ones."""


def train(
    network: MultiExitNetwork,
    items: ItemsOfEpoch,
    recipe: Recipe,
    seed: int,
    *,
    checkpoint: Path | None = None,
    on_step: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> None:
    """Train ``network`` in place, from ``checkpoint`` on if that file exists.

    ``on_step(step, steps)`` is called after every step of an epoch, ``on_epoch`` after each epoch.
    The checkpoint is written after each epoch, atomically. Raises UserError where the loss is no
    number any more; the checkpoint is then that of the epoch before.
    """
    trainer = Trainer(network, recipe, seed)
    first = trainer.resume(checkpoint) if checkpoint is not None else 0
    for epoch in range(first, recipe.epochs):
        report = trainer.run_epoch(epoch, items(epoch), on_step)
        if not math.isfinite(report.loss):
            what = f"the loss is {report.loss} after epoch {epoch + 1}: training diverged"
            remedy = "give a lower --learning-rate, or --precision float32"
            raise UserError(Problem(what, network.name, remedy))
        if checkpoint is not None:
            write_checkpoint(checkpoint, trainer.module, trainer.optimizer, epoch + 1, seed)
        if on_epoch is not None:
            on_epoch(report)
    trainer.module.eval()


class Trainer:
    """A network and its optimizer on the training device."""

    def __init__(self, network: MultiExitNetwork, recipe: Recipe, seed: int) -> None:
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = as_module(network).to(self.device)
        if recipe.channels_last:
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.module, recipe)
        self.weights = recipe.exit_weights or (1.0,) * network.exits

    def resume(self, checkpoint: Path) -> int:
        """The epoch to continue with: 0, or the one after the checkpoint's."""
        if not checkpoint.exists():
            return 0
        return read_checkpoint(checkpoint, self.module, self.optimizer, self.seed)

    def run_epoch(
        self, epoch: int, split: Split, on_step: Callable[[int, int], None] | None = None
    ) -> EpochReport:
        """One pass over ``split``; last items that do not fill a batch are left out."""
        started = time.perf_counter()
        steps = len(split) // self.recipe.batch
        self.module.train()
        loss_sum = torch.zeros((), device=self.device)
        hits = torch.zeros(self.network.exits, device=self.device)
        for step, (pixels, labels) in enumerate(self._batches(split, epoch)):
            self._set_learning_rate((epoch + step / steps) / self.recipe.epochs)
            loss, batch_hits = self._step(pixels, labels)
            loss_sum += loss
            hits += batch_hits
            if on_step is not None:
                on_step(step + 1, steps)
        return EpochReport(
            epoch + 1,
            self.recipe.epochs,
            float(loss_sum) / steps,
            tuple((hits / (steps * self.recipe.batch)).tolist()),
            time.perf_counter() - started,
        )

    def _batches(self, split: Split, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = np.random.default_rng([self.seed, epoch])
        augment = AUGMENTATIONS[self.recipe.augmentation]
        side = _side(self.recipe, epoch)
        order = rng.permutation(len(split))
        items, labels = torch.from_numpy(split.inputs), torch.from_numpy(split.labels)
        if items.nbytes <= LARGEST_RESIDENT:
            items = items.to(self.device)
        for start in range(0, len(order) - self.recipe.batch + 1, self.recipe.batch):
            chosen = order[start : start + self.recipe.batch]
            pixels = augment(items, chosen, rng).to(self.device)
            wanted = labels[torch.from_numpy(chosen)].to(self.device)
            yield _resized(pixels, side, self.recipe.channels_last), wanted

    def _step(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One update; returns the loss and the number of correct items of each exit."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16):
            logits = all_logits(self.network, pixels)
        loss = self._loss([exit_logits.float() for exit_logits in logits], labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        hits = torch.stack([(exit_logits.argmax(1) == labels).sum() for exit_logits in logits])
        return loss.detach(), hits

    def _loss(self, logits: Sequence[Tensor], labels: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        losses = [
            weight * functional.cross_entropy(exit_logits, labels, label_smoothing=smoothing)
            for weight, exit_logits in zip(self.weights, logits, strict=True)
        ]
        if self.recipe.distillation > 0:
            teacher = functional.softmax(logits[-1].detach() / TEMPERATURE, dim=1)
            losses += [
                self.recipe.distillation * weight * _divergence(exit_logits, teacher)
                for weight, exit_logits in zip(self.weights[:-1], logits[:-1], strict=True)
            ]
        return torch.stack(losses).sum()

    def _set_learning_rate(self, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * one_cycle(progress)


def as_module(network: MultiExitNetwork) -> nn.ModuleDict:
    """The network's blocks and heads as one module, named as in weights files."""
    return nn.ModuleDict(
        {"blocks": nn.ModuleList(network.blocks), "heads": nn.ModuleList(network.heads)}
    )


def one_cycle(progress: float) -> float:
    """Share of the highest learning rate at ``progress`` in [0, 1] of the training."""
    if progress < WARMUP_SHARE:
        return 0.04 + 0.96 * progress / WARMUP_SHARE
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP_SHARE) / (1 - WARMUP_SHARE)))


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer; weight decay applies to matrices and kernels only."""
    parameters = list(module.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.learning_rate)
    return torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True)


def _divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    soft = functional.log_softmax(logits / TEMPERATURE, dim=1)
    return TEMPERATURE**2 * functional.kl_div(soft, teacher, reduction="batchmean")


def _side(recipe: Recipe, epoch: int) -> int | None:
    """The lower resolution of this epoch; ``None``: the data's own."""
    if recipe.small is None or epoch >= recipe.small[0]:
        return None
    return recipe.small[1]


def _resized(pixels: Tensor, side: int | None, channels_last: bool) -> Tensor:
    if side is not None:
        pixels = functional.interpolate(
            pixels.float(), (side, side), mode="bilinear", antialias=True
        )
    return pixels.contiguous(memory_format=torch.channels_last) if channels_last else pixels


# --- checkpoints ---------------------------------------------------------------------------------


def write_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, seed: int
) -> None:
    """Write the state after ``epoch`` epochs, atomically."""
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    arrays = {name: value.numpy() for name, value in plain.items()}
    save_tensors(path, arrays, {"epoch": str(epoch), "seed": str(seed)})


def read_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, seed: int
) -> int:
    """Restore both in place; returns the epochs done. Raises UserError if the file does not fit."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as failure:
        raise UserError(
            Problem("damaged, or not a checkpoint", str(path), "name another file")
        ) from failure
    if metadata.get("seed") != str(seed):
        found = metadata.get("seed", "none")
        remedy = "delete it, or give its seed"
        raise UserError(Problem(f"checkpoint of seed {found}, not {seed}", str(path), remedy))
    try:
        module.load_state_dict(_below("model.", tensors))
    except RuntimeError as failure:
        remedy = "delete it, or choose another folder"
        raise UserError(Problem("checkpoint of another network", str(path), remedy)) from failure
    _restore(optimizer, _below("optimizer.", tensors))
    return int(metadata["epoch"])


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


# --- augmentation --------------------------------------------------------------------------------

Augmentation = Literal["none", "crop-flip"]
PADDING = 4


def crop_flip(items: Tensor, chosen: NDArray[np.int64], rng: Generator) -> Tensor:
    """The ``chosen`` items, each shifted by up to ``PADDING`` pixels and flipped at random.

    ``items`` ``[N, C, H, W]``; edges are mirrored. The usual augmentation of CIFAR-10 (He et al.
    2016). Pixels are gathered where ``items`` are: only their places come from the processor.
    """
    count, (channels, height, width) = len(chosen), items.shape[1:]
    top, left = rng.integers(-PADDING, PADDING + 1, (2, count, 1))
    rows = _mirrored(top + np.arange(height), height)
    columns = _mirrored(left + np.arange(width), width)
    flipped = rng.random(count) < 0.5
    columns[flipped] = columns[flipped, ::-1]
    places = (
        chosen[:, None, None, None],
        np.arange(channels)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    )
    return items[tuple(torch.from_numpy(place).to(items.device) for place in places)]


def _mirrored(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Places in a row of ``size`` pixels; those beyond an end are mirrored at the outermost one."""
    mirrored: NDArray[np.int64] = size - 1 - np.abs(size - 1 - np.abs(places))
    return mirrored


def as_they_are(items: Tensor, chosen: NDArray[np.int64], rng: Generator) -> Tensor:
    """The ``chosen`` items."""
    return items[torch.from_numpy(chosen).to(items.device)]


AUGMENTATIONS: Mapping[Augmentation, Callable[[Tensor, NDArray[np.int64], Generator], Tensor]] = {
    "none": as_they_are,
    "crop-flip": crop_flip,
}
