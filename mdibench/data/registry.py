"""Data sets by name: the values of ``model.dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mdibench.config.messages import choose
from mdibench.data.dataset import Dataset
from mdibench.errors import Problem, UserError


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """The properties of a data set that are known without loading it."""

    meaning: str
    shape: tuple[int, int, int]
    """``(C, H, W)`` of one item, uint8."""
    classes: int


DATASETS: Mapping[str, DatasetFormat] = {
    "digits": DatasetFormat(
        "scikit-learn's handwritten digits at 32 x 32 with seeded corruption; no download",
        (1, 32, 32),
        10,
    ),
    "cifar10": DatasetFormat(
        "CIFAR-10 in the standard binary layout, from data_dir or `mdibench data fetch cifar10`",
        (3, 32, 32),
        10,
    ),
}


def load_dataset(name: str, data_dir: str | None = None, seed: int = 0) -> Dataset:
    """The data set ``name``; ``seed`` chooses the corruption of the digits.

    Raises UserError for an unknown name and for missing or damaged files.
    """
    check_name(name)
    if name == "digits":
        from mdibench.data.digits import load_digits_dataset

        return load_digits_dataset(seed)
    from mdibench.data.cifar10 import load_cifar10

    return load_cifar10(data_dir)


def item_format(name: str) -> tuple[tuple[int, int, int], int]:
    """Shape of one item and number of classes; UserError for an unknown name."""
    check_name(name)
    return DATASETS[name].shape, DATASETS[name].classes


def check_name(name: str) -> None:
    """Raise UserError, with the nearest known name, unless ``name`` is a data set."""
    if name in DATASETS:
        return
    problem = f'unknown data set "{name}"'
    raise UserError(Problem(problem, "model.dataset", choose(name, DATASETS)))
