"""A report as Markdown, CSV, JSON, figure files and one HTML page. Called by ``cli.report``.

The HTML page is self-contained: no font, no network, and a few lines of own script that sort
tables, show the value under the pointer and open folded parts for print; without it the page has
the same content. Colours follow the reader's setting, those of figures too.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mdibench import __version__
from mdibench.analysis.formatting import NOT_AVAILABLE, Cell, value_of
from mdibench.analysis.run_groups import Each
from mdibench.analysis.shares import Estimate
from mdibench.report.document import Document, Figure, Table, display, raw_columns, raw_rows
from mdibench.report.drawing import NARROW_IN, PAGE_IN, narrow, save_figure, to_svg


def to_markdown(report: Document, pictures: dict[str, str] | None = None) -> str:
    """Markdown with pipe tables; ``pictures`` maps figure keys to files to link."""
    lines = [f"# {report.title}", "", report.subtitle, ""]
    for section in report.sections:
        lines += [f"## {section.title}", ""]
        for lead in section.lead:
            first, *rest = map(_escaped, lead.sentences)
            label = f"{_escaped(lead.label)}: " if lead.label else ""
            lines += [" ".join([f"{label}**{first}**", *rest]), ""]
        for text in section.text:
            lines += [_escaped(text), ""]
        for figure in section.figures:
            if pictures and figure.key in pictures:
                lines += [f"![{figure.title}]({pictures[figure.key]})", ""]
        for table in section.tables:
            lines += [*_pipe_table(table), ""]
    return "\n".join(lines)


def _pipe_table(table: Table) -> list[str]:
    shown = display(table)
    rule = ["---:" if numeric else "---" for numeric in shown.numeric]
    lines = [f"### {table.title}", "", _pipes(shown.headings), _pipes(rule)]
    lines += [_pipes(row) for row in shown.rows]
    return [*lines, "", table.note] if table.note else lines


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([|<>*_`])", r"\\\1", " ".join(text.split()))


def to_json(report: Document) -> str:
    """The report without its figures, in base units; what is not available is null."""
    content = {
        "title": report.title,
        "subtitle": report.subtitle,
        "sections": [
            {
                "key": section.key,
                "title": section.title,
                "lead": [
                    {"set": lead.label, "sentences": list(lead.sentences)} for lead in section.lead
                ],
                "text": list(section.text),
                "tables": {table.key: _records(table) for table in section.tables},
            }
            for section in report.sections
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _records(table: Table) -> list[dict[str, Any]]:
    names = raw_columns(table)
    return [dict(zip(names, row, strict=True)) for row in raw_rows(table)]


def write_csv(report: Document, folder: Path) -> list[Path]:
    """One CSV file per table, in base units; what is not available is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for section in report.sections:
        for table in section.tables:
            buffer = io.StringIO()
            writer = csv.writer(buffer, lineterminator="\n")
            writer.writerow(raw_columns(table))
            writer.writerows(raw_rows(table))
            path = folder / f"{_file_name(table.key)}.csv"
            path.write_text(buffer.getvalue(), encoding="utf-8")
            written.append(path)
    return written


def write_figures(report: Document, folder: Path, form: str) -> dict[str, Path]:
    """Every figure as ``<key>.<form>``; returns the files by figure key."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for figure in _figures(report):
        path = folder / f"{_file_name(figure.key)}.{form}"
        save_figure(figure.draw(), path)
        written[figure.key] = path
    return written


def _figures(report: Document) -> list[Figure]:
    return [figure for section in report.sections for figure in section.figures]


def _file_name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", key)


# --- the HTML page -------------------------------------------------------------------------------

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


def to_html(report: Document, each: Each = map) -> str:
    """The page as text, the same for the same report; ``each`` draws its figures."""
    pictures = iter(each(_draw, _figures(report)))  # in the order of the page
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
        report=report, version=__version__, draw=partial(next, pictures), lay_out=_lay_out,
        script=Markup(script), script_hash=_hash(script),
    )  # fmt: skip


def _hash(script: str) -> str:
    """What lets the page's policy admit this script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _draw(figure: Figure) -> tuple[Markup, Markup | None, int]:
    """The figure, its narrow version where it differs, and its width in percent of the page."""
    drawing = figure.draw()
    width_in = drawing.get_figwidth()
    small = None
    if width_in > NARROW_IN:
        with narrow():
            small = Markup(to_svg(figure.draw(), f"{figure.key}-narrow"))
    return Markup(to_svg(drawing, figure.key)), small, round(100 * width_in / PAGE_IN)


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
