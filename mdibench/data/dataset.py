"""A data set: three splits that share no item."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
