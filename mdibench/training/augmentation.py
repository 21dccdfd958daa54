"""Augmentation of training items; all randomness comes from the given generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Augmentation = Literal["none", "crop-flip"]
Pixels = NDArray[np.uint8]

PADDING = 4


def unchanged(inputs: Pixels, rng: Generator) -> Pixels:
    """The items as they are."""
    return inputs


def crop_flip(inputs: Pixels, rng: Generator) -> Pixels:
    """Each item shifted by up to ``PADDING`` pixels (mirrored edges) and flipped at random.

    ``inputs`` uint8 ``[N, C, H, W]``; the usual augmentation of CIFAR-10 (He et al. 2016).
    """
    count, _, height, width = inputs.shape
    pads = ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING))
    padded = np.pad(inputs, pads, mode="reflect")
    top, left = rng.integers(0, 2 * PADDING + 1, (2, count, 1))
    rows = top + np.arange(height)
    columns = left + np.arange(width)
    mirrored = rng.random(count) < 0.5
    columns[mirrored] = columns[mirrored, ::-1]
    index = np.arange(count)[:, None, None]
    moved = padded.transpose(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return np.ascontiguousarray(moved.transpose(0, 3, 1, 2))


AUGMENTATIONS: Mapping[Augmentation, Callable[[Pixels, Generator], Pixels]] = {
    "none": unchanged,
    "crop-flip": crop_flip,
}
