"""A report as data: sections of tables and figures, which every output format renders alike.

A cell holds a raw value in base units (seconds, bytes, shares of 1); ``display`` picks one scaled
unit and one number of decimals per column, so that numbers line up. Not available is never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mdibench.analysis.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Kind = Literal[
    "text", "count", "number", "share", "seconds", "bytes", "per_s", "bit/s", "joules", "p"
]
Cell: TypeAlias = str | int | float | Estimate | None

Intervals = Literal["full", "half", "none"]

NOT_AVAILABLE = "n/a"

SCALES: dict[Kind, tuple[tuple[float, str], ...]] = {
    "text": ((1, ""),),
    "count": ((1, ""),),
    "number": ((1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")),
    "share": ((0.01, "%"),),
    "seconds": ((1e-6, "µs"), (1e-3, "ms"), (1, "s")),
    "bytes": ((1, "B"), (2**10, "KiB"), (2**20, "MiB"), (2**30, "GiB")),
    "per_s": ((1, "/s"),),
    "bit/s": ((1, "bit/s"), (1e3, "kbit/s"), (1e6, "Mbit/s"), (1e9, "Gbit/s")),
    "joules": ((1e-3, "mJ"), (1, "J")),
    "p": ((1, ""),),
}


@dataclass(frozen=True, slots=True)
class Column:
    """``key`` names it in CSV and JSON (with its base unit), ``title`` for people."""

    key: str
    title: str
    kind: Kind = "text"


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
    """A figure that is drawn when somebody wants it."""

    key: str
    title: str
    draw: Callable[[], Drawing]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: words, then tables, then figures."""

    key: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


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
    decimals = _decimals(column.kind, [value_of(cell) / factor for cell in cells])
    heading = f"{column.title} {unit}".strip()
    if column.kind == "p":
        return heading, [_p_value(value_of(cell)) for cell in cells]
    return heading, [format_cell(cell, factor, decimals, intervals) for cell in cells]


def _p_value(p: float) -> str:
    if math.isnan(p):
        return NOT_AVAILABLE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def format_one(kind: Kind, cell: Cell, intervals: Intervals = "full") -> str:
    """A single figure with its unit, e.g. ``12.3 ms``."""
    factor, unit = choose_scale(kind, [value_of(cell)])
    text = format_cell(cell, factor, _decimals(kind, [value_of(cell) / factor]), intervals)
    if text == NOT_AVAILABLE:
        return text
    value, space, interval = text.partition(" ")
    return f"{value} {unit}".strip() + space + interval


def choose_scale(kind: Kind, values: Sequence[float]) -> tuple[float, str]:
    """The unit in which the typical value of a column reads best: its factor and name."""
    sizes = sorted(abs(v) for v in values if math.isfinite(v) and v)
    typical = sizes[len(sizes) // 2] if sizes else 1.0
    fitting = [scale for scale in SCALES[kind] if typical >= scale[0]]
    return fitting[-1] if fitting else SCALES[kind][0]


def _decimals(kind: Kind, values: Sequence[float]) -> int:
    """About three significant digits for the typical value of a column."""
    sizes = sorted(abs(v) for v in values if math.isfinite(v) and v)
    if kind in ("share", "p"):
        return 3 if kind == "p" else 1
    if kind == "count" or not sizes:
        return 0
    typical = sizes[len(sizes) // 2]
    least = 1 if typical < 1000 and kind != "bytes" else 0
    most = 2 if kind == "number" and typical > 0.01 else 3
    return min(most, max(least, 2 - math.floor(math.log10(typical))))


def value_of(cell: Cell) -> float:
    """The number in a cell; NaN for text and for nothing."""
    if isinstance(cell, Estimate):
        return cell.value
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def format_cell(cell: Cell, factor: float, decimals: int, intervals: Intervals) -> str:
    """A cell as text, without its unit."""
    value = value_of(cell) / factor
    if math.isnan(value):
        return cell if isinstance(cell, str) else NOT_AVAILABLE
    text = f"{value:,.{decimals}f}"
    if intervals == "none" or not isinstance(cell, Estimate) or math.isnan(cell.low):
        return text
    scaled = cell.scaled(1 / factor)
    spread = _interval if intervals == "full" else _half_width
    return f"{text} {spread(scaled, decimals)}"


def _half_width(estimate: Estimate, decimals: int) -> str:
    """The wider side of the interval."""
    side = max(estimate.value - estimate.low, estimate.high - estimate.value)
    return "±?" if math.isinf(side) else f"±{side:,.{decimals}f}"


def _interval(estimate: Estimate, decimals: int) -> str:
    low = "?" if math.isinf(estimate.low) else f"{estimate.low:,.{decimals}f}"
    high = "?" if math.isinf(estimate.high) else f"{estimate.high:,.{decimals}f}"
    return f"[{low}, {high}]"


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
    """Rows to ``raw_columns``; what is not available or infinite is ``None``."""
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
