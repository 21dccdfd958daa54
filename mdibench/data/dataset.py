"""Data sets by name: the values of ``model.dataset``; each has three splits that share no item."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdibench.config.messages import choose
from mdibench.config.schema import ModelSection, PicturesSection
from mdibench.errors import Problem, UserError

DIVISION_SEED = 20240805
"""Of the draw that divides a data set into its splits; never that of a run."""


class LazyItems(Protocol):
    """Items that are made when they are asked for, indexed as an array of them."""

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, C, H, W)``."""

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        """One item for a whole number, else a batch."""

    def first(self, count: int | None) -> LazyItems:
        """The first ``count`` items."""

    def digest(self) -> str:
        """A name for the items' contents."""


Items: TypeAlias = NDArray[np.uint8] | LazyItems


@dataclass(frozen=True, slots=True)
class Split:
    """``inputs`` uint8 ``[N, C, H, W]`` and ``labels`` int64 ``[N]``.

    ``originals`` int64 ``[N]`` are equal for items made from the same picture; None where each is
    of its own.
    """

    inputs: Items
    labels: NDArray[np.int64]
    originals: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int | None) -> Split:
        """The first ``count`` items, all of them where it is None."""
        held = self.inputs
        inputs = held[:count] if isinstance(held, np.ndarray) else held.first(count)
        originals = None if self.originals is None else self.originals[:count]
        return Split(inputs, self.labels[:count], originals)

    def spread(self, count: int) -> NDArray[np.uint8]:
        """``count`` items from all over the split, fewer where it is shorter."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int))
        return np.ascontiguousarray(self.inputs[chosen])

    def digest(self) -> str:
        """A name that changes with the items or their labels."""
        labels = hashlib.sha256(np.ascontiguousarray(self.labels).data).hexdigest()
        if not isinstance(self.inputs, np.ndarray):
            return labels + self.inputs.digest()
        return labels + hashlib.sha256(np.ascontiguousarray(self.inputs).data).hexdigest()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set; no item is in two splits."""

    name: str
    classes: tuple[str, ...]
    train: Split
    calibration: Split
    evaluation: Split


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


IMAGES = "images:"
"""A data set of this prefix is a folder of pictures."""
_PICTURES = PicturesSection()


def load_dataset(
    name: str,
    data_dir: str | None = None,
    seed: int = 0,
    pictures: PicturesSection = _PICTURES,
) -> Dataset:
    """The data set ``name``; ``seed`` chooses the corruption of the digits.

    Raises UserError for an unknown name and for missing or damaged files.
    """
    check_name(name)
    if name == "digits":
        from mdibench.data.digits import load_digits_dataset

        return load_digits_dataset(seed)
    if name.startswith(IMAGES):
        from mdibench.data.images import load_images

        return load_images(name, data_dir, pictures)
    from mdibench.data.cifar10 import load_cifar10

    return load_cifar10(data_dir)


def dataset_of(model: ModelSection) -> Dataset:
    """The data set of a config, with the corruption that the package's figures are of."""
    return load_dataset(model.dataset, model.data_dir, pictures=model.pictures)


def corruption_seed(name: str, run_seed: int) -> int | None:
    """The seed of the items that a run with ``run.seed`` classifies; None where they have none.

    Seed 1, the default of a run, gives the items that the package's figures are of.
    """
    seeded = name in DATASETS and DATASETS[name].seeded
    return (run_seed - 1) % 2**32 if seeded else None


def load_evaluation(model: ModelSection, run_seed: int = 1) -> Split:
    """The items that a run with ``run.seed`` classifies.

    Training and calibration items do not depend on it.
    """
    check_name(model.dataset)
    seed = corruption_seed(model.dataset, run_seed) or 0
    return load_dataset(model.dataset, model.data_dir, seed, model.pictures).evaluation


def item_format(
    name: str, data_dir: str | None = None, pictures: PicturesSection = _PICTURES
) -> tuple[tuple[int, int, int], int]:
    """Shape of one item and number of classes; UserError for an unknown name."""
    check_name(name)
    if name.startswith(IMAGES):
        from mdibench.data.images import image_format

        return image_format(name, data_dir, pictures.side)
    return DATASETS[name].shape, DATASETS[name].classes


def check_name(name: str) -> None:
    """Raise UserError, with the nearest known name, unless ``name`` is a data set."""
    if name in DATASETS or name.startswith(IMAGES):
        return
    problem = f'unknown data set "{name}"'
    known = [*DATASETS, f"{IMAGES}FOLDER"]
    raise UserError(Problem(problem, "model.dataset", choose(name, known)))
