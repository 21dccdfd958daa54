"""Criteria of ``compare --fail-if``: one fires only when the whole interval is beyond its limit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mdibench.analysis.comparison import Comparison, Difference
from mdibench.analysis.run_groups import METRICS, Metric
from mdibench.errors import IncomparableRuns, Problem, UserError

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
