"""B against A: paired where possible, with intervals and significance.

Accuracies are paired sample by sample where both sides judged nearly the same pictures. Of the
rest, several repeats on both sides: Student's interval over pairs that share their seed and label,
else Welch's. One run on each side: mean latency is paired item by item where both runs sent the
same inputs and finished nearly the same items; everything else combines the intervals within the
two runs, which say nothing about how much runs differ among themselves. Ratios are compared by
their logarithms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdibench.analysis import accuracy, series, statistics
from mdibench.analysis.metrics import due_in, read_items
from mdibench.analysis.run_groups import METRICS, SAMPLED, Metric, Run, RunGroup
from mdibench.analysis.shares import MOST_SAMPLES, UNKNOWN, Estimate, Numbers
from mdibench.analysis.statistics import Effect, holm
from mdibench.errors import IncomparableRuns, Problem, UserError

ALPHA = 0.05
COVERED = 0.9
"""Share of either run's items that pairs must cover: else what is missing may be the difference."""

EffectOf = Callable[[Numbers, Numbers], Effect]


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of B against A. ``ratio`` is B / A, ``shift`` is B - A.

    ``a`` and ``b`` are over what was compared: of pairs of items or samples, those alone.
    """

    metric: Metric
    a: Estimate
    b: Estimate
    ratio: Effect
    shift: Effect
    method: str
    p_adjusted: float = math.nan

    @property
    def word(self) -> str:
        """Better, worse, no significant difference, or too little data to tell."""
        if math.isnan(self.p_adjusted):
            return "cannot tell"
        if self.p_adjusted >= ALPHA:
            return "no significant difference"
        return (
            "better" if (self.shift.estimate.value > 0) == self.metric.higher_is_better else "worse"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything about B against A, of which ``a`` and ``b`` have the runs that were compared.

    ``differing`` names the config keys that differ.
    """

    a: RunGroup
    b: RunGroup
    pairs: int
    differences: tuple[Difference, ...]
    differing: tuple[tuple[str, str, str], ...]
    cautions: tuple[str, ...]


def compare(a: RunGroup, b: RunGroup, metrics: Sequence[Metric]) -> Comparison:
    """B against A by ``metrics``. Raises ``IncomparableRuns`` where that would not be honest."""
    refuse_incomparable(a, b)
    left, right = _that_count(a, b)
    pairs = pair(left.runs, right.runs)
    found = [difference(left, right, pairs, metric) for metric in metrics]
    adjusted = holm([d.ratio.p_value if _positive(d) else d.shift.p_value for d in found])
    found = [replace(d, p_adjusted=p) for d, p in zip(found, adjusted, strict=True)]
    cautions = _cautions((a, left), (b, right))
    return Comparison(left, right, len(pairs), tuple(found), _differing(a, b), cautions)


def refuse_incomparable(a: RunGroup, b: RunGroup) -> None:
    """Raise ``IncomparableRuns`` with every reason why B cannot be put beside A."""
    reasons = [
        f"{run.summary.identity.id} is {run.summary.identity.status}, not complete"
        for run in (*a.runs, *b.runs)
        if run.summary.identity.partial
    ]
    reasons += [
        f"{run.summary.identity.id} measured no item"
        for run in (*a.runs, *b.runs)
        if not run.summary.measured.rate_per_s.n
    ]
    first, second = a.first.identity, b.first.identity
    for name in ("kind", "dataset"):
        if getattr(first, name) != getattr(second, name):
            reasons.append(
                f"A has {name} {getattr(first, name)!r}, B has {getattr(second, name)!r}"
            )
    if reasons:
        raise IncomparableRuns("these runs cannot be compared: " + "; ".join(reasons))


def pair(a: Sequence[Run], b: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs that share their seed, where all of them do and no seed repeats; else none."""
    first = {run.summary.identity.seed: run for run in a}
    second = {run.summary.identity.seed: run for run in b}
    if len(first) != len(a) or len(second) != len(b) or set(first) != set(second):
        return []
    return [(first[seed], second[seed]) for seed in sorted(first)]


def _that_count(a: RunGroup, b: RunGroup) -> tuple[RunGroup, RunGroup]:
    """Both with the runs to compare: INVALID ones, and the partners of those, left out."""
    kept = [(x, y) for x, y in pair(a.runs, b.runs) if x in a.counted and y in b.counted]
    if not kept:
        return replace(a, runs=a.counted), replace(b, runs=b.counted)
    left, right = zip(*kept, strict=True)
    return replace(a, runs=left), replace(b, runs=right)


def difference(
    a: RunGroup, b: RunGroup, pairs: Sequence[tuple[Run, Run]], metric: Metric
) -> Difference:
    """One metric of B against A, by the best method that the runs allow."""
    if metric.key in SAMPLED:
        pictures = _same_pictures(a.runs, b.runs, metric)
        if pictures.covered >= COVERED and pictures.a.right.size > 1:
            return _over_pictures(pictures, metric)
    if len(a.runs) == len(b.runs) == 1:
        return _of_two_runs(a.runs[0], b.runs[0], metric)
    if len(pairs) >= 2:
        ratio, shift = _over_pairs(pairs, metric)
        method = f"{len(pairs)} pairs of runs"
    elif len(a.runs) >= 2 and len(b.runs) >= 2:
        ratio, shift = _over_sets(a.runs, b.runs, metric)
        method = f"{len(a.runs)} and {len(b.runs)} runs, unpaired"
    else:
        ratio = shift = Effect(UNKNOWN, math.nan, False)
        method = "one run against several: give at least two on both sides"
    return Difference(metric, a.estimate(metric), b.estimate(metric), ratio, shift, method)


def _same_pictures(a: Sequence[Run], b: Sequence[Run], metric: Metric) -> accuracy.SamplePairs:
    left, right = ([SAMPLED[metric.key](r.summary.measured) for r in runs] for runs in (a, b))
    return accuracy.paired(left, right)


def _over_pictures(pairs: accuracy.SamplePairs, metric: Metric) -> Difference:
    left, right = (accuracy.pooled([side]) for side in (pairs.a, pairs.b))
    method = f"{left.n:,} pairs of samples"
    return Difference(metric, left, right, pairs.ratio, pairs.shift, method)


def _over_pairs(pairs: Sequence[tuple[Run, Run]], metric: Metric) -> tuple[Effect, Effect]:
    x = _values([run for run, _ in pairs], metric)
    y = _values([run for _, run in pairs], metric)
    return _effects(x, y, statistics.paired_effect)


def _over_sets(a: Sequence[Run], b: Sequence[Run], metric: Metric) -> tuple[Effect, Effect]:
    x, y = _values(a, metric), _values(b, metric)
    return _effects(x, y, statistics.unpaired_effect)


def _effects(x: Numbers, y: Numbers, effect: EffectOf) -> tuple[Effect, Effect]:
    """Ratio and shift; unknown where a latency is infinite."""
    if np.isinf(x).any() or np.isinf(y).any():
        return (Effect(UNKNOWN, math.nan, False),) * 2
    return _ratio(x, y, effect), effect(x, y)


def _values(runs: Sequence[Run], metric: Metric) -> Numbers:
    return np.array([metric.get(run.summary.measured).value for run in runs])


def _ratio(x: Numbers, y: Numbers, effect: EffectOf) -> Effect:
    if not ((x > 0).all() and (y > 0).all()):
        return Effect(UNKNOWN, math.nan, False)
    return _exponential(effect(np.log(x), np.log(y)))


def _exponential(effect: Effect) -> Effect:
    log = effect.estimate
    ratio = Estimate(math.exp(log.value), math.exp(log.low), math.exp(log.high), log.n)
    return replace(effect, estimate=ratio)


def _of_two_runs(a: Run, b: Run, metric: Metric) -> Difference:
    x, y = _same_items(a, b, metric)
    if x.size:
        return _over_items(x, y, metric)
    left, right = metric.get(a.summary.measured), metric.get(b.summary.measured)
    shift = statistics.combined_effect(left, right)
    return Difference(metric, left, right, _ratio_of(left, right), shift, "one run each, unpaired")


def _over_items(x: Numbers, y: Numbers, metric: Metric) -> Difference:
    ratio, shift = series.paired_series_ratio(x, y), series.paired_series_effect(x, y)
    left, right = (series.mean_of_series(side, skewed=True) for side in (x, y))
    return Difference(metric, left, right, ratio, shift, f"{x.size:,} pairs of items")


def _plain(estimate: Estimate) -> bool:
    return 0 < estimate.low <= estimate.value < math.inf


def _ratio_of(a: Estimate, b: Estimate) -> Effect:
    if not (_plain(a) and _plain(b)):
        return Effect(UNKNOWN, math.nan, False)
    logs = [Estimate(math.log(e.value), math.log(e.low), math.log(e.high), e.n) for e in (a, b)]
    return _exponential(statistics.combined_effect(*logs))


def _same_items(a: Run, b: Run, metric: Metric) -> tuple[Numbers, Numbers]:
    """Latencies in A and in B of the items that both finished; none where most are not the same."""
    nothing = np.empty(0), np.empty(0)
    if metric.key != "latency-mean" or a.summary.identity.seed != b.summary.identity.seed:
        return nothing
    (ids_a, x), (ids_b, y) = (_latencies(run) for run in (a, b))
    both, at_a, at_b = np.intersect1d(ids_a, ids_b, return_indices=True)
    if both.size < COVERED * max(x.size, y.size):
        return nothing
    return x[at_a], y[at_b]


def _latencies(run: Run) -> tuple[Numbers, Numbers]:
    """Ids (item and sample together) and latencies of the items due in the window."""
    items = read_items(run.reader)
    chosen = due_in(items, run.summary.window) & items.ok
    ids = items["item"] * MOST_SAMPLES + items["sample"]
    return ids[chosen], items["latency_s"][chosen]


def _positive(found: Difference) -> bool:
    return not math.isnan(found.ratio.p_value)


def _cautions(*sides: tuple[RunGroup, RunGroup]) -> tuple[str, ...]:
    """What to know of both sides, each whole and with the runs that were compared."""
    lines = [
        f"{run.summary.identity.id} is INVALID{'' if run in used.runs else ', left out'}: "
        f"{finding.text}"
        for whole, used in sides
        for run in whole.runs
        for finding in run.findings
        if finding.level == "invalid"
    ]
    partners = sum(run not in used.runs for whole, used in sides for run in whole.counted)
    if partners:
        lines.append(f"{partners} more left out: with their seed the other side's run is INVALID")
    if all(len(used.runs) == 1 for _, used in sides):
        lines.append("one run each: how much runs differ among themselves is unknown")
    return tuple(lines)


def _differing(a: RunGroup, b: RunGroup) -> tuple[tuple[str, str, str], ...]:
    first, second = _flat(a.runs[0].reader.manifest), _flat(b.runs[0].reader.manifest)
    return tuple(
        (key, first.get(key, "-"), second.get(key, "-"))
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    )


def _flat(manifest: dict[str, object]) -> dict[str, str]:
    """Config keys and the facts of the plan that a config may leave open, as text."""
    plan = manifest.get("plan")
    facts: dict[str, object] = {"config": manifest.get("config")}
    if isinstance(plan, dict):
        facts["plan"] = {key: plan.get(key) for key in ("ranks", "topology", "placement")}
    flat: dict[str, str] = {}
    _flatten(facts, "", flat)
    for noise in ("run.seed", "run.results", "run.name"):
        flat.pop(noise, None)
    return flat


def _flatten(value: object, key: str, flat: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, below in value.items():
            _flatten(below, f"{key}.{name}" if key and key != "config" else str(name), flat)
    else:
        flat[key.removeprefix("config.")] = str(value)


# --- gate --------------------------------------------------------------------------------------
# Criteria of ``compare --fail-if``: one fires only when the whole interval is beyond its limit.

CRITERION_PATTERN = re.compile(
    r"\s*(?P<metric>[a-z0-9-]+)\s*(?P<sign>[<>])\s*"
    r"((?P<ratio>\d+(\.\d+)?)|(?P<change>[+-]\d+(\.\d+)?)\s*(?P<unit>%|pp))\s*"
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """Fires when the interval of B / A (with ``points``, of B - A) is below or above ``limit``."""

    text: str
    metric: Metric
    below: bool
    limit: float
    points: bool

    def fires(self, comparison: Comparison) -> bool:
        """Whether the interval is beyond the limit. ``IncomparableRuns`` where there is none."""
        found = next(d for d in comparison.differences if d.metric.key == self.metric.key)
        estimate = (found.shift if self.points else found.ratio).estimate
        bound = estimate.high if self.below else estimate.low
        if not math.isfinite(bound):
            raise IncomparableRuns(f"{self.text}: {self._why_undecided(found)}")
        return bound < self.limit if self.below else bound > self.limit

    def _why_undecided(self, found: Difference) -> str:
        if self.points or (found.a.value != 0 and found.b.value != 0):
            return f"no interval ({found.method})"
        return "ratio undefined at 0" + (", use pp" if self.metric.kind == "share" else "")


def apply_criteria(
    criteria: Sequence[Criterion], comparison: Comparison
) -> tuple[list[str], list[str]]:
    """The criteria that fire, and those that cannot be decided: one line each."""
    fired, undecided = [], []
    for criterion in criteria:
        try:
            if criterion.fires(comparison):
                fired.append(f"criterion met: {criterion.text}")
        except IncomparableRuns as reason:
            undecided.append(str(reason))
    return fired, undecided


def parse_criterion(text: str) -> Criterion:
    """``throughput < 0.95`` (a ratio), ``p99 > +5%`` (a change) or ``accuracy < -1pp``."""
    match = CRITERION_PATTERN.fullmatch(text)
    if match is None:
        remedy = 'write e.g. "throughput < 0.95", "p99 > +5%" or "accuracy < -1pp"'
        raise UserError(Problem(f"cannot read the criterion {text!r}", "--fail-if", remedy))
    share = float(match["change"] or 0) / 100
    limit = {None: float(match["ratio"] or 0), "%": 1 + share, "pp": share}[match["unit"]]
    metric = metric_of(match["metric"], "--fail-if")
    if match["unit"] == "pp" and metric.kind != "share":
        remedy = f'write e.g. "{metric.key} {match["sign"]} {match["change"]}%"'
        raise UserError(Problem(f"{metric.key} is no share: it has no pp", "--fail-if", remedy))
    return Criterion(text, metric, match["sign"] == "<", limit, match["unit"] == "pp")


def metric_of(name: str, where: str, known: Mapping[str, Metric] = METRICS) -> Metric:
    """The metric called ``name``. ``UserError``, which lists all of them, for another name."""
    if name not in known:
        problem = Problem(f"unknown metric {name!r}", where, f"one of {', '.join(known)}")
        raise UserError(problem)
    return known[name]
