"""Runs and groups of repeats with their figures and findings: the input of every report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from mdibench.analysis.accuracy import Samples, pooled
from mdibench.analysis.checks import Finding, check, verdict
from mdibench.analysis.formatting import CellKind
from mdibench.analysis.metrics import Identity, Measured, RunSummary, read_items, summarise
from mdibench.analysis.shares import Estimate
from mdibench.analysis.statistics import low_by, mean_of_independent, mean_of_skewed
from mdibench.record.reader import RunReader

MOST_IN_TIME_ORDER = 4
"""More groups than this are sorted by name, not by time."""
MOST_PIECES = 3
"""Bounds between scripted events that are told, besides the last."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run with its figures and findings. ``reader`` gives access to its tables."""

    reader: RunReader
    summary: RunSummary
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """VALID or INVALID."""
        return verdict(self.findings)


@dataclass(frozen=True, slots=True)
class Metric:
    """A headline figure: name on the command line, title, unit and the better direction."""

    key: str
    title: str
    kind: CellKind
    higher_is_better: bool
    get: Callable[[Measured], Estimate]


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("throughput", "rate", "per_s", True, lambda m: m.rate_per_s),
        Metric("goodput", "goodput", "per_s", True, lambda m: m.goodput_per_s),
        Metric("accuracy", "accuracy", "share", True, lambda m: m.accuracy),
        Metric("accuracy-offered", "accuracy of offered", "share", True,
               lambda m: m.accuracy_offered),
        Metric("latency-mean", "latency mean", "seconds", False, lambda m: m.latency_mean_s),
        Metric("p50", "latency p50", "seconds", False, lambda m: m.latency_p50_s),
        Metric("p95", "latency p95", "seconds", False, lambda m: m.latency_p95_s),
        Metric("p99", "latency p99", "seconds", False, lambda m: m.latency_p99_s),
        Metric("max", "latency max", "seconds", False, lambda m: m.latency_max_s),
        Metric("mean-exit", "mean exit", "number", False, lambda m: m.mean_exit),
        Metric("flops", "FLOPs per item", "number", False, lambda m: m.flops_per_item),
        Metric("bytes", "bytes per item", "bytes", False, lambda m: m.bytes_per_item),
        Metric("hops", "hops per item", "number", False, lambda m: m.hops_per_item),
        Metric("energy", "energy per item", "joules", False, lambda m: m.energy_per_item_j),
        Metric("calibration", "calibration error", "share", False, lambda m: m.calibration_error),
        Metric("drops", "dropped share", "share", False, lambda m: m.drop_share),
        Metric("losses", "lost share", "share", False, lambda m: m.lost_share),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Repeats: runs that differ in their seed at most. ``name`` is unique within a report.

    Where at least half of the runs are VALID, only these count in the figures. Where most are
    INVALID, all runs count.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def valid(self) -> tuple[Run, ...]:
        """Its VALID runs."""
        return tuple(run for run in self.runs if run.verdict == "VALID")

    @property
    def counted(self) -> tuple[Run, ...]:
        """The runs in its figures: the VALID ones, or all where most are INVALID."""
        return self.valid if 2 * len(self.valid) >= len(self.runs) else self.runs

    @property
    def detailed(self) -> Run:
        """The run that is shown in detail: the first VALID one, or the first where none is."""
        return (self.valid or self.runs)[0]

    @property
    def first(self) -> RunSummary:
        """The summary of the detailed run; its config is that of all runs but for the seed."""
        return self.detailed.summary

    @property
    def verdict(self) -> str:
        """VALID when every run is."""
        valid = len(self.valid)
        if valid == len(self.runs):
            return "VALID"
        return "INVALID" if len(self.runs) == 1 else f"{valid}/{len(self.runs)} VALID"

    def estimate(self, metric: Metric) -> Estimate:
        """Over the runs that count: see ``over_runs``."""
        return over_runs(self.counted, metric)


SAMPLED: dict[str, Callable[[Measured], Samples]] = {
    "accuracy": lambda m: m.judged,
    "accuracy-offered": lambda m: m.judged_offered,
}
"""Metrics that are a mean over distinct samples."""


PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def over_runs(runs: Sequence[Run], metric: Metric) -> Estimate:
    """A single run's own interval; the mean of several with the interval of their spread.

    An accuracy is over the distinct samples of all. A mean with an infinite value has no interval.
    """
    measured = [run.summary.measured for run in runs]
    each = [metric.get(m) for m in measured]
    if len(each) == 1:
        return each[0]
    if metric.key in SAMPLED:
        return pooled([SAMPLED[metric.key](m) for m in measured])
    if any(math.isinf(estimate.value) for estimate in each):
        return Estimate(math.inf, -math.inf, math.inf, len(each))
    if metric.kind == "seconds":
        return mean_of_skewed(each, low_by(PERCENTILES.get(metric.key, 0.0)))
    most = 1.0 if metric.kind == "share" else math.inf
    return mean_of_independent([estimate.value for estimate in each]).within(0.0, most)


A = TypeVar("A")
B = TypeVar("B")


class Each(Protocol):
    """The builtin ``map``, or one that does the same in several processes."""

    def __call__(self, call: Callable[[A], B], of: Iterable[A], /) -> Iterator[B]:
        """The results in the order of ``of``."""


def evaluate_run(reader: RunReader) -> Run:
    """Read a run, compute its figures and check them."""
    reader.verify()
    items = read_items(reader)
    summary = summarise(reader, items)
    return Run(reader, summary, check(reader, summary, items))


def without_copies(runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """The runs that are not copies of earlier ones, and a line for each of the others.

    A folder that was copied, and a simulation that was run again with its seed, measure nothing
    anew: as repeats they would narrow every interval.
    """
    first: dict[object, Run] = {}
    copies: list[str] = []
    for run in runs:
        identity, measured = run.summary.identity, run.summary.measured
        figures = (measured.latency_curve_s, measured.rate_per_s.value)
        key = (identity.group, identity.seed, figures) if measured.latency_curve_s else id(run)
        known = first.setdefault(key, run)
        if known is not run:
            copies.append(
                f"{identity.folder}: has the seed and the figures of {known.summary.identity.id}: "
                "a copy, or the same simulation again, which counts once"
            )
    return list(first.values()), copies


def target_result(run: Run) -> str:
    """The accuracy's interval against its target: missed, within the interval, or exceeded."""
    got, target = run.summary.measured.accuracy, target_accuracy(run)
    if got.high < target:
        return "missed"
    return "exceeded" if got.low > target else "within the interval"


def target_accuracy(run: Run) -> float:
    """The accuracy that the run's thresholds were calibrated for; NaN where they were given."""
    return float((run.reader.manifest.get("calibration") or {}).get("target") or math.nan)


@dataclass(frozen=True, slots=True)
class RunBound:
    """A run's capacity bound in items per second, NaN where it has none, and what limits it.

    ``pieces`` tells the bounds between scripted events; it is empty without any.
    """

    rate_per_s: float
    binding: str
    pieces: str = ""


def bound_of(run: Run) -> RunBound:
    """A run's bound: its manifest's, or from the linear program over what it measured."""
    if not math.isnan(run.summary.bound_per_s):
        return RunBound(run.summary.bound_per_s, run.summary.bound_binding)
    if run.reader not in _BOUNDS:
        _BOUNDS[run.reader] = _solved_bound(run.reader)
    return _BOUNDS[run.reader]


def solve_bounds(runs: Iterable[Run], each: Each = map) -> None:
    """Solve the bounds of all runs now, e.g. in several processes, for ``bound_of`` to know."""
    readers = [run.reader for run in runs if math.isnan(run.summary.bound_per_s)]
    _BOUNDS.update(zip(readers, each(_solved_bound, readers), strict=True))


_BOUNDS: WeakKeyDictionary[RunReader, RunBound] = WeakKeyDictionary()
"""Solved once for each run."""


def _solved_bound(reader: RunReader) -> RunBound:
    from mdibench.bounds.inputs import bound_of_run

    try:
        found = bound_of_run(reader)
    except ArithmeticError:  # a plan that carries nothing, e.g. without a route back to the source
        return RunBound(math.nan, "")
    ends = [(piece["end_s"], piece["rate_per_s"]) for piece in found["pieces"]]
    rate, binding = float(found["rate_per_s"] or math.nan), str(found["binding"])
    return RunBound(rate, binding, pieces_text(ends) if len(ends) > 1 else "")


def pieces_text(pieces: Sequence[tuple[float, float]]) -> str:
    """For instance "2 pieces: 41.2 /s until 8.0 s, 28.9 /s after", of (end, bound) by time."""
    *before, (_, last) = pieces
    parts = [f"{rate:,.1f} /s until {end_s:.1f} s" for end_s, rate in before[:MOST_PIECES]]
    more = [f"{len(before) - MOST_PIECES} more"] if len(before) > MOST_PIECES else []
    return f"{len(pieces)} pieces: {', '.join([*parts, *more, f'{last:,.1f} /s after'])}"


def above_bound(run: Run) -> Finding | None:
    """A warning where a run's rate is above its bound by more than its interval."""
    bound = bound_of(run).rate_per_s
    rate = run.summary.measured.rate_per_s
    if math.isnan(bound) or not rate.low > bound:
        return None
    text = f"the rate is at least {rate.low:,.2f} /s, and the bound {bound:,.2f} /s: one is wrong"
    remedy = "measure for longer: queues may still fill; if it stays so, report this with the run"
    return Finding("bound", "warning", text, remedy)


def group_repeats(runs: Iterable[Run]) -> list[RunGroup]:
    """Groups of runs whose configs are equal but for the seed: by time, or many of them by name."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(run.summary.identity.group, []).append(run)
    names = _names([runs[0].summary for runs in members.values()])
    groups = [
        RunGroup(name, tuple(runs)) for name, runs in zip(names, members.values(), strict=True)
    ]
    return (
        groups
        if len(groups) <= MOST_IN_TIME_ORDER
        else sorted(groups, key=lambda group: group.name)
    )


def _names(firsts: Sequence[RunSummary]) -> list[str]:
    """For each group the shortest unique description; for the rest, the settings that differ."""
    candidates = _descriptions([summary.identity for summary in firsts])
    found: dict[int, str] = {}
    for names in candidates:
        for at, name in enumerate(names):
            if names.count(name) == 1 and name not in found.values():
                found.setdefault(at, name)
    rest = [at for at in range(len(firsts)) if at not in found]
    names = max(candidates[1:], key=lambda names: len({names[at] for at in rest}))
    for name in dict.fromkeys(names[at] for at in rest):
        alike = [at for at in rest if names[at] == name]
        settings = _distinguishing_settings([firsts[at].identity for at in alike])
        found |= {at: f"{name} ({setting})" for at, setting in zip(alike, settings, strict=True)}
    return [found[at] for at in range(len(firsts))]


def _descriptions(identities: Sequence[Identity]) -> list[list[str]]:
    """Names for all groups, from short to long: labels, then schemes, after labels that differ."""
    labels = [identity.label or identity.name for identity in identities]
    behind = [f"{label} " if len(set(labels)) > 1 else "" for label in labels]
    longer = [
        [start + describe(i) for start, i in zip(behind, identities, strict=True)]
        for describe in DESCRIPTIONS
    ]
    return [
        [_marked(name, identity) for name, identity in zip(names, identities, strict=True)]
        for names in (labels, *longer)
    ]


def _distinguishing_settings(identities: Sequence[Identity]) -> list[str]:
    """The setting that distinguishes all of them, else all that differ, else their ids."""
    configs = [flat(json.loads(identity.group)[0]) for identity in identities]
    keys = sorted({key for config in configs for key in config})
    differing = [key for key in keys if len({config.get(key) for config in configs}) > 1]
    for chosen in (*([key] for key in differing), differing):
        texts = [", ".join(f"{key} {config.get(key, '-')}" for key in chosen) for config in configs]
        if len(set(texts)) == len(texts):
            return texts
    return [identity.id for identity in identities]


def flat(value: Any, key: str = "") -> dict[str, str]:
    """A config as one text per dotted key."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for name, below in value.items():
            found |= flat(below, f"{key}.{name}" if key else str(name))
        return found
    return {key: value if isinstance(value, str) else json.dumps(value)}


def _marked(name: str, identity: Identity) -> str:
    return f"{name} ({identity.status})" if identity.partial else name


DESCRIPTIONS: tuple[Callable[[Identity], str], ...] = (
    lambda i: i.scheme,
    lambda i: f"{i.scheme} x{i.ranks}",
    lambda i: f"{i.scheme} {i.topology} x{i.ranks}",
    lambda i: f"{i.scheme} {i.topology} x{i.ranks} {i.kind}",
)
