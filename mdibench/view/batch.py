"""A portion of rows as it comes in: columns of plain values, arrays or coded text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mdibench.view.columns import Array, numbers, texts


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of text as codes into ``words``; code -1 is null."""

    codes: Array
    words: Sequence[str]


Values: TypeAlias = "Sequence[object] | Array | Coded"
Row: TypeAlias = Mapping[str, Any]


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
        if isinstance(values, Coded):
            known = np.array([self.code(word) for word in values.words] + [self.code("")])
            return np.asarray(known[values.codes])
        return np.array([self.code(word) for word in texts(list(values))], np.int32)


class Batch:
    """Columns in the form that a table wants; what is missing is null."""

    def __init__(self, columns: Mapping[str, Values], length: int) -> None:
        self.columns = columns
        self.length = length

    def __call__(self, name: str) -> Values:
        """As it came; a missing column is all null."""
        if name in self.columns:
            return self.columns[name]
        return Coded(np.full(self.length, -1), ())

    def plain(self, name: str) -> list[object]:
        """As a list of Python values, null as ``None``."""
        values = self(name)
        if isinstance(values, Coded):
            return [values.words[code] if code >= 0 else None for code in values.codes.tolist()]
        if isinstance(values, np.ndarray):
            return [None if value != value else value for value in values.tolist()]
        return list(values)

    def number(self, name: str) -> Array:
        """As float64, null as NaN."""
        if name not in self.columns:
            return np.full(self.length, np.nan)
        values = self(name)
        return numbers(self.plain(name) if isinstance(values, Coded) else values)

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
