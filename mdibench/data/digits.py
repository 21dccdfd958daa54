"""Handwritten digits without a download: scikit-learn's 1,797 pictures, brought to 32 x 32.

The originals (UCI ML "Optical recognition of handwritten digits", test part, 8 x 8 pixels) are
divided once and for all into train, calibration and evaluation originals; each split then holds
several differently corrupted variants of its own originals. ``seed`` changes the corruption and
never the division, so that shipped weights have not seen any evaluation original.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mdibench.data.corruption import corrupt
from mdibench.data.dataset import Dataset, Split

SIZE = 32
MARGIN = 4
"""Black border around the picture, so that a small shift does not cut the digit."""

DIVISION_SEED = 20240805
ORIGINALS = {"train": 1097, "calibration": 200, "evaluation": 500}
VARIANTS = {"train": 6, "calibration": 5, "evaluation": 4}


def load_digits_dataset(seed: int = 0) -> Dataset:
    """The digits with corruption drawn from ``seed``; the same seed gives the same bytes."""
    pictures, labels = _originals()
    division = divide(len(labels))
    splits = {
        name: _split(pictures[chosen], labels[chosen], VARIANTS[name], [seed, stream])
        for stream, (name, chosen) in enumerate(division.items())
    }
    return Dataset("digits", tuple("0123456789"), **splits)


def divide(count: int) -> dict[str, NDArray[np.int64]]:
    """Which of ``count`` originals belong to which split: disjoint, and the same for ever."""
    order = np.random.default_rng(DIVISION_SEED).permutation(count)
    edges = np.cumsum(list(ORIGINALS.values()))
    parts = np.split(order[: edges[-1]], edges[:-1])
    return dict(zip(ORIGINALS, parts, strict=True))


def _originals() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.images / 16).astype(np.float32), bunch.target.astype(np.int64)


def _split(
    pictures: NDArray[np.float32], labels: NDArray[np.int64], variants: int, seed: list[int]
) -> Split:
    rng = np.random.default_rng(seed)
    corrupted, _ = corrupt(np.tile(enlarge(pictures), (variants, 1, 1)), rng)
    order = rng.permutation(len(corrupted))
    inputs = np.rint(255 * corrupted[order, None]).astype(np.uint8)
    return Split(inputs, np.tile(labels, variants)[order])


def enlarge(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[N, h, w]`` to ``[N, SIZE, SIZE]``: bilinear, inside a black margin."""
    rows, columns = (_interpolation(side, SIZE - 2 * MARGIN) for side in pictures.shape[1:])
    inner = rows @ pictures @ columns.T
    return np.pad(inner, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def _interpolation(source: int, target: int) -> NDArray[np.float32]:
    """Matrix ``[target, source]`` of linear interpolation between pixel centres."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    distance = np.abs(position[:, None] - np.arange(source)[None, :])
    weights: NDArray[np.float32] = np.clip(1 - distance, 0, 1).astype(np.float32)
    return weights
