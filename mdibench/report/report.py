"""The full report over groups of runs: its sections with their text, tables and figures.

Details (exits, workers, links, steps) are of each group's first VALID run (its first run where none
is VALID), for the first ``MOST_DETAILED`` groups; CSV and JSON have the same tables. The modules
``formats`` and ``html`` write the document. Called by ``cli.report``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mdibench.analysis.comparable_sets import ComparableSet, comparable_sets
from mdibench.analysis.comparison import Difference, compare
from mdibench.analysis.explain import Breakdown, break_down
from mdibench.analysis.run_groups import METRICS, Run, RunGroup
from mdibench.errors import IncomparableRuns
from mdibench.report import explanation, group_figures, run_figures, run_tables, tables
from mdibench.report.document import Document, Figure, ReportSection, Table

MOST_DETAILED = 12
"""Groups of which one run is shown in detail."""
MOST_DRAWN = 3
"""Runs that get figures of their own."""
COMPARED = ("throughput", "accuracy", "p50", "p99")


@dataclass(frozen=True, slots=True)
class ReportInput:
    """The input of every section."""

    sets: list[ComparableSet]
    skipped: list[str]
    breakdowns: dict[str, Breakdown]
    """By group name, for the detailed groups whose run has steps."""

    @property
    def groups(self) -> list[RunGroup]:
        """All groups, set by set."""
        return [group for of in self.sets for group in of.groups]

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for group in self.groups for run in group.runs]

    @property
    def detailed(self) -> dict[str, Run]:
        """The run that is shown in detail, by group name."""
        return {group.name: group.detailed for group in self.groups[:MOST_DETAILED]}

    @property
    def drawn(self) -> dict[str, Run]:
        """The runs with figures of their own, by group name."""
        return dict(list(self.detailed.items())[:MOST_DRAWN])


def build_report(groups: list[RunGroup], skipped: Sequence[str] = ()) -> Document:
    """The report on ``groups``; ``skipped`` names the runs that could not be read."""
    sets = comparable_sets(groups)
    groups = [group for of in sets for group in of.groups]
    inputs = ReportInput(sets, list(skipped), _breakdowns(groups[:MOST_DETAILED]))
    runs = inputs.runs
    days = sorted({run.summary.identity.started_utc[:10] for run in runs} - {""})
    span = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""
    subtitle = f"{_count(len(runs), 'run')} in {_count(len(groups), 'group')} of repeats"
    return Document(
        title=_title(groups),
        subtitle=" · ".join(part for part in (subtitle, span) if part),
        sections=tuple(write(inputs) for write in SECTIONS),
    )


def _breakdowns(groups: Sequence[RunGroup]) -> dict[str, Breakdown]:
    found = {}
    for group in groups:
        summary = group.first
        steps = break_down(group.detailed.reader, summary.window, summary.identity.ranks)
        if steps is not None:
            found[group.name] = steps
    return found


def _title(groups: Sequence[RunGroup]) -> str:
    names = sorted({group.first.identity.name for group in groups})
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


# --- sections ------------------------------------------------------------------------------------


def _summary(inputs: ReportInput) -> ReportSection:
    kinds = Counter(run.summary.identity.measured_on for run in inputs.runs)
    invalid = [run for run in inputs.runs if run.verdict != "VALID"]
    text = [
        "Measured on: "
        + "; ".join(f"{kind} ({_count(n, 'run')})" for kind, n in kinds.items())
        + ".",
        f"{_count(len(inputs.runs) - len(invalid), 'run')} VALID, {len(invalid)} INVALID"
        + ("; what to change is under Checks." if invalid else "."),
        *(f"Skipped: {problem}." for problem in inputs.skipped),
        *(f"{problem}." for run in inputs.runs for problem in run.reader.problems),
    ]
    if len(inputs.sets) > tables.MOST_LED:
        text.insert(
            0, f"{len(inputs.sets) - tables.MOST_LED} more sets of groups are in the tables."
        )
    shown = [tables.group_table(inputs.sets), tables.run_table(inputs.groups)]
    shown.append(run_tables.bound_table(inputs.groups[:MOST_DETAILED]))
    draw = Figure("rates", "Rate", partial(group_figures.rate_figure, inputs.sets))
    return ReportSection(
        "summary", "Verdict", tuple(text), _full(*shown), (draw,), tables.leads(inputs.sets)
    )


def _comparison(inputs: ReportInput) -> ReportSection:
    pairs = [
        (of.baseline, other)
        for of in inputs.sets
        for other in of.groups
        if other is not of.baseline
    ]
    rows = [d for base, other in pairs for d in _against(base, other)]
    bases = dict.fromkeys(base.name for base, _ in pairs)
    text = [
        f"Every group against {', or '.join(bases)}."
        if pairs
        else "There is only one group to a set: nothing to compare."
    ]
    if len(inputs.sets) > 1:
        text.append("Groups of different sets stand apart: their figures do not compare.")
    text.append(
        "Bars and brackets are 95 % intervals: over repeats where a group has several runs, else "
        "within its run. Significance is at 5 % after Holm's correction over the metrics of a pair."
    )
    draw = Figure(
        "dots", "Rate, accuracy and latency", partial(group_figures.metric_figure, inputs.sets)
    )
    return ReportSection(
        "comparison", "Schemes and topologies", tuple(text),
        _full(run_tables.difference_table(rows), tables.headline_table(inputs.sets)), (draw,),
    )  # fmt: skip


def _against(base: RunGroup, other: RunGroup) -> list[tuple[str, str, Difference | str]]:
    try:
        found = compare(base, other, [METRICS[key] for key in COMPARED])
    except IncomparableRuns as reason:
        return [(other.name, base.name, str(reason))]
    return [(other.name, base.name, difference) for difference in found.differences]


def _tradeoff(inputs: ReportInput) -> ReportSection:
    text = (
        "Filled points are on the Pareto front of their scheme: no other group of it, among those "
        "that can be compared, is both faster and more accurate. Values of the paper: not "
        "available.",
    )
    figure = Figure(
        "tradeoff", "Rate against accuracy", partial(group_figures.tradeoff_figure, inputs.sets)
    )
    return ReportSection("tradeoff", "Rate against accuracy", text, (), (figure,))


def _latency(inputs: ReportInput) -> ReportSection:
    text = ("From the scheduled arrival of an item to its result, on the source's clock.",)
    figure = Figure(
        "latency", "Distribution of latency", partial(group_figures.latency_figure, inputs.sets)
    )
    shown = _full(run_tables.latency_table(inputs.groups))
    return ReportSection("latency", "Latency", text, shown, (figure,))


def _exits(inputs: ReportInput) -> ReportSection:
    shown = inputs.groups[:MOST_DETAILED]
    draws = (
        Figure("exits", "Exits by depth", partial(group_figures.exit_figure, shown)),
        Figure(
            "calibration",
            "Confidence and accuracy",
            partial(group_figures.calibration_figure, shown),
        ),
    )
    text = (
        "From one run of each group, as all details below: its first VALID run, or its first where "
        'none is VALID (in the table Runs its use is "detail"). ECE is the expected calibration '
        "error, over ten bins.",
    )
    by_exit = run_tables.by_group(inputs.detailed, tables.exit_table)
    targets = run_tables.target_table(inputs.detailed)
    return ReportSection("exits", "Exits by depth", text, _full(by_exit, targets), draws)


def _queues(inputs: ReportInput) -> ReportSection:
    draws = [
        Figure(f"queues-{at}", f"Queues of {name}", partial(run_figures.queue_figure, run))
        for at, (name, run) in enumerate(inputs.drawn.items(), 1)
    ]
    text = [_left_out(inputs, len(draws))]
    shown = _full(run_tables.controller_table(inputs.detailed))
    return ReportSection(
        "queues", "Queues over time", tuple(filter(None, text)), shown, tuple(draws)
    )


def _workers(inputs: ReportInput) -> ReportSection:
    draw = Figure(
        "split",
        "How workers spent their time",
        partial(run_figures.time_split_figure, inputs.drawn),
    )
    shares = run_tables.by_group(inputs.detailed, tables.rank_table)
    energy = run_tables.energy_table(inputs.detailed)
    conditions = run_tables.condition_table(inputs.detailed)
    text = (
        "Compute; encode (codec); send (nothing to compute, a transfer in progress); wait (nothing "
        "to compute, tasks in the output queue held back); idle (nothing to do).",
        "Energy: n/a, since no meter (RAPL, a Jetson's INA3221) was read."
        if not energy.rows
        else "Energy only where a meter was read; it is n/a elsewhere.",
        "Temperature, clock, throttling: n/a, since no host tells them."
        if not conditions.rows
        else "Temperature, clock and throttling only of hosts that tell them.",
    )
    draws = (draw,) if shares.rows else ()
    return ReportSection("workers", "Workers", text, _full(shares, energy, conditions), draws)


def _network(inputs: ReportInput) -> ReportSection:
    draws = [
        Figure(
            f"offloads-{at}",
            f"Offloads of {name}",
            partial(run_figures.offload_figure, steps.decisions),
        )
        for at, (name, steps) in enumerate(inputs.breakdowns.items(), 1)
        if at <= MOST_DRAWN and steps.decisions.matrix.any()
    ]
    shown = [run_tables.by_group(inputs.detailed, tables.link_table)]
    shown.append(run_tables.decision_table(inputs.breakdowns))
    shown.append(run_tables.overhead_table(inputs.detailed))
    text = ("Offloads count traced tasks: from the row's rank to the column's.",) if draws else ()
    return ReportSection("network", "Links and offloading", text, _full(*shown), tuple(draws))


def _why(inputs: ReportInput) -> ReportSection:
    return explanation.explanation_section(inputs.groups, inputs.detailed, inputs.breakdowns)


def _checks(inputs: ReportInput) -> ReportSection:
    text = (
        "Self-checks of every run: its records are whole, items are conserved, Little's law holds "
        "between ledger and telemetry, items in flight do not grow, warm-up was long enough.",
    )
    return ReportSection("checks", "Checks", text, _full(tables.finding_table(inputs.runs)))


def _environment(inputs: ReportInput) -> ReportSection:
    detailed = inputs.detailed
    shown = _full(run_tables.environment_table(detailed), run_tables.setting_table(detailed))
    return ReportSection("environment", "Environment", (), shown)


def _limits(inputs: ReportInput) -> ReportSection:
    identities = [run.summary.identity for run in inputs.runs]
    kinds = {identity.kind for identity in identities}
    text = []
    if any(len(group.runs) == 1 for group in inputs.groups):
        text.append("Groups of one run: their intervals say nothing about how much runs differ.")
    if "simulated" in kinds:
        text.append("Simulated runs compare policies; they do not measure the speed of a device.")
    if any(kind.startswith("emulated") for kind in kinds):
        text.append(
            "Emulated devices and links are only as close to real ones as their profiles are."
        )
    if "emulated, recorded answers" in kinds:
        text.append(
            "With recorded answers no rank computes: devices keep their times exactly, and answers "
            "are those that the network gave of these items before."
        )
    if len(kinds) > 1:
        text.append("Runs of different kinds stand side by side here; do not compare their times.")
    text.append(
        "The mean of a group leaves out its INVALID runs, unless most of its runs are INVALID; "
        "where figures of an INVALID run are shown, they support no claim."
    )
    text.append(
        "Accuracy holds for this data set and its corruption; values of the paper: not available."
    )
    return ReportSection("limits", "What these numbers do not support", tuple(text))


def _left_out(inputs: ReportInput, shown: int) -> str:
    left = len(inputs.groups) - shown
    return (
        f"The first {shown} groups; mdibench report RUN shows the other {left}." if left > 0 else ""
    )


def _full(*shown: Table) -> tuple[Table, ...]:
    return tuple(table for table in shown if table.rows)


SECTIONS: tuple[Callable[[ReportInput], ReportSection], ...] = (
    _summary, _comparison, _tradeoff, _latency, _exits, _queues, _workers, _network, _why, _checks,
    _environment, _limits,
)  # fmt: skip
