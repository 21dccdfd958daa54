"""A data set: three splits that share no item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIVISION_SEED = 20240805
"""Of the draw that divides a data set into its splits; never that of a run."""


@dataclass(frozen=True, slots=True)
class Split:
    """``inputs`` uint8 ``[N, C, H, W]`` and ``labels`` int64 ``[N]``.

    ``originals`` int64 ``[N]`` are equal for items made from the same picture; None where each is
    of its own.
    """

    inputs: NDArray[np.uint8]
    labels: NDArray[np.int64]
    originals: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set; no item is in two splits."""

    name: str
    classes: tuple[str, ...]
    train: Split
    calibration: Split
    evaluation: Split
