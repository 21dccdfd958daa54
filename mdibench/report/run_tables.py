"""Tables of the full report: latencies, bounds, controllers, energy, offloading, machines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mdibench.analysis import workers
from mdibench.analysis.comparison import Difference
from mdibench.analysis.explain import LATENCY_PARTS, Breakdown, Cut
from mdibench.analysis.formatting import NOT_AVAILABLE, Cell, CellKind, format_one
from mdibench.analysis.metrics import RunSummary
from mdibench.analysis.run_groups import (
    METRICS,
    Run,
    RunGroup,
    bound_of,
    flat,
    target_accuracy,
    target_result,
)
from mdibench.analysis.statistics import mean_of_independent
from mdibench.analysis.steadiness import CONTROLLED, Control, control
from mdibench.report.document import Column, Table
from mdibench.report.tables import left_out

Runs = Mapping[str, Run]
TableRows = list[tuple[Cell, ...]]

LATENCIES = ("latency-mean", "p50", "p95", "p99", "max")
FACTS = (
    ("host", "host"), ("cpu", "processor"), ("cores", "cores"), ("threads", "threads"),
    ("memory_bytes", "memory"), ("load_1min", "load"), ("governor", "governor"),
    ("kernel", "kernel"), ("python", "python"), ("torch", "torch"), ("mpi", "mpi"),
    ("mdibench", "mdibench"),
)  # fmt: skip


def by_group(runs: Runs, make: Callable[[RunSummary], Table]) -> Table:
    """The tables that ``make`` gives for the runs, as one table with a column for the group."""
    tables = {name: make(run.summary) for name, run in runs.items()}
    first = next(iter(tables.values()))
    if len(tables) == 1:
        return first
    rows = tuple((name, *row) for name, table in tables.items() for row in table.rows)
    return Table(
        first.key, first.title, (Column("group", "group"), *first.columns), rows, first.note
    )


def latency_table(groups: Sequence[RunGroup]) -> Table:
    """Latency percentiles of every group."""
    metrics = [METRICS[key] for key in LATENCIES]
    columns = [Column("group", "group"), Column("items", "items", "count")]
    columns += [Column(f"{m.key}_s", m.title.removeprefix("latency "), m.kind) for m in metrics]
    rows: TableRows = [
        (group.name, sum(run.summary.measured.latency_p50_s.n for run in group.counted),
         *map(group.estimate, metrics))
        for group in groups
    ]  # fmt: skip
    return Table("latency", "Latency", tuple(columns), tuple(rows), left_out(groups))


def difference_table(rows: Sequence[tuple[str, str, Difference | str]]) -> Table:
    """Every group against the baseline of its set: group, baseline and difference."""
    columns = (
        Column("group", "group"), Column("baseline", "against"), Column("metric", "metric"),
        Column("ratio", "ratio", "number"), Column("p_adjusted", "p (Holm)", "p"),
        Column("word", "result"), Column("method", "by"),
    )  # fmt: skip
    cells: TableRows = [
        (name, base, d.metric.title, d.ratio.estimate, d.p_adjusted, d.word, d.method)
        if isinstance(d, Difference)
        else (name, base, "", None, None, d, "")
        for name, base, d in rows
    ]
    return Table("differences", "Against the baseline", columns, tuple(cells))


def bound_table(groups: Sequence[RunGroup]) -> Table:
    """The share of the capacity bound that each group reached, over its counted runs."""
    columns = (
        Column("group", "group"), Column("rate_per_s", "rate", "per_s"),
        Column("bound_per_s", "bound", "per_s"), Column("reached", "reached", "share"),
        Column("binding", "bound by"),
    )  # fmt: skip
    rows = tuple(row for row in map(_bound_row, groups) if row)
    note = (
        "The largest rate that any policy could sustain with this placement and links, by block "
        "times under load and exits as the run measured them; mdibench bound takes unloaded times."
    )
    return Table("bounds", "Capacity bound", columns, rows, f"{note} {left_out(groups)}".strip())


def _bound_row(group: RunGroup) -> tuple[Cell, ...]:
    found = [(bound_of(run), run.summary.measured.rate_per_s.value) for run in group.counted]
    known = [(bound, rate) for bound, rate in found if not math.isnan(bound.rate_per_s)]
    if not known:
        return ()
    mean = mean_of_independent([bound.rate_per_s for bound, _ in known])
    reached = mean_of_independent([rate / bound.rate_per_s for bound, rate in known])
    told = ["; ".join(filter(None, (bound.binding, bound.pieces))) for bound, _ in known]
    binding, _ = Counter(told).most_common(1)[0]
    return (group.name, group.estimate(METRICS["throughput"]), mean, reached, binding)


def target_table(runs: Runs) -> Table:
    """Calibrated runs: target accuracy, and measured accuracy on the evaluation items."""
    columns = (
        Column("group", "group"), Column("target", "target", "share"),
        Column("accuracy", "accuracy", "share"), Column("result", "result"),
    )  # fmt: skip
    rows: TableRows = [
        (name, target_accuracy(run), run.summary.measured.accuracy, target_result(run))
        for name, run in runs.items()
        if not math.isnan(target_accuracy(run))
    ]
    note = "Thresholds were chosen on the calibration items, where they hold the target."
    return Table("targets", "Accuracy against its target", columns, tuple(rows), note)


def controller_table(runs: Runs) -> Table:
    """Settling time and overshoot of what the source adapted."""
    columns = (
        Column("group", "group"), Column("quantity", "adapts"), Column("start", "start"),
        Column("mean", "second half"), Column("range", "range"),
        Column("settled_s", "settled after", "seconds"), Column("overshoot", "overshoot", "share"),
    )  # fmt: skip
    rows: TableRows = []
    for name, run in runs.items():
        found = _control(run)
        if found is not None:
            kind: CellKind = "seconds" if found.column.endswith("_s") else "number"
            shown = [format_one(kind, v) for v in (found.start, found.mean, found.low, found.high)]
            spread = f"{shown[2]} to {shown[3]}"
            rows.append(
                (name, found.column.removesuffix("_s"), shown[0], shown[1], spread,
                 found.settled_s, found.overshoot)
            )  # fmt: skip
    note = "Settled: stays within the range of the second half. Overshoot: furthest beyond it."
    return Table("controllers", "Controllers", columns, tuple(rows), note)


def _control(run: Run) -> Control | None:
    column = CONTROLLED.get(run.summary.identity.mode)
    if column is None:
        return None
    source = workers.telemetry(run.reader, (column,)).get(0)
    if source is None:
        return None
    inside = source.t_s <= run.summary.window[1]
    return control(column, source.t_s[inside], source.columns[column][inside])


def energy_table(runs: Runs) -> Table:
    """Energy by rank, where it was measured."""
    columns = (
        Column("group", "group"), Column("rank", "rank", "count"),
        Column("device", "device"), Column("energy_j", "energy", "joules"),
        Column("meter", "meter"),
    )  # fmt: skip
    rows: TableRows = [
        (name, row.rank, row.device or row.host, row.energy_j, row.energy_meter or NOT_AVAILABLE)
        for name, run in runs.items()
        for row in run.summary.ranks
        if not math.isnan(row.energy_j)
    ]
    return Table("energy", "Energy of the whole run", columns, tuple(rows))


def condition_table(runs: Runs) -> Table:
    """How hosts did during the measured window, where they tell."""
    columns = (
        Column("group", "group"), Column("rank", "rank", "count"), Column("host", "host"),
        Column("temperature_c", "hottest °C", "count"), Column("clock_hz", "mean clock", "Hz"),
        Column("throttled", "throttled", "share"),
    )  # fmt: skip
    rows: TableRows = [
        (name, row.rank, row.host, row.temperature_c, row.clock_hz, row.throttled)
        for name, run in runs.items()
        for row in run.summary.ranks
        if not all(map(math.isnan, (row.temperature_c, row.clock_hz, row.throttled)))
    ]
    return Table("conditions", "Temperature, clock and throttling", columns, tuple(rows))


def decision_table(breakdowns: Mapping[str, Breakdown]) -> Table:
    """The rules by which tasks were offloaded, and the age of the information they used."""
    columns = (
        Column("group", "group"), Column("rule", "rule"), Column("tasks", "tasks", "count"),
        Column("share", "share", "share"), Column("age_p50_s", "info age p50", "seconds"),
        Column("age_p95_s", "p95", "seconds"),
    )  # fmt: skip
    rows: TableRows = []
    for name, steps in breakdowns.items():
        total = sum(steps.decisions.rules.values())
        ages = steps.decisions.info_age_s
        rows += [(name, rule, n, n / total, *ages) for rule, n in steps.decisions.rules.items()]
    note = "Information age: age of the target's last queue report when a task was sent."
    return Table("decisions", "Offload decisions", columns, tuple(rows), note)


def overhead_table(runs: Runs) -> Table:
    """Messages and processor time of the harness itself."""
    columns = (
        Column("group", "group"), Column("sent_bytes", "sent", "bytes"),
        Column("gossip_bytes", "gossip", "bytes"), Column("gossip_share", "gossip share", "share"),
        Column("cpu_share", "processor", "share"), Column("compute_share", "compute", "share"),
    )  # fmt: skip
    rows: TableRows = []
    for name, run in runs.items():
        ranks = run.summary.ranks
        sent, gossip = sum(r.sent_bytes for r in ranks), sum(r.gossip_bytes for r in ranks)
        cpu, compute = sum(r.cpu_share for r in ranks), sum(r.split["compute"] for r in ranks)
        if ranks:
            rows.append((name, sent, gossip, gossip / sent if sent else None, cpu, compute))
    note = "Processor time of all ranks beside their compute: 100 % is one core."
    return Table("overhead", "Overhead of the harness", columns, tuple(rows), note)


def item_time_table(breakdowns: Mapping[str, Breakdown]) -> Table:
    """Where the time of an average item went, by exit."""
    columns = [
        Column("group", "group"),
        Column("exit", "exit"),
        Column("items", "items", "count"),
    ]
    columns += [Column(f"{part.replace(' ', '_')}_s", part, "seconds") for part in LATENCY_PARTS]
    columns.append(Column("latency_s", "latency", "seconds"))
    rows: TableRows = [
        (
            name,
            str(time.exit or "all"),
            time.items,
            *(time.parts[p] for p in LATENCY_PARTS),
            time.latency_s,
        )
        for name, steps in breakdowns.items()
        for time in steps.times
    ]
    note = "Moving: what is left of the latency: codec, transfers and the result's way home."
    return Table("item_times", "Mean time of traced items", tuple(columns), tuple(rows), note)


def cut_table(name: str, found: Sequence[Cut]) -> Table:
    """The highest rate of a pipeline of the source and one more worker, by cut."""
    columns = (
        Column("after", "cut after block", "count"), Column("source_s", "source", "seconds"),
        Column("other_s", "other", "seconds"), Column("link_s", "link", "seconds"),
        Column("rate_per_s", "at most", "per_s"),
        Column("break_even_bps", "breaks even at", "bit/s"),
    )  # fmt: skip
    rows: TableRows = [
        (c.after, c.source_s, c.other_s, c.link_s, c.rate_per_s, c.break_even_bps) for c in found
    ]
    note = "Times per admitted item. The last line keeps every block at the source."
    return Table(
        f"cuts_{name}",
        f"Cuts of {name}: source, one link, one more worker",
        columns,
        tuple(rows),
        note,
    )


def environment_table(runs: Runs) -> Table:
    """Every rank's machine and libraries."""
    columns = [Column("group", "group"), Column("rank", "rank", "count")]
    columns += [
        Column(key, title, "bytes" if key == "memory_bytes" else "text") for key, title in FACTS
    ]
    columns.append(Column("clock_offset_s", "clock offset", "seconds"))
    rows: TableRows = []
    for name, run in runs.items():
        manifest = run.reader.manifest
        offsets = manifest.get("clock_offsets_s") or []
        for facts in manifest.get("ranks") or ():
            rank = int(facts.get("rank", 0))
            offset = offsets[rank] if rank < len(offsets) else None
            rows.append((name, rank, *(_fact(facts, key) for key, _ in FACTS), offset))
    return Table("environment", "Machines and libraries", tuple(columns), tuple(rows))


def _fact(facts: dict[str, Any], key: str) -> Cell:
    value = facts.get(key)
    if key == "memory_bytes":
        return float(value) if value else None
    if isinstance(value, float):
        return f"{value:.2f}"
    return NOT_AVAILABLE if value is None else " ".join(str(value).split())


def setting_table(runs: Runs) -> Table:
    """The resolved config of every run, one key a line, where they differ or once for all."""
    configs = {name: flat(run.reader.manifest.get("config") or {}) for name, run in runs.items()}
    keys = sorted({key for config in configs.values() for key in config})
    columns = (Column("key", "key"), *(Column(name, name) for name in configs))
    rows: TableRows = [
        (key, *(config.get(key, "-") for config in configs.values())) for key in keys
    ]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    if len(configs) > 1:
        note = f"{len(rows) - len(differing)} more keys are equal in all of them."
        return Table("settings", "Settings that differ", columns, tuple(differing), note)
    return Table("settings", "Settings", columns, tuple(rows))
