"""The default recipe of each packaged network, for ``mdibench train NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mdibench.data.dataset import Dataset, Split
from mdibench.data.registry import load_dataset
from mdibench.training.loop import ItemsOfEpoch, Recipe


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
    if dataset == "cifar10":
        return TrainingPlan("cifar10", _CIFAR)
    digits = TRAINING_PLANS["digits-cnn"]
    return replace(digits, recipe=replace(digits.recipe, exit_weights=()))


def items_of_epoch(dataset: Dataset, seed: int, count: int | None = None) -> ItemsOfEpoch:
    """Digits get new corruption in every epoch; other data sets stay as they are.

    ``count`` limits each epoch to the first items.
    """

    def items(epoch: int) -> Split:
        split = dataset.train
        if dataset.name == "digits":
            # The division is the same for every seed: no evaluation original is used.
            split = load_dataset("digits", seed=1_000_003 * (seed + 1) + epoch).train
        return Split(split.inputs[:count], split.labels[:count])

    return items
