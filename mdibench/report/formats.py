"""A report as Markdown, CSV, JSON and figure files. Called by ``cli.report``."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdibench.report.document import Document, Figure, Table, display, raw_columns, raw_rows
from mdibench.report.drawing import save_figure


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
