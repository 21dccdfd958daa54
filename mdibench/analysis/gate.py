"""``--fail-if``: a criterion that fires only when the whole interval lies beyond its limit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mdibench.analysis.comparison import Comparison
from mdibench.analysis.study import METRICS, Metric
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
            raise IncomparableRuns(f"{self.text}: no interval ({found.method})")
        return estimate.high < self.limit if self.below else estimate.low > self.limit


def parse(text: str) -> Criterion:
    """``throughput < 0.95`` (a ratio), ``p99 > +5%`` (a change) or ``accuracy < -1pp``."""
    match = FORM.fullmatch(text)
    if match is None:
        remedy = 'write e.g. "throughput < 0.95", "p99 > +5%" or "accuracy < -1pp"'
        raise UserError(Problem(f"cannot read the criterion {text!r}", "--fail-if", remedy))
    share = float(match["change"] or 0) / 100
    limit = {None: float(match["ratio"] or 0), "%": 1 + share, "pp": share}[match["unit"]]
    metric = metric_of(match["metric"], "--fail-if")
    return Criterion(text, metric, match["sign"] == "<", limit, match["unit"] == "pp")


def metric_of(name: str, where: str, known: Mapping[str, Metric] = METRICS) -> Metric:
    """The metric called ``name``; ``UserError`` that lists them all."""
    if name not in known:
        problem = Problem(f"unknown metric {name!r}", where, f"one of {', '.join(known)}")
        raise UserError(problem)
    return known[name]
