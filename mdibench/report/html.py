"""A report as one self-contained HTML page: no font, no network, and a few lines of own script.

The script sorts tables, shows the value under the pointer and opens folded parts for print; without
it the page has the same content. Colours follow the reader's setting, those of figures too.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mdibench import __version__
from mdibench.analysis.formatting import NOT_AVAILABLE, Cell, value_of
from mdibench.analysis.statistics import Estimate
from mdibench.report.document import Document, Figure, Table, display
from mdibench.report.drawing import PAGE_IN, to_svg

FOLDED = 24
"""A table with more rows, or more than ``FOLDED_COLUMNS`` columns, is folded."""
FOLDED_COLUMNS = 13

WORD_MARKS = {
    "VALID": ("✓ ", "good"), "INVALID": ("✗ ", "bad"), "complete": ("", ""),
    "aborted": ("✗ ", "bad"), "failed": ("✗ ", "bad"), "running": ("… ", "warn"),
    "ok": ("✓ ", "good"), "warning": ("! ", "warn"), "invalid": ("✗ ", "bad"),
    "better": ("▲ ", "good"), "worse": ("▼ ", "bad"),
}  # fmt: skip
"""Sign and colour of a word: the sign carries the meaning without the colour."""


@dataclass(frozen=True, slots=True)
class PageColumn:
    """A heading; ``wide`` when its intervals have a column of their own, ``at`` its first cell."""

    at: int
    title: str
    unit: str
    numeric: bool
    wide: bool


@dataclass(frozen=True, slots=True)
class PageCell:
    """A cell with its CSS classes; ``order`` is what it is sorted by, where that is no text."""

    text: str
    css: str = ""
    mark: str = ""
    order: str = ""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table in the form of the template."""

    columns: list[PageColumn]
    rows: list[list[PageCell]]
    long: bool


def to_html(report: Document) -> str:
    """The page as text, the same for the same report."""
    environment = Environment(
        loader=PackageLoader("mdibench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    script = files("mdibench.report").joinpath("templates/report.js").read_text("utf-8").strip()
    return template.render(
        report=report, version=__version__, draw=_draw, lay_out=_lay_out, script=Markup(script),
        script_hash=_hash(script),
    )  # fmt: skip


def _hash(script: str) -> str:
    """What lets the page's policy admit this script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _draw(figure: Figure) -> tuple[Markup, int]:
    """The figure and its width, percent of the page."""
    drawing = figure.draw()
    return Markup(to_svg(drawing, figure.key)), round(100 * drawing.get_figwidth() / PAGE_IN)


def _lay_out(table: Table) -> PageTable:
    shown = display(table)
    spread = [any(_has_interval(row[at]) for row in table.rows) for at in range(len(table.columns))]
    columns = []
    for at, column in enumerate(table.columns):
        unit = shown.headings[at].removeprefix(column.title).strip()
        first = at + sum(spread[:at])
        columns.append(PageColumn(first, column.title, unit, shown.numeric[at], spread[at]))
    rows = [
        [
            cell
            for at, text in enumerate(row)
            for cell in _cells(text, raw[at], shown.numeric[at], spread[at])
        ]
        for row, raw in zip(shown.rows, table.rows, strict=True)
    ]
    return PageTable(columns, rows, len(rows) > FOLDED or len(columns) > FOLDED_COLUMNS)


def _has_interval(cell: Cell) -> bool:
    return isinstance(cell, Estimate) and cell.known and cell.low == cell.low


def _cells(text: str, raw: Cell, numeric: bool, spread: bool) -> list[PageCell]:
    if not numeric:
        sign, mark = WORD_MARKS.get(text, ("", ""))
        return [PageCell(sign + text, "name" if len(text) < 40 else "", mark)]
    value, bracket, interval = text.partition(" [")
    css = "number" + (" absent" if value == NOT_AVAILABLE else "") + (" value" if spread else "")
    number = value_of(raw)
    cells = [PageCell(value, css, order="" if math.isnan(number) else f"{number:.6g}")]
    if spread:
        cells.append(PageCell("[" + interval if bracket else "", "interval"))
    return cells
