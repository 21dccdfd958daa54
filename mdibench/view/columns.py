"""Growable columns: rows of one table as numpy arrays that share one length.

Appending is amortised, reading is a view without a copy. Null is NaN; whole numbers up to 2**53
survive in a float column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FIRST_CAPACITY = 256


class Columns:
    """Named arrays of one length."""

    def __init__(self, types: Mapping[str, npt.DTypeLike]) -> None:
        self._arrays: dict[str, Array] = {
            name: np.empty(FIRST_CAPACITY, kind) for name, kind in types.items()
        }
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name][: self._length]

    def extend(self, values: Mapping[str, Array]) -> None:
        """Append one array per column; every column must be given, all of one length."""
        more = len(next(iter(values.values())))
        self._reserve(self._length + more)
        for name, array in self._arrays.items():
            array[self._length : self._length + more] = values[name]
        self._length += more

    def _reserve(self, length: int) -> None:
        capacity = len(next(iter(self._arrays.values())))
        if length <= capacity:
            return
        capacity = max(length, 2 * capacity)
        for name, array in self._arrays.items():
            grown = np.empty(capacity, array.dtype)
            grown[: self._length] = array[: self._length]
            self._arrays[name] = grown


def numbers(values: Sequence[object] | Array) -> Array:
    """Numbers as float64; null and what is no number become NaN."""
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError):
        return np.array([_number(value) for value in values], np.float64)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def texts(values: Sequence[object]) -> list[str]:
    """Text; null becomes empty."""
    return ["" if value is None else str(value) for value in values]


def steady(times: Array, floor: float) -> Array:
    """Times made non-decreasing from ``floor`` on: each is at least the largest one before it.

    Rows arrive in almost the order of their times. This order, made exact, lets every later
    question "what was known at t?" be a binary search. NaN takes the time before it.
    """
    if not len(times):
        return times
    known = np.where(np.isnan(times), -np.inf, times)
    return np.asarray(np.maximum(np.maximum.accumulate(known), floor))


def within(times: Array, moment: float) -> int:
    """How many of ``times`` (non-decreasing) are at or before ``moment``."""
    return int(np.searchsorted(times, moment, side="right"))
