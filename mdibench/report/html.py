"""A report as one self-contained HTML page: no script, no font, no network."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mdibench import __version__
from mdibench.analysis.formatting import NOT_AVAILABLE, Cell
from mdibench.analysis.statistics import Estimate
from mdibench.report.document import Document, Figure, Table, display
from mdibench.report.drawing import to_svg

PIXELS_PER_INCH = 147
"""Makes a figure of two columns as wide as the page; all figures have the same text size."""
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
    """A heading; ``wide`` when its intervals have a column of their own."""

    title: str
    unit: str
    numeric: bool
    wide: bool


@dataclass(frozen=True, slots=True)
class PageCell:
    """A cell with its CSS classes."""

    text: str
    css: str = ""
    mark: str = ""


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
    return template.render(report=report, version=__version__, draw=_draw, lay_out=_lay_out)


def _draw(figure: Figure) -> tuple[Markup, int]:
    drawing = figure.draw()
    width_px = round(drawing.get_figwidth() * PIXELS_PER_INCH)
    return Markup(to_svg(drawing, figure.key)), width_px


def _lay_out(table: Table) -> PageTable:
    shown = display(table)
    spread = [any(_has_interval(row[at]) for row in table.rows) for at in range(len(table.columns))]
    columns = []
    for at, column in enumerate(table.columns):
        unit = shown.headings[at].removeprefix(column.title).strip()
        columns.append(PageColumn(column.title, unit, shown.numeric[at], spread[at]))
    rows = [
        [
            cell
            for at, text in enumerate(row)
            for cell in _cells(text, shown.numeric[at], spread[at])
        ]
        for row in shown.rows
    ]
    return PageTable(columns, rows, len(rows) > FOLDED or len(columns) > FOLDED_COLUMNS)


def _has_interval(cell: Cell) -> bool:
    return isinstance(cell, Estimate) and cell.known and cell.low == cell.low


def _cells(text: str, numeric: bool, spread: bool) -> list[PageCell]:
    if not numeric:
        sign, mark = WORD_MARKS.get(text, ("", ""))
        return [PageCell(sign + text, "name" if len(text) < 40 else "", mark)]
    value, bracket, interval = text.partition(" [")
    css = "number" + (" absent" if value == NOT_AVAILABLE else "") + (" value" if spread else "")
    cells = [PageCell(value, css)]
    if spread:
        cells.append(PageCell("[" + interval if bracket else "", "interval"))
    return cells
