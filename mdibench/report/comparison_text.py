"""A comparison as text of 80 columns and as JSON. Called by ``cli.compare``."""

from __future__ import annotations

import json
import math
import os

from mdibench.analysis.comparison import Comparison, Difference
from mdibench.analysis.formatting import NOT_AVAILABLE, Cell, format_one
from mdibench.analysis.run_groups import RunGroup
from mdibench.analysis.statistics import Estimate
from mdibench.report.document import Column, Table, raw_columns, raw_rows
from mdibench.report.terminal import text_table, to_text


def comparison_text(found: Comparison) -> str:
    """The comparison for a terminal."""
    lines = [f"A  {_side(found.a)}", f"B  {_side(found.b)}", ""]
    rows = [_row(difference) for difference in found.differences]
    headings = ("metric", "A", "B", "B / A", "p", "B is")
    text = to_text(text_table(headings, (False, True, True, True, True, False), rows))
    lines.append(text.rstrip("\n"))
    lines += ["", f"by {', '.join(dict.fromkeys(d.method for d in found.differences))}"]
    lines += [f"caution: {text}" for text in found.cautions]
    if found.differing:
        lines += ["differs in:", *(f"  {key}: {a} -> {b}" for key, a, b in found.differing)]
    return to_text("\n".join(lines))


def _side(group: RunGroup) -> str:
    runs = len(group.runs)
    where = os.path.commonpath([run.summary.identity.folder for run in group.runs])
    return f"{group.name} ({runs} run{'s' * (runs != 1)}, {where})"


def _row(found: Difference) -> list[str]:
    kind = found.metric.kind
    sides = [_stack(format_one(kind, side, "half")) for side in (found.a, found.b)]
    p = "<0.001" if found.p_adjusted < 0.001 else f"{found.p_adjusted:.3f}"
    p = NOT_AVAILABLE if math.isnan(found.p_adjusted) else p
    return [found.metric.title, *sides, _ratio(found.ratio.estimate), p, found.word]


def _stack(text: str) -> str:
    return text.replace(" ±", "\n±")


def _ratio(estimate: Estimate) -> str:
    if not estimate.known:
        return NOT_AVAILABLE
    bounds = "" if math.isnan(estimate.low) else f"\n[{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.value:.3f}{bounds}"


def comparison_table(found: Comparison) -> Table:
    """A comparison as a table of raw cells."""
    columns = (
        Column("metric", "metric"), Column("a", "A", "number"), Column("b", "B", "number"),
        Column("ratio", "B / A", "number"), Column("difference", "B - A", "number"),
        Column("p_adjusted", "p (Holm)", "p"), Column("word", "B is"),
        Column("method", "method"),
    )  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (d.metric.key, d.a, d.b, d.ratio.estimate, d.shift.estimate, d.p_adjusted, d.word, d.method)
        for d in found.differences
    )
    return Table("comparison", "B against A", columns, rows)


def comparison_json(found: Comparison) -> str:
    """The comparison as JSON."""
    shown = comparison_table(found)
    names = raw_columns(shown)
    content = {
        "a": [run.summary.identity.id for run in found.a.runs],
        "b": [run.summary.identity.id for run in found.b.runs],
        "pairs": found.pairs,
        "metrics": [dict(zip(names, row, strict=True)) for row in raw_rows(shown)],
        "differing": [dict(zip(("key", "a", "b"), row, strict=True)) for row in found.differing],
        "cautions": list(found.cautions),
    }
    return json.dumps(content, indent=1) + "\n"
