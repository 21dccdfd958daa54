"""Tables of the terminal and of the full report: each function gives one ``Table`` of raw cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from mdibench.analysis.comparable_sets import ComparableSet
from mdibench.analysis.formatting import Cell, format_one
from mdibench.analysis.metrics import RunSummary
from mdibench.analysis.run_groups import METRICS, Run, RunGroup, above_bound, over_runs
from mdibench.analysis.shares import Estimate
from mdibench.analysis.standings import sentences, standing
from mdibench.analysis.workers import STATES
from mdibench.report.document import Column, Lead, Table

LEDGER = ("offered", "admitted", "ok", "late", "dropped", "lost", "in_flight")
MOST_LED = 6
"""Sets of groups whose leader is told in words."""
GROUP_METRICS = ("throughput", "accuracy", "p50", "p99")


def leads(sets: Sequence[ComparableSet]) -> tuple[Lead, ...]:
    """Who leads each set, the first ``MOST_LED`` of them."""
    return tuple(Lead(of.label, tuple(sentences(standing(of)))) for of in sets[:MOST_LED])


def headline_figures(run: Run) -> list[tuple[str, Any, Estimate]]:
    """Headline figures of a run: title, kind and estimate."""
    measured = run.summary.measured
    rows = [("offered rate", METRICS["throughput"].kind, measured.offered_per_s)]
    rows += [(m.title, m.kind, m.get(measured)) for m in METRICS.values()]
    return rows


def headline_table(sets: Sequence[ComparableSet]) -> Table:
    """Every metric of every group, in long form for CSV and JSON."""
    columns = [Column("group", "group"), Column("scheme", "scheme"), Column("kind", "kind")]
    columns += [Column("ranks", "ranks", "count"), Column("runs", "runs", "count")]
    columns += [Column(_key(m.key, m.kind), m.title, m.kind) for m in METRICS.values()]
    columns.append(Column("verdict", "verdict"))
    rows = [_headline_row(group) for of in sets for group in of.groups]
    note = left_out([group for of in sets for group in of.groups])
    return _by_set("headline", "All figures by group", columns, rows, sets, note)


def _by_set(
    key: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[tuple[Cell, ...]],
    sets: Sequence[ComparableSet],
    note: str,
) -> Table:
    """A table with a row per group, and a column for their set where there are several."""
    if len(sets) == 1:
        return Table(key, title, tuple(columns), tuple(rows), note)
    labels = [of.label for of in sets for _ in of.groups]
    marked = tuple((*row, label) for row, label in zip(rows, labels, strict=True))
    return Table(key, title, (*columns, Column("set", "comparable set")), marked, note)


def left_out(groups: Sequence[RunGroup]) -> str:
    """How many INVALID runs the figures of ``groups`` leave out, and what the means with them are.

    Nothing where none is left out: a reader sees whether leaving them out decides the figures.
    """
    partial = [group for group in groups if len(group.counted) < len(group.runs)]
    if not partial:
        return ""
    number = sum(len(group.runs) - len(group.counted) for group in partial)
    shown = "; ".join(f"{group.name} {_with_all(group)}" for group in partial[:MEANS_SHOWN])
    more = "; ..." if len(partial) > MEANS_SHOWN else ""
    return f"{number} INVALID left out of means. With them: {shown}{more}."


MEANS_SHOWN = 4


def _with_all(group: RunGroup) -> str:
    metrics = (METRICS["throughput"], METRICS["latency-mean"])
    told = (format_one(m.kind, over_runs(group.runs, m), "none") for m in metrics)
    return ", mean latency ".join(told)


def _headline_row(group: RunGroup) -> tuple[Cell, ...]:
    identity = group.first.identity
    facts: list[Cell] = [group.name, identity.scheme, identity.measured_on, identity.ranks]
    return (*facts, len(group.runs), *map(group.estimate, METRICS.values()), group.verdict)


def _key(name: str, kind: str) -> str:
    units = {"seconds": "_s", "share": "", "per_s": "_per_s", "bytes": "", "joules": "_j"}
    stem = {
        "throughput": "rate",
        "p50": "latency_p50",
        "p95": "latency_p95",
        "p99": "latency_p99",
        "max": "latency_max",
        "bytes": "bytes_per_item",
        "energy": "energy_per_item",
    }
    return stem.get(name, name).replace("-", "_") + units.get(kind, "")  # fmt: skip


def group_table(sets: Sequence[ComparableSet]) -> Table:
    """One line per group."""
    groups = [group for of in sets for group in of.groups]
    metrics = [METRICS[key] for key in GROUP_METRICS]
    columns = [Column("group", "group"), Column("runs", "runs", "count")]
    columns += [
        Column(_key(m.key, m.kind), m.title.removeprefix("latency "), m.kind) for m in metrics
    ]
    columns += [Column("ok", "ok", "count"), Column("failed", "failed", "count")]
    columns.append(Column("verdict", "verdict"))
    rows: list[tuple[Cell, ...]] = [
        (
            group.name, len(group.runs), *map(group.estimate, metrics),
            sum(run.summary.ledger.ok for run in group.runs),
            sum(run.summary.ledger.dropped + run.summary.ledger.lost for run in group.runs),
            group.verdict,
        )
        for group in groups
    ]  # fmt: skip
    return _by_set("groups", "Groups of repeats", columns, rows, sets, left_out(groups))


def run_table(groups: Sequence[RunGroup]) -> Table:
    """One line per run: identity, end, ledger, and use in the report."""
    columns = [
        Column("run", "run"),
        Column("status", "status"),
        Column("verdict", "verdict"),
    ]
    columns += [
        Column("kind", "kind"),
        Column("scheme", "scheme"),
        Column("seed", "seed", "count"),
    ]
    columns += [Column(name, name.replace("_", " "), "count") for name in LEDGER]
    columns.append(Column("use", "use"))
    rows: list[tuple[Cell, ...]] = [
        (
            run.summary.identity.id, run.summary.identity.status, run.verdict,
            run.summary.identity.measured_on, run.summary.identity.scheme,
            run.summary.identity.seed,
            *(getattr(run.summary.ledger, name) for name in LEDGER), _use(group, run),
        )
        for group in groups
        for run in group.runs
    ]  # fmt: skip
    note = "Use: mean: in its group's means; detail: also shown in detail; left out: in neither."
    return Table("runs", "Runs", tuple(columns), tuple(rows), note)


def _use(group: RunGroup, run: Run) -> str:
    if run is group.detailed:
        return "detail"
    return "mean" if run in group.counted else "left out"


def ledger_table(summary: RunSummary) -> Table:
    """How the items of a run ended."""
    columns = tuple(Column(name, name.replace("_", " "), "count") for name in LEDGER)
    row = tuple(getattr(summary.ledger, name) for name in LEDGER)
    return Table("ledger", "Items of the whole run", columns, (row,))


def exit_table(summary: RunSummary) -> Table:
    """Exits by depth."""
    columns = (
        Column("exit", "exit", "count"), Column("items", "items", "count"),
        Column("share", "share", "share"), Column("accuracy", "accuracy", "share"),
        Column("confidence", "confidence", "share"),
        Column("calibration_error", "ECE", "share"),
        Column("latency_p50_s", "latency p50", "seconds"),
    )  # fmt: skip
    rows = [
        (row.exit, row.items, row.share.value, row.accuracy, row.confidence,
         row.calibration_error, row.latency_p50_s)
        for row in summary.exits
    ]  # fmt: skip
    note = "ECE: expected calibration error, how far confidence is from accuracy."
    return Table("exits", "Exits by depth", columns, tuple(rows), note)


def rank_table(summary: RunSummary) -> Table:
    """Workers: time, queues and memory."""
    columns = [Column("rank", "rank", "count"), Column("blocks", "blocks")]
    columns += [Column("tasks", "tasks", "count")]
    columns += [Column(state, state, "share") for state in STATES]
    columns += [
        Column("queue_mean", "queue", "number"),
        Column("queue_max", "max", "count"),
    ]
    columns += [Column("rss_bytes", "memory", "bytes")]
    rows: list[tuple[Cell, ...]] = [
        (row.rank, spans(row.blocks), row.tasks, *(row.split[s] for s in STATES), row.queue_mean,
         row.queue_max, row.rss_bytes)
        for row in summary.ranks
    ]  # fmt: skip
    note = "Shares of the measured window; queue is |I| + |O|; memory is the peak."
    return Table("ranks", "Workers", tuple(columns), tuple(rows), note)


def spans(numbers: Iterable[int]) -> str:
    """``1-3 5`` for 1, 2, 3 and 5; ``-`` for no number."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts) or "-"


def link_table(summary: RunSummary) -> Table:
    """Links, one direction per line."""
    columns = (
        Column("source", "from", "count"), Column("target", "to", "count"),
        Column("codec", "codec"), Column("tasks", "tasks", "count"),
        Column("bytes", "sent", "bytes"),
        Column("bytes_per_item", "per item", "bytes"), Column("rate_bps", "rate", "bit/s"),
        Column("used", "used", "share"), Column("hop_delay_s", "hop", "seconds"),
        Column("ping_pongs", "bounced", "count"),
    )  # fmt: skip
    finished = summary.measured.rate_per_s.n
    rows = [
        (row.source, row.target, row.codec or "-", row.tasks, row.bytes,
         row.bytes / finished if finished else math.nan, row.rate_bps, row.used,
         row.hop_delay_s, row.ping_pongs)
        for row in summary.links
    ]  # fmt: skip
    note = "used: share of the link's bandwidth where it is known; hop: mean D of a task; "
    note += "bounced: tasks sent straight back to where they came from."
    return Table("links", "Links", columns, tuple(rows), note)


def finding_table(runs: Sequence[Run], passed: bool = True) -> Table:
    """Findings of the checks by run; without ``passed``, only those that did not pass."""
    columns = (
        Column("run", "run"), Column("level", "level"), Column("check", "check"),
        Column("finding", "finding"), Column("remedy", "what to change"),
    )  # fmt: skip
    rows = [
        (run.summary.identity.id, finding.level, finding.check, finding.text, finding.remedy)
        for run in runs
        for finding in (*run.findings, *filter(None, [above_bound(run)]))
        if passed or finding.level != "ok"
    ]
    return Table("findings", "Checks", columns, tuple(rows))
