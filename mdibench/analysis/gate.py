"""``--fail-if``: a criterion that fires only when the whole interval lies beyond its limit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mdibench.analysis.comparison import Comparison, Difference
from mdibench.analysis.run_groups import METRICS, Metric
from mdibench.errors import IncomparableRuns, Problem, UserError

FORM = re.compile(
    r"\s*(?P<metric>[a-z0-9-]+)\s*(?P<sign>[<>])\s*"
    r"((?P<ratio>\d+(\.\d+)?)|(?P<change>[+-]\d+(\.\d+)?)\s*(?P<unit>%|pp))\s*"
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """Fires when B / A (or, in ``points``, B - A) is surely below or above ``limit``."""

    text: str
    metric: Metric
    below: bool
    limit: float
    points: bool

    def fires(self, comparison: Comparison) -> bool:
        """Whether the interval clears the limit. ``IncomparableRuns`` where there is none."""
        found = next(d for d in comparison.differences if d.metric.key == self.metric.key)
        estimate = (found.shift if self.points else found.ratio).estimate
        if math.isnan(estimate.low):
            raise IncomparableRuns(f"{self.text}: {self._why_not(found)}")
        return estimate.high < self.limit if self.below else estimate.low > self.limit

    def _why_not(self, found: Difference) -> str:
        if self.points or (found.a.value != 0 and found.b.value != 0):
            return f"no interval ({found.method})"
        return "ratio undefined at 0" + (", use pp" if self.metric.kind == "share" else "")


def judge(criteria: Sequence[Criterion], comparison: Comparison) -> tuple[list[str], list[str]]:
    """What ``criteria`` fire, and what could not be decided: one line each."""
    fired, undecided = [], []
    for criterion in criteria:
        try:
            if criterion.fires(comparison):
                fired.append(f"criterion met: {criterion.text}")
        except IncomparableRuns as reason:
            undecided.append(str(reason))
    return fired, undecided


def parse(text: str) -> Criterion:
    """``throughput < 0.95`` (a ratio), ``p99 > +5%`` (a change) or ``accuracy < -1pp``."""
    match = FORM.fullmatch(text)
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
    """The metric called ``name``; ``UserError`` that lists them all."""
    if name not in known:
        problem = Problem(f"unknown metric {name!r}", where, f"one of {', '.join(known)}")
        raise UserError(problem)
    return known[name]
