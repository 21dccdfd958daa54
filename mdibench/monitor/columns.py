"""Growable columns of one table, and batches of rows to append to them.

``Columns`` are numpy arrays of one length: appending is amortised, reading gives views, not copies.
Null is NaN; whole numbers up to 2**53 are exact in a float column. A ``Batch`` holds rows as they
were read: columns of plain values, arrays or coded text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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


def non_decreasing(times: Array, floor: float) -> Array:
    """Times made non-decreasing from ``floor`` on: each is at least the largest one before it.

    Rows arrive almost in the order of their times. With this order made exact, the rows known at a
    moment are found by binary search. NaN becomes the time before it.
    """
    if not len(times):
        return times
    known = np.where(np.isnan(times), -np.inf, times)
    return np.asarray(np.maximum(np.maximum.accumulate(known), floor))


def within(times: Array, moment: float) -> int:
    """How many of ``times`` (non-decreasing) are at or before ``moment``."""
    return int(np.searchsorted(times, moment, side="right"))


# --- batches --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A column of text as codes into ``words``; code -1 is null."""

    codes: Array
    words: Sequence[str]


Values: TypeAlias = "Sequence[object] | Array | CodedColumn"
NamedValues: TypeAlias = Mapping[str, Any]


class Words:
    """Texts that repeat, stored once: text <-> code."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, word: str) -> int:
        """The code of ``word``, new if need be."""
        if word not in self._codes:
            self._codes[word] = len(self.words)
            self.words.append(word)
        return self._codes[word]

    def encode(self, values: Values) -> Array:
        """Codes of a whole column."""
        if isinstance(values, CodedColumn):
            known = np.array([self.code(word) for word in values.words] + [self.code("")])
            return np.asarray(known[values.codes])
        return np.array([self.code(word) for word in texts(list(values))], np.int32)


class Batch:
    """Rows to append, by column; a missing column is null."""

    def __init__(self, columns: Mapping[str, Values], length: int) -> None:
        self.columns = columns
        self.length = length

    def __call__(self, name: str) -> Values:
        """The column as read; a missing one is all null."""
        if name in self.columns:
            return self.columns[name]
        return CodedColumn(np.full(self.length, -1), ())

    def plain(self, name: str) -> list[object]:
        """As a list of Python values, null as ``None``."""
        values = self(name)
        if isinstance(values, CodedColumn):
            return [values.words[code] if code >= 0 else None for code in values.codes.tolist()]
        if isinstance(values, np.ndarray):
            return [None if value != value else value for value in values.tolist()]
        return list(values)

    def number(self, name: str) -> Array:
        """As float64, null as NaN."""
        if name not in self.columns:
            return np.full(self.length, np.nan)
        values = self(name)
        return numbers(self.plain(name) if isinstance(values, CodedColumn) else values)

    def whole(self, name: str, null: int = 0) -> Array:
        """As int64, null as ``null``."""
        if name not in self.columns:
            return np.full(self.length, null)
        values = self.number(name)
        return np.where(np.isfinite(values), values, null).astype(np.int64)

    def lists(self, name: str, width: int) -> Array:
        """A column of lists as a matrix [row, place]; what is missing is NaN."""
        matrix = np.full((self.length, width), np.nan)
        if name not in self.columns:
            return matrix
        for place, values in enumerate(self.plain(name)):
            if isinstance(values, (list, tuple, np.ndarray)):
                some = numbers(list(values)[:width])
                matrix[place, : len(some)] = some
        return matrix
