"""Which cells of a sweep need more repeats: those of which it is not known whether they differ.

``[sweep] until`` names a figure and a share. Of every cell it must be known whether it differs from
the best cell that it can be compared with, or lies within that share of it. A sweep looks again
after each round of repeats, and each look is a test: the level of all looks together is 5 % (the
inequality of Bonferroni). Called by ``sweep``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mdibench.analysis.comparable_sets import comparable_sets
from mdibench.analysis.comparison import ALPHA, Difference, compare
from mdibench.analysis.run_groups import METRICS, Metric, Run, RunGroup, evaluate_run
from mdibench.config.schema import SweepSection
from mdibench.errors import IncomparableRuns
from mdibench.record.reader import RunReader

FIGURES = {"rate": "throughput", "latency": "latency-mean", "latency p95": "p95",
           "accuracy": "accuracy"}  # fmt: skip
"""Metrics by what ``until`` calls them."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a sweep wants to know. ``looks`` is how often it may look."""

    metric: Metric
    share: float
    looks: int

    @classmethod
    def of(cls, section: SweepSection) -> Goal | None:
        """The goal of ``[sweep]``; None where its repeats are fixed."""
        if section.precision is None:
            return None
        figure, share = section.precision
        looks = max(1, section.max_repeats - section.repeats + 1)
        return cls(METRICS[FIGURES[figure]], share, looks)

    def settled(self, found: Difference, tests: int) -> bool:
        """Whether B differs from A, or is known to lie within the share of it."""
        ratio = found.ratio
        p_value = ratio.p_value if not math.isnan(ratio.p_value) else found.shift.p_value
        if p_value < ALPHA / (self.looks * tests):
            return True
        low, high = ratio.estimate.low, ratio.estimate.high
        return 1 - self.share <= low and high <= 1 + self.share


@dataclass(slots=True)
class Settling:
    """The runs of a sweep so far, each read once."""

    goal: Goal
    _known: dict[Path, Run] = field(default_factory=dict)

    def open(self, runs: dict[str, list[Path]]) -> list[str]:
        """The labels of the cells that need another repeat; ``runs`` are complete ones by label."""
        groups = [
            RunGroup(label, tuple(self._run(folder) for folder in folders))
            for label, folders in runs.items()
            if folders
        ]
        sets = comparable_sets(groups) if groups else []
        return [group.name for of in sets for group in unsettled(of.groups, self.goal)]

    def _run(self, folder: Path) -> Run:
        if folder not in self._known:
            self._known[folder] = evaluate_run(RunReader(folder))
        return self._known[folder]


def unsettled(groups: Sequence[RunGroup], goal: Goal) -> list[RunGroup]:
    """The best of ``groups`` and those that are not settled against it; none if all are.

    A group whose figure is unknown or of INVALID runs is left alone: repeats would not help it.
    """
    fit = [
        group
        for group in groups
        if math.isfinite(group.estimate(goal.metric).value)
        and all(run.verdict == "VALID" for run in group.counted)
    ]
    if len(fit) < 2:
        return []
    sign = 1 if goal.metric.higher_is_better else -1
    best = max(fit, key=lambda group: sign * group.estimate(goal.metric).value)
    rest = [group for group in fit if group is not best]
    open_ = [group for group in rest if not _settled(best, group, goal, len(rest))]
    return [best, *open_] if open_ else []


def _settled(best: RunGroup, group: RunGroup, goal: Goal, tests: int) -> bool:
    try:
        (found,) = compare(best, group, [goal.metric]).differences
    except IncomparableRuns:
        return True
    return goal.settled(found, tests)
