"""Handwritten digits without a download: scikit-learn's 1,797 images, enlarged to 32 x 32.

The originals (UCI ML "Optical recognition of handwritten digits", test part, 8 x 8 pixels) are
divided into fixed train, calibration and evaluation originals; each split then holds
several differently corrupted variants of its own originals. ``seed`` changes the corruption but
not the division, so that no evaluation original was used to train the packaged weights.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mdibench.data.dataset import DIVISION_SEED, Dataset, Split
from mdibench.record.files import cache_folder, write_cached

SIZE = 32
MARGIN = 4
"""Black border around the image, so that a small shift does not cut the digit."""

ORIGINALS = {"train": 1097, "calibration": 200, "evaluation": 500}
VARIANTS = {"train": 6, "calibration": 5, "evaluation": 4}


def load_digits_dataset(seed: int = 0) -> Dataset:
    """The digits with corruption drawn from ``seed``; the same seed gives the same bytes."""
    images, labels = _originals()
    division = divide(len(labels))
    splits = {
        name: _split(images[chosen], labels[chosen], chosen, VARIANTS[name], [seed, stream])
        for stream, (name, chosen) in enumerate(division.items())
    }
    return Dataset("digits", tuple("0123456789"), **splits)


def divide(count: int) -> dict[str, NDArray[np.int64]]:
    """Which of ``count`` originals belong to which split: disjoint, and always the same."""
    order = np.random.default_rng(DIVISION_SEED).permutation(count)
    edges = np.cumsum(list(ORIGINALS.values()))
    parts = np.split(order[: edges[-1]], edges[:-1])
    return dict(zip(ORIGINALS, parts, strict=True))


def _originals() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    kept = cache_folder() / "data" / f"digits-{metadata.version('scikit-learn')}.npz"
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError, BadZipFile, EOFError):
        return _originals_of_scikit_learn(kept)


def _originals_of_scikit_learn(kept: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read them there, and keep them: importing scikit-learn takes as long as importing torch."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = (bunch.images / 16).astype(np.float32), bunch.target.astype(np.int64)

    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez_compressed(file, images=images, labels=labels)

    write_cached(kept, write)
    return images, labels


def _split(
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    originals: NDArray[np.int64],
    variants: int,
    seed: list[int],
) -> Split:
    rng = np.random.default_rng(seed)
    corrupted, _ = corrupt(np.tile(enlarge(images), (variants, 1, 1)), rng)
    order = rng.permutation(len(corrupted))
    inputs = np.rint(255 * corrupted[order, None]).astype(np.uint8)
    return Split(inputs, *(np.tile(each, variants)[order] for each in (labels, originals)))


def enlarge(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[N, h, w]`` to ``[N, SIZE, SIZE]``: bilinear, inside a black margin."""
    rows, columns = (_interpolation(side, SIZE - 2 * MARGIN) for side in images.shape[1:])
    inner = rows @ images @ columns.T
    return np.pad(inner, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def _interpolation(source: int, target: int) -> NDArray[np.float32]:
    """Matrix ``[target, source]`` of linear interpolation between pixel centres."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    distance = np.abs(position[:, None] - np.arange(source)[None, :])
    weights: NDArray[np.float32] = np.clip(1 - distance, 0, 1).astype(np.float32)
    return weights


# --- corruption ----------------------------------------------------------------------------------

Images = NDArray[np.float32]
Strength = NDArray[np.float32]
Corruption = Callable[[Images, Strength, Generator], Images]
"""Takes images float32 ``[N, H, W]`` in [0, 1] and strengths ``[N]`` in [0, 1]; returns new images.

An item of strength 0 stays unchanged. All randomness comes from the generator.
"""

MAX_SHIFT = 6
MAX_NOISE = 0.3
MAX_CONTRAST_LOSS = 0.75
MAX_OCCLUSION = 16
BLUR_TAPS = (0.06, 0.24, 0.4, 0.24, 0.06)
BLUR_PASSES = 4


def shift(images: Images, strength: Strength, rng: Generator) -> Images:
    """Shift each image by up to ``MAX_SHIFT`` pixels; new pixels are black."""
    count, height, width = images.shape
    reach = MAX_SHIFT * strength
    down = np.rint(reach * rng.uniform(-1, 1, count)).astype(int)
    right = np.rint(reach * rng.uniform(-1, 1, count)).astype(int)
    padded = np.pad(images, ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)))
    rows = MAX_SHIFT - down[:, None] + np.arange(height)
    columns = MAX_SHIFT - right[:, None] + np.arange(width)
    moved: Images = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def blur(images: Images, strength: Strength, rng: Generator) -> Images:
    """Mix each image with a copy smoothed ``BLUR_PASSES`` times by a binomial kernel."""
    down, right = (_smoothing(size) for size in images.shape[1:])
    smooth = down @ images @ right.T
    share = strength[:, None, None]
    blurred: Images = np.add((1 - share) * images, share * smooth, dtype=np.float32)
    return blurred


def _smoothing(size: int) -> NDArray[np.float32]:
    """Matrix ``[size, size]`` of ``BLUR_PASSES`` convolutions with ``BLUR_TAPS``."""
    reach = len(BLUR_TAPS) // 2
    once = sum(tap * np.eye(size, k=i - reach) for i, tap in enumerate(BLUR_TAPS))
    passes = np.linalg.matrix_power(np.asarray(once), BLUR_PASSES)
    rows: NDArray[np.float32] = (passes / passes.sum(axis=1, keepdims=True)).astype(np.float32)
    return rows


def noise(images: Images, strength: Strength, rng: Generator) -> Images:
    """Add Gaussian noise of standard deviation ``MAX_NOISE`` times the strength."""
    grain = rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images + np.float32(MAX_NOISE) * strength[:, None, None] * grain, 0, 1)


def contrast(images: Images, strength: Strength, rng: Generator) -> Images:
    """Move all pixels towards a random grey level."""
    level = rng.uniform(0.2, 0.8, len(images)).astype(np.float32)[:, None, None]
    keep = 1 - np.float32(MAX_CONTRAST_LOSS) * strength[:, None, None]
    return level + keep * (images - level)


def occlusion(images: Images, strength: Strength, rng: Generator) -> Images:
    """Cover a random square of up to ``MAX_OCCLUSION`` pixels a side with a random grey."""
    count, height, width = images.shape
    side = np.rint(MAX_OCCLUSION * strength)[:, None]
    top = np.floor(rng.random((count, 1)) * (height - side))
    left = np.floor(rng.random((count, 1)) * (width - side))
    rows = (np.arange(height) >= top) & (np.arange(height) < top + side)
    columns = (np.arange(width) >= left) & (np.arange(width) < left + side)
    grey = rng.random((count, 1, 1), dtype=np.float32)
    return np.where(rows[:, :, None] & columns[:, None, :], grey, images)


KINDS: tuple[Corruption, ...] = (shift, blur, contrast, occlusion, noise)
"""Applied in this order, as in a camera: scene, lens, ..., and sensor noise last."""

CHANCE = 0.4
"""Probability that an item gets a kind of corruption."""


def corrupt(images: Images, rng: Generator) -> tuple[Images, Strength]:
    """``images`` corrupted, and each item's severity, drawn uniformly from [0, 1).

    Each item gets each kind with probability ``CHANCE``, at the item's severity.
    """
    severity = rng.random(len(images), dtype=np.float32)
    chosen_kinds = rng.random((len(images), len(KINDS))) < CHANCE
    corrupted = images.copy()
    for kind, chosen in zip(KINDS, chosen_kinds.T, strict=True):
        corrupted[chosen] = kind(corrupted[chosen], severity[chosen], rng)
    return corrupted, severity
