"""The report on a terminal: tables of at most 80 columns and plots of block characters."""

from __future__ import annotations

import io
import math
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from mdibench.analysis import workers
from mdibench.analysis.checks import Finding
from mdibench.analysis.comparable_sets import ComparableSet, comparable_sets
from mdibench.analysis.formatting import choose_scale, format_one
from mdibench.analysis.run_groups import (
    METRICS,
    Run,
    RunGroup,
    above_bound,
    bound_of,
    evaluate_run,
    target_accuracy,
    target_result,
)
from mdibench.analysis.standings import bound_in_words
from mdibench.assembly.environment import OUTPUT_VARIABLE
from mdibench.record.reader import RunReader
from mdibench.report import TEXT_WIDTH, tables
from mdibench.report.document import Lead, Table, display

Record = TypeVar("Record")
MOST_DETAIL_ROWS = 32
"""Workers, and links, that are shown of one run: the busiest ones."""
NAME_WIDTH = 18
"""Columns of a group's name: the figures need the others."""
BAR_WIDTH = 24
MOST_BARS = 12
"""Groups of a set whose rates are drawn."""
BARS = " ▁▂▃▄▅▆▇█"
STYLES = {"VALID": "bold green", "INVALID": "bold red", "warning": "yellow", "invalid": "red"}


def summary_lines(folder: str | Path) -> str:
    """The summary of the run in ``folder``: 80 columns, plain where nobody sees colours."""
    return to_text(run_content(evaluate_run(RunReader(Path(folder)))), colour=shows_colour())


def shows_colour() -> bool:
    """Whether stdout ends on a terminal, that of the launching command too, and may be coloured."""
    shown = sys.stdout.isatty() or OUTPUT_VARIABLE in os.environ
    return shown and "NO_COLOR" not in os.environ


def to_text(content: RenderableType, width: int = TEXT_WIDTH, colour: bool = False) -> str:
    """``content`` as lines of at most ``width`` columns."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour,
        highlight=False, markup=False, emoji=False,
    )  # fmt: skip
    console.print(content)
    written = console.file
    assert isinstance(written, io.StringIO)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def run_content(run: Run) -> RenderableType:
    """Everything about one run."""
    summary = run.summary
    parts: list[RenderableType] = [_title(run), _figures(run), _plots(run)]
    few = replace(
        summary,
        ranks=_busiest(summary.ranks, lambda rank: rank.tasks),
        links=_busiest(summary.links, lambda link: link.bytes),
    )
    shown = [
        tables.ledger_table(few),
        tables.exit_table(few),
        _out_of(tables.rank_table(few), len(summary.ranks)),
        _out_of(tables.link_table(few), len(summary.links)),
    ]
    parts += [_table(table) for table in shown if table.rows]
    return Group(*parts, _findings(run))


def _busiest(rows: Sequence[Record], load: Callable[[Record], float]) -> tuple[Record, ...]:
    """The busiest rows in their order; every other output format has all of them."""
    chosen = sorted(range(len(rows)), key=lambda at: -load(rows[at]))[:MOST_DETAIL_ROWS]
    return tuple(rows[at] for at in sorted(chosen))


def _out_of(table: Table, number: int) -> Table:
    if len(table.rows) == number:
        return table
    return replace(table, title=f"{table.title}: the {len(table.rows)} busiest of {number:,}")


def groups_content(groups: Sequence[RunGroup]) -> RenderableType:
    """Who leads, one line per group of repeats, then the failed checks of all runs."""
    sets = comparable_sets(groups)
    runs = [run for group in groups for run in group.runs]
    kinds = sorted({run.summary.identity.measured_on for run in runs})
    title = Text(f"{len(runs)} runs in {len(groups)} groups · {'; '.join(kinds)}", style="bold")
    note = (
        "valid: VALID runs of all. Intervals of 95 %: over the repeats of a group, else in its run."
    )
    note = f"{note} {tables.left_out(groups)}".strip()
    parts: list[RenderableType] = [title]
    for lead, of in zip(tables.leads(sets), sets, strict=False):
        parts += [_lead(lead), _rates(of)] if len(of.groups) > 1 else [_lead(lead)]
    parts.append(_groups(sets))
    return Group(*parts, Text(note, style="dim"), Text(), _findings_of_all(groups))


def _lead(lead: Lead) -> RenderableType:
    """Who leads a set, its first sentence marked."""
    first, *rest = lead.sentences
    label = f"{lead.label}: " if lead.label else ""
    text = Text.assemble(label, (first, "bold"), *(f" {line}" for line in rest))
    return Padding(text, (1, 0, 0, 0))


def _title(run: Run) -> RenderableType:
    identity, (start_s, end_s) = run.summary.identity, run.summary.window
    status = identity.status + (" (partial)" if identity.partial else "")
    head = Text.assemble((identity.id, "bold"), f"  {status}  ", (run.verdict, STYLES[run.verdict]))
    facts = [
        identity.measured_on,
        identity.scheme,
        f"{identity.ranks} ranks {identity.topology}".strip(),
    ]
    facts += [f"{identity.model} with {identity.exits} exits", identity.mode]
    line = " · ".join(fact for fact in [*facts, f"seed {identity.seed}"] if fact)
    window = f"measured from {start_s:.1f} s to {end_s:.1f} s of the run"
    bound = bound_in_words(run.summary)
    return Group(head, Text(line), Text(window, style="dim"), *([Text(bound)] if bound else ()))


def _figures(run: Run) -> RenderableType:
    table = _rich(("", "value", "95 % interval", "n"), (False, True, True, True))
    for title, kind, estimate in tables.headline_figures(run):
        value = format_one(kind, estimate, intervals="none")
        whole = format_one(kind, estimate)
        interval = whole[whole.find("[") : whole.find("]") + 1] if "[" in whole else ""
        table.add_row(title, value, interval, f"{estimate.n:,}" if estimate.known else "")
    target = target_accuracy(run)
    if not math.isnan(target):
        table.add_row("target accuracy", f"{target:.1%}".replace("%", " %"), target_result(run), "")
    bound = bound_of(run)
    if not math.isnan(bound.rate_per_s):
        share = run.summary.measured.rate_per_s.value / bound.rate_per_s
        table.add_row(_bound_title(run), f"{bound.rate_per_s:,.1f} /s", f"reached {share:.0%}", "")
    pieces = [Text(f"bound: {bound.pieces}", style="dim")] if bound.pieces else []
    return Padding(Group(table, *pieces), (1, 0, 0, 0))


def _bound_title(run: Run) -> str:
    from mdibench.bounds.inputs import batches_as_formed

    formed = batches_as_formed(run.reader.manifest)
    return "capacity bound of batches as formed" if formed else "capacity bound"


def _plots(run: Run) -> RenderableType:
    lines = [line for line in (_flight_plot(run), _latency_plot(run)) if line]
    return Padding(Group(*map(Text, lines)), (1, 0, 0, 0))


def _flight_plot(run: Run) -> str:
    source = workers.telemetry(run.reader, ("in_flight",)).get(0)
    if source is None:
        return ""
    values = source.columns["in_flight"]
    values = values[np.isfinite(values)]
    if values.size < 2:
        return ""
    parts = np.array_split(values, min(values.size, 40))
    peaks = np.array([part.max() for part in parts])
    return f"in flight over time  {bars(peaks)}  max {peaks.max():,.0f}"


ALIKE = 1 + 1e-9
"""Latencies within this factor differ by rounding alone, and have no distribution to plot."""


def _latency_plot(run: Run) -> str:
    curve = np.array(run.summary.measured.latency_curve_s[:100])
    curve = curve[(curve > 0) & np.isfinite(curve)]
    if curve.size < 2 or curve[-1] <= ALIKE * curve[0]:
        return ""
    counts, edges = np.histogram(np.log(curve), 40)
    factor, unit = choose_scale("seconds", curve.tolist())
    ends = [_plain(math.exp(edge) / factor) for edge in (edges[0], edges[-1])]
    return f"latency, log scale   {bars(counts)}  {ends[0]} to {ends[1]} {unit}"


def _plain(value: float) -> str:
    """A figure with at least three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bars(values: NDArray[Any]) -> str:
    """One block character per value, the largest a full block."""
    top = float(max(values)) or 1.0
    return "".join(BARS[math.ceil(max(0.0, float(v)) / top * (len(BARS) - 1))] for v in values)


def _table(table: Table) -> RenderableType:
    shown = display(table, intervals="none")
    rich = _rich(shown.headings, shown.numeric, table.title)
    for row in shown.rows:
        rich.add_row(*row)
    return Padding(rich, (1, 0, 0, 0))


def _rates(of: ComparableSet) -> RenderableType:
    """The rates of a set as bars, the highest first; those of INVALID runs are dim."""
    rate = METRICS["throughput"]
    known = [(group.estimate(rate), group) for group in of.groups]
    known = sorted((row for row in known if row[0].known), key=lambda row: -row[0].value)
    most = max((estimate.value for estimate, _ in known), default=0.0) or 1.0
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(max_width=36, overflow="fold")
    grid.add_column(width=BAR_WIDTH)
    grid.add_column(justify="right")
    for estimate, group in known[:MOST_BARS]:
        sound = all(run.verdict == "VALID" for run in group.counted)
        bar = "█" * max(1, round(estimate.value / most * BAR_WIDTH))
        told = format_one(rate.kind, estimate, "none") + ("" if sound else " INVALID")
        grid.add_row(group.name, Text(bar, style="" if sound else "dim"), told)
    return Padding(grid, (1, 0, 0, 2))


def _groups(sets: Sequence[ComparableSet]) -> RenderableType:
    """A table of all groups, set by set, so that the columns of all sets line up."""
    groups = [group for of in sets for group in of.groups]
    shown = display(tables.group_table(sets), intervals="half")
    left_out = ("runs", "verdict", "comparable set")
    kept = [at for at, heading in enumerate(shown.headings) if heading not in left_out]
    rich = _rich(
        ["group", "valid", *(shown.headings[at] for at in kept[1:])],
        [False, True, *(shown.numeric[at] for at in kept[1:])],
    )
    firsts = {id(of.groups[0]): of.label for of in sets if len(sets) > 1}
    for group, row in zip(groups, shown.rows, strict=True):
        if id(group) in firsts:
            rich.add_section()
            rich.add_row(Text(firsts[id(group)], style="italic"))
        rich.add_row(_wrapped(row[0]), _valid(group), *(_stacked(row[at]) for at in kept[1:]))
    return Padding(rich, (1, 0, 1, 0))


def _wrapped(name: str) -> str:
    """``name`` in lines of ``NAME_WIDTH``: cut between words, or else at a hyphen."""
    words = textwrap.wrap(name, NAME_WIDTH, break_on_hyphens=False, break_long_words=False)
    return "\n".join(textwrap.fill(line, NAME_WIDTH) for line in words)


def _valid(group: RunGroup) -> Text:
    valid = sum(run.verdict == "VALID" for run in group.runs)
    style = "VALID" if valid == len(group.runs) else "INVALID"
    return Text(f"{valid}/{len(group.runs)}", style=STYLES[style])


def _stacked(cell: str) -> Text:
    """A value with its interval below it, so that many columns fit."""
    value, plus_minus, side = cell.partition(" ±")
    text = Text(value, style=STYLES.get(value, ""))
    return text.append(f"\n±{side}", style="dim") if plus_minus else text


def _findings(run: Run) -> RenderableType:
    """The failed checks of one run, one line each."""
    found = [*run.findings, *filter(None, [above_bound(run)])]
    return _checked([_line(f, "") for f in found if f.level != "ok"], [run])


def _findings_of_all(groups: Sequence[RunGroup]) -> RenderableType:
    """The failed checks of all runs: one line per check, those that make a run INVALID first."""
    runs = [run for group in groups for run in group.runs]
    alike: dict[tuple[str, str], list[tuple[str, Run, Finding]]] = {}
    for group in groups:
        for run in group.runs:
            for f in run.findings:
                alike.setdefault((f.level, f.check), []).append((group.name, run, f))
    lines = [
        _line(found[0][2], _affected(found, len(runs)))
        for (level, _), found in sorted(alike.items(), key=lambda of: of[0][0] != "invalid")
        if level != "ok"
    ]
    return _checked(lines, runs)


def _affected(found: Sequence[tuple[str, Run, Finding]], number: int) -> str:
    """How many runs of which groups a finding is about, and the first of them."""
    by_group = Counter(name for name, _, _ in found)
    where = ", ".join(f"{n} of {name}" for name, n in by_group.items())
    first = found[0][1].summary.identity.id
    if len(found) == 1:
        return f"{first}: "
    return f"{len(found)} of {number} runs ({where}), the first {first}: "


def _line(finding: Finding, affected: str) -> Text:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    words = f" {affected}{finding.text}{remedy}"
    return Text.assemble((finding.level, STYLES[finding.level]), words)


def _checked(lines: Sequence[Text], runs: Sequence[Run]) -> RenderableType:
    passed = sum(finding.level == "ok" for run in runs for finding in run.findings)
    return Padding(Group(*lines, Text(f"{passed} checks passed", style="dim")), (1, 0, 0, 0))


def text_table(
    headings: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[str]]
) -> RenderableType:
    """A table whose cells are text already."""
    rich = _rich(headings, numeric)
    for row in rows:
        rich.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return rich


def _rich(headings: Sequence[str], numeric: Sequence[bool], title: str = "") -> RichTable:
    table = RichTable(
        box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold",
        pad_edge=False, show_edge=False, collapse_padding=True,
        padding=(0, 1 if len(headings) <= 10 else 0, 0, 0),
    )  # fmt: skip
    for heading, right in zip(headings, numeric, strict=True):
        longest = max(map(len, heading.split() or [""]))
        table.add_column(
            heading, justify="right" if right else "left", overflow="fold", min_width=longest
        )
    return table
