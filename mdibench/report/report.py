"""A full report out of groups of runs: which sections, tables and figures, and in which words.

Detail (exits, workers, links, steps) is of each group's first VALID run (its first where none is),
for as many groups as a reader can take in; CSV and JSON have the same tables. Rendering is somebody
else's work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mdibench.analysis.comparison import Difference, compare
from mdibench.analysis.explain import Breakdown, break_down
from mdibench.analysis.formatting import format_one
from mdibench.analysis.run_groups import METRICS, Run, RunGroup
from mdibench.errors import IncomparableRuns
from mdibench.report import explanation, group_figures, run_figures, run_tables, tables
from mdibench.report.document import Document, Figure, ReportSection, Table

DETAILED = 12
"""Groups of which one run is shown in detail."""
DRAWN = 3
"""Runs that get figures of their own."""
COMPARED = ("throughput", "accuracy", "p50", "p99")


@dataclass(frozen=True, slots=True)
class Material:
    """What the sections are written from."""

    groups: list[RunGroup]
    skipped: list[str]
    breakdowns: dict[str, Breakdown]
    """By group, for the groups in detail whose run has steps."""

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for group in self.groups for run in group.runs]

    @property
    def detailed(self) -> dict[str, Run]:
        """The run that is shown in detail, by group."""
        return {group.name: group.detailed for group in self.groups[:DETAILED]}

    @property
    def drawn(self) -> dict[str, Run]:
        """Runs with figures of their own."""
        return dict(list(self.detailed.items())[:DRAWN])


def build(groups: list[RunGroup], skipped: Sequence[str] = ()) -> Document:
    """The report on ``groups``; ``skipped`` names the runs that could not be read."""
    material = Material(groups, list(skipped), _breakdowns(groups[:DETAILED]))
    runs = material.runs
    days = sorted({run.summary.identity.started_utc[:10] for run in runs} - {""})
    span = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""
    subtitle = f"{_count(len(runs), 'run')} in {_count(len(groups), 'group')} of repeats"
    return Document(
        title=_title(groups),
        subtitle=" · ".join(part for part in (subtitle, span) if part),
        sections=tuple(write(material) for write in SECTIONS),
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


def _summary(material: Material) -> ReportSection:
    kinds = Counter(run.summary.identity.kind for run in material.runs)
    invalid = [run for run in material.runs if run.verdict != "VALID"]
    text = [
        "Measured on: "
        + ", ".join(f"{kind} ({_count(n, 'run')})" for kind, n in kinds.items())
        + ".",
        f"{_count(len(material.runs) - len(invalid), 'run')} VALID, {len(invalid)} INVALID"
        + ("; what to change is under Checks." if invalid else "."),
        *_extremes(material.groups),
        *(f"Skipped: {problem}." for problem in material.skipped),
        *(f"{problem}." for run in material.runs for problem in run.reader.problems),
    ]
    shown = [tables.groups(material.groups), tables.runs(material.groups)]
    shown.append(run_tables.bounds(material.groups[:DETAILED]))
    return ReportSection("summary", "Summary", tuple(text), _full(*shown))


def _extremes(groups: Sequence[RunGroup]) -> list[str]:
    lines = []
    for key, word in (("throughput", "Highest rate"), ("accuracy", "Highest accuracy"),
                      ("p99", "Lowest p99 latency")):  # fmt: skip
        metric = METRICS[key]
        known = [g for g in groups if g.valid and g.estimate(metric).known]
        if len(known) > 1:
            sign = 1 if metric.higher_is_better else -1
            best = max(known, key=lambda g: sign * g.estimate(metric).value)
            told = format_one(metric.kind, best.estimate(metric))
            lines.append(f"{word} of VALID runs: {best.name}, {told}.")
    return lines


def _comparison(material: Material) -> ReportSection:
    groups = material.groups
    base = _baseline(groups)
    rows = [d for other in groups if other is not base for d in _against(base, other)]
    text = [
        f"Every group against {base.name}."
        if len(groups) > 1
        else "Only one group: nothing to compare."
    ]
    text.append(
        "Bars and brackets are 95 % intervals: over repeats where a group has several runs, else "
        "within its run. Significance is at 5 % after Holm's correction over the metrics of a pair."
    )
    draw = Figure("dots", "Rate, accuracy and latency", partial(group_figures.dots, groups))
    return ReportSection(
        "comparison", "Schemes and topologies", tuple(text),
        _full(run_tables.differences(rows), tables.headline(groups)), (draw,),
    )  # fmt: skip


def _baseline(groups: Sequence[RunGroup]) -> RunGroup:
    """One rank alone where there is such a group, else the scheme ``local``, else the first."""
    local = [group for group in groups if group.first.identity.scheme == "local"]
    alone = [group for group in local if group.first.identity.ranks == 1]
    return [*alone, *local, groups[0]][0]


def _against(base: RunGroup, other: RunGroup) -> list[tuple[str, Difference | str]]:
    try:
        found = compare(base, other, [METRICS[key] for key in COMPARED])
    except IncomparableRuns as reason:
        return [(other.name, str(reason))]
    return [(other.name, difference) for difference in found.differences]


def _tradeoff(material: Material) -> ReportSection:
    text = (
        "Filled points are on the Pareto front of their scheme: no other group of it is both "
        "faster and more accurate. Values of the paper: not available.",
    )
    figure = Figure(
        "tradeoff", "Rate against accuracy", partial(group_figures.tradeoff, material.groups)
    )
    return ReportSection("tradeoff", "Rate against accuracy", text, (), (figure,))


def _latency(material: Material) -> ReportSection:
    text = ("From the scheduled arrival of an item to its result, on the source's clock.",)
    figure = Figure(
        "latency", "Distribution of latency", partial(group_figures.latency, material.groups)
    )
    shown = _full(run_tables.latencies(material.groups))
    return ReportSection("latency", "Latency", text, shown, (figure,))


def _exits(material: Material) -> ReportSection:
    shown = material.groups[:DETAILED]
    draws = (
        Figure("exits", "Exits by depth", partial(group_figures.exits, shown)),
        Figure("calibration", "Confidence and accuracy", partial(group_figures.calibration, shown)),
    )
    text = (
        "Of one run of each group, as all detail below: its first VALID one, and its first where "
        'none is (under Runs its use is "detail"). ECE is the expected calibration error, over ten '
        "bins.",
    )
    by_exit = run_tables.by_run(material.detailed, tables.exits)
    targets = run_tables.targets(material.detailed)
    return ReportSection("exits", "Exits by depth", text, _full(by_exit, targets), draws)


def _queues(material: Material) -> ReportSection:
    draws = [
        Figure(f"queues-{at}", f"Queues of {name}", partial(run_figures.queues, run))
        for at, (name, run) in enumerate(material.drawn.items(), 1)
    ]
    text = [_left_out(material, len(draws))]
    shown = _full(run_tables.controllers(material.detailed))
    return ReportSection(
        "queues", "Queues over time", tuple(filter(None, text)), shown, tuple(draws)
    )


def _workers(material: Material) -> ReportSection:
    draw = Figure(
        "split", "How workers spent their time", partial(run_figures.split, material.drawn)
    )
    shares = run_tables.by_run(material.detailed, tables.ranks)
    energy = run_tables.energy(material.detailed)
    text = (
        "Compute; encode (codec); send (nothing to compute, a transfer under way); wait (nothing "
        "to compute, tasks in the output queue held back); idle (nothing to do).",
        "Energy: n/a, since no meter (RAPL, a Jetson's INA3221) was read."
        if not energy.rows
        else "Energy only where a meter was read; it is n/a elsewhere.",
    )
    draws = (draw,) if shares.rows else ()
    return ReportSection("workers", "Workers", text, _full(shares, energy), draws)


def _network(material: Material) -> ReportSection:
    draws = [
        Figure(
            f"offloads-{at}",
            f"Offloads of {name}",
            partial(run_figures.offloads, steps.decisions),
        )
        for at, (name, steps) in enumerate(material.breakdowns.items(), 1)
        if at <= DRAWN and steps.decisions.matrix.any()
    ]
    shown = [run_tables.by_run(material.detailed, tables.links)]
    shown.append(run_tables.decisions(material.breakdowns))
    shown.append(run_tables.overhead(material.detailed))
    text = ("Offloads count traced tasks: from the row's rank to the column's.",) if draws else ()
    return ReportSection("network", "Links and offloading", text, _full(*shown), tuple(draws))


def _why(material: Material) -> ReportSection:
    return explanation.section(material.groups, material.detailed, material.breakdowns)


def _checks(material: Material) -> ReportSection:
    text = (
        "Self-checks of every run: its records are whole, items are conserved, Little's law holds "
        "between ledger and telemetry, items in flight do not grow, warm-up was long enough.",
    )
    return ReportSection("checks", "Checks", text, _full(tables.findings(material.runs)))


def _environment(material: Material) -> ReportSection:
    detailed = material.detailed
    shown = _full(run_tables.environment(detailed), run_tables.settings(detailed))
    return ReportSection("environment", "Environment", (), shown)


def _limits(material: Material) -> ReportSection:
    identities = [run.summary.identity for run in material.runs]
    kinds = {identity.kind for identity in identities}
    text = []
    if any(len(group.runs) == 1 for group in material.groups):
        text.append("Groups of one run: their intervals say nothing about how much runs differ.")
    if "simulated" in kinds:
        text.append("Simulated runs compare policies; they do not tell how fast a device is.")
    if "emulated" in kinds:
        text.append(
            "Emulated devices and links stand in for real ones as far as their profile goes."
        )
    if len(kinds) > 1:
        text.append("Runs of different kinds stand side by side here; do not compare their times.")
    text.append(
        "An INVALID run's figures enter no mean of a group that is VALID for the most part; where "
        "they are shown, they support no claim."
    )
    text.append(
        "Accuracy holds for this data set and its corruption; values of the paper: not available."
    )
    return ReportSection("limits", "What these numbers do not support", tuple(text))


def _left_out(material: Material, shown: int) -> str:
    left = len(material.groups) - shown
    return (
        f"The first {shown} groups; see the other {left} by mdibench report RUN."
        if left > 0
        else ""
    )


def _full(*shown: Table) -> tuple[Table, ...]:
    return tuple(table for table in shown if table.rows)


SECTIONS: tuple[Callable[[Material], ReportSection], ...] = (
    _summary, _comparison, _tradeoff, _latency, _exits, _queues, _workers, _network, _why, _checks,
    _environment, _limits,
)  # fmt: skip
