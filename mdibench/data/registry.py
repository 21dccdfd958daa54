"""Data sets by name: the values of ``model.dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mdibench.config.messages import choose
from mdibench.data.dataset import Dataset, Split
from mdibench.errors import Problem, UserError


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """The properties of a data set that are known without loading it."""

    meaning: str
    shape: tuple[int, int, int]
    """``(C, H, W)`` of one item, uint8."""
    classes: int
    seeded: bool = False
    """Whether its items depend on a seed."""


DATASETS: Mapping[str, DatasetFormat] = {
    "digits": DatasetFormat(
        "scikit-learn's handwritten digits at 32 x 32 with seeded corruption; no download",
        (1, 32, 32),
        10,
        seeded=True,
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


def corruption_seed(name: str, run_seed: int) -> int | None:
    """The seed of the items that a run with ``run.seed`` classifies; None where they have none.

    Seed 1, the default of a run, gives the items that the package's figures are of.
    """
    return (run_seed - 1) % 2**32 if DATASETS[name].seeded else None


def load_evaluation(name: str, data_dir: str | None = None, run_seed: int = 1) -> Split:
    """The items that a run with ``run.seed`` classifies.

    Training and calibration items do not depend on it.
    """
    check_name(name)
    return load_dataset(name, data_dir, corruption_seed(name, run_seed) or 0).evaluation


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
