"""A report as data: sections of text, tables and figures, independent of the output format.

``display`` gives a table as text with one scaled unit and one number of decimals per column;
``raw_columns`` and ``raw_rows`` give it in base units. Used by every output format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdibench.analysis.formatting import (
    NOT_AVAILABLE,
    Cell,
    CellKind,
    Intervals,
    choose_scale,
    decimals_of,
    format_cell,
    value_of,
)
from mdibench.analysis.shares import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True, slots=True)
class Column:
    """``key`` is its name in CSV and JSON (with the base unit), ``title`` its heading."""

    key: str
    title: str
    kind: CellKind = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of raw cells, one per column."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, drawn only when an output format asks for it."""

    key: str
    title: str
    draw: Callable[[], Drawing]


@dataclass(frozen=True, slots=True)
class Lead:
    """Who leads a set of groups that can be compared, in sentences; ``label`` names the set."""

    label: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A part of a report: what leads, then text, figures and tables."""

    key: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    lead: tuple[Lead, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[ReportSection, ...]


@dataclass(frozen=True, slots=True)
class Displayed:
    """A table ready to print: headings with units, cells as text."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def display(table: Table, intervals: Intervals = "full") -> Displayed:
    """``table`` in scaled units, its estimates as ``1.2 [1.0, 1.4]``, ``1.2 ±0.2`` or ``1.2``."""
    columns = list(zip(*table.rows, strict=True)) if table.rows else [()] * len(table.columns)
    shown = [
        _display_column(column, cells, intervals)
        for column, cells in zip(table.columns, columns, strict=True)
    ]
    return Displayed(
        headings=tuple(heading for heading, _ in shown),
        numeric=tuple(column.kind != "text" for column in table.columns),
        rows=tuple(zip(*(texts for _, texts in shown), strict=True)) if table.rows else (),
    )


def _display_column(
    column: Column, cells: Sequence[Cell], intervals: Intervals
) -> tuple[str, list[str]]:
    if column.kind == "text":
        return column.title, ["" if cell is None else str(cell) for cell in cells]
    factor, unit = choose_scale(column.kind, [value_of(cell) for cell in cells])
    decimals = decimals_of(column.kind, [value_of(cell) / factor for cell in cells])
    heading = f"{column.title} {unit}".strip()
    if column.kind == "p":
        return heading, [_p_value(value_of(cell)) for cell in cells]
    return heading, [format_cell(cell, factor, decimals, intervals) for cell in cells]


def _p_value(p: float) -> str:
    if math.isnan(p):
        return NOT_AVAILABLE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


# --- raw forms -----------------------------------------------------------------------------------


def raw_columns(table: Table) -> list[str]:
    """Column names for CSV and JSON: an estimate has ``_low`` and ``_high`` beside it."""
    names = []
    for at, column in enumerate(table.columns):
        names.append(column.key)
        if any(isinstance(row[at], Estimate) for row in table.rows):
            names += [f"{column.key}_low", f"{column.key}_high"]
    return names


def raw_rows(table: Table) -> list[list[Any]]:
    """Rows for ``raw_columns``; what is not available or infinite is ``None``."""
    wide = [
        any(isinstance(row[at], Estimate) for row in table.rows) for at in range(len(table.columns))
    ]
    return [
        [value for cell, spread in zip(row, wide, strict=True) for value in _raw(cell, spread)]
        for row in table.rows
    ]


def _raw(cell: Cell, spread: bool) -> list[Any]:
    if not spread:
        return [_finite(cell)]
    if isinstance(cell, Estimate):
        return [_finite(cell.value), _finite(cell.low), _finite(cell.high)]
    return [_finite(cell), None, None]


def _finite(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
