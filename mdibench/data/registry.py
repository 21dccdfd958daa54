"""Data sets by name: the values of ``model.dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mdibench.config.messages import choose
from mdibench.config.schema import ModelSection, PicturesSection
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
