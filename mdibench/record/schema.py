"""The columns of a run's tables, derived from the row classes of ``mdibench.core.rows``.

The live stream, the Parquet files, the reader and ``docs/files.md`` all go by them. On disk any
value may be null, also where the column says otherwise: JSON has neither NaN nor infinity. Adding
a column raises ``MINOR``; a reader accepts every minor of its own major, newer ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_type_hints

from mdibench.core.rows import ROWS

MAJOR = 1
MINOR = 2

ColumnType = Literal["int", "float", "bool", "text", "ints", "floats"]
_TYPES: dict[Any, ColumnType] = {
    int: "int",
    float: "float",
    bool: "bool",
    str: "text",
    Sequence[int]: "ints",
    Sequence[float]: "floats",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its name (with unit), type and meaning. ``nullable``: a row may lack its value."""

    name: str
    type: ColumnType
    nullable: bool
    meaning: str


def columns_of(row: type[tuple[Any, ...]]) -> tuple[Field, ...]:
    """The columns of a row class, whose fields are ``Annotated[type, meaning]``, in its order."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(_field(name, *get_args(hint)) for name, hint in hints.items())


def _field(name: str, annotation: Any, meaning: str) -> Field:
    members = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    kind = next(_TYPES[member] for member in members if member is not NoneType)
    return Field(name, kind, NoneType in members, meaning)


TABLES: dict[str, tuple[Field, ...]] = {table: columns_of(row) for table, row in ROWS.items()}


def names(table: str) -> list[str]:
    """The column names of ``table``, in the order of a row's values."""
    return [column.name for column in TABLES[table]]
