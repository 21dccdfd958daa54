"""The section "Why is two slower than one?": what limits each run, and its rate against one rank.

``analysis.explain`` finds what limits a run and which cut breaks even; this module writes it as
sentences and tables. Called by ``report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from mdibench.analysis import explain
from mdibench.analysis.explain import Breakdown, Cut
from mdibench.analysis.formatting import Cell
from mdibench.analysis.run_groups import METRICS, Run, RunGroup
from mdibench.report import run_figures, run_tables
from mdibench.report.document import Column, Figure, ReportSection, Table

MOST_EXPLAINED = 4
"""Runs that are explained in sentences; the others only appear in the tables."""


def explanation_section(
    groups: Sequence[RunGroup], runs: Mapping[str, Run], breakdowns: Mapping[str, Breakdown]
) -> ReportSection:
    """The whole section; ``runs`` and ``breakdowns`` are those shown in detail, by group."""
    found = {name: _cuts(run, breakdowns.get(name)) for name, run in runs.items()}
    text = [
        f"{name}: " + " ".join(explain.sentences(run.summary, breakdowns.get(name), found[name]))
        for name, run in list(runs.items())[:MOST_EXPLAINED]
    ]
    tables = [
        one_rank_table(groups),
        limit_table(runs, found),
        run_tables.item_time_table(breakdowns),
    ]
    distributed = [name for name, run in runs.items() if run.summary.identity.ranks > 1]
    tables += [
        run_tables.cut_table(name, found[name])
        for name in distributed[:MOST_EXPLAINED]
        if found[name]
    ]
    draw = Figure(
        "item-time",
        "Where the time of an average item went",
        partial(run_figures.item_time_figure, breakdowns),
    )
    return ReportSection(
        "why",
        "Why is two slower than one?",
        tuple(text),
        tuple(table for table in tables if table.rows),
        (draw,) if breakdowns else (),
    )


def _cuts(run: Run, steps: Breakdown | None) -> list[Cut]:
    return explain.cuts(run.summary, steps, run.reader.manifest) if steps else []


def one_rank_table(groups: Sequence[RunGroup]) -> Table:
    """The rate of every group beside that of one rank alone with the same network."""
    columns = (
        Column("group", "group"), Column("ranks", "ranks", "count"),
        Column("rate_per_s", "rate", "per_s"), Column("carried", "of offered", "share"),
        Column("alone", "one rank"), Column("alone_per_s", "its rate", "per_s"),
        Column("ratio", "ratio", "number"),
    )  # fmt: skip
    rate = METRICS["throughput"]
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        base = _one_rank_baseline(groups, group)
        if base is None or group.first.identity.ranks == 1:
            continue
        own, other = group.estimate(rate), base.estimate(rate)
        ratio = own.value / other.value if other.value else None
        rows.append(
            (
                group.name,
                group.first.identity.ranks,
                own,
                _sustained_share(group),
                base.name,
                other,
                ratio,
            )
        )
    note = "A group that sustained its whole offered rate may sustain more; so may one rank."
    return Table("one_rank", "Beside one rank", columns, tuple(rows), note)


def _sustained_share(group: RunGroup) -> float | None:
    """Rate over offered rate, a mean over the runs that count."""
    measured = [run.summary.measured for run in group.counted]
    shares = [m.rate_per_s.value / m.offered_per_s.value for m in measured if m.offered_per_s.value]
    return sum(shares) / len(shares) if shares else None


def _one_rank_baseline(groups: Sequence[RunGroup], group: RunGroup) -> RunGroup | None:
    """The best match on one rank: the same kind and network, the same scheme or ``local``."""
    own = group.first.identity
    found = [
        other
        for other in groups
        if other.first.identity.ranks == 1
        and (other.first.identity.kind, other.first.identity.model) == (own.kind, own.model)
    ]
    for scheme in (own.scheme, "local"):
        for other in found:
            if other.first.identity.scheme == scheme:
                return other
    return found[0] if found else None


def limit_table(runs: Mapping[str, Run], found: Mapping[str, Sequence[Cut]]) -> Table:
    """What limits each run, and the cut between two workers with the highest rate."""
    columns = (
        Column("group", "group"), Column("busiest", "most used"), Column("used", "used", "share"),
        Column("alone_per_s", "source alone", "per_s"), Column("after", "best cut", "count"),
        Column("best_per_s", "with it", "per_s"),
        Column("break_even_bps", "breaks even at", "bit/s"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for name, run in runs.items():
        busiest = next(iter(explain.resources(run.summary)), None)
        first: tuple[Cell, ...] = (busiest.name, busiest.used) if busiest else ("-", None)
        cells: tuple[Cell, ...] = (None, None, None, None)
        if found[name]:
            best, alone = max(found[name], key=lambda cut: cut.rate_per_s), found[name][-1]
            cells = (alone.rate_per_s, best.after, best.rate_per_s, best.break_even_bps)
        rows.append((name, *first, *cells))
    note = "Bounds of a pipeline of the source, one link and one more worker, from measured times."
    return Table("limits", "What bounds each run", columns, tuple(rows), note)
