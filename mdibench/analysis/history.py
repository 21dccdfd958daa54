"""A metric over the dates of runs of one config, and where its level changed.

A change point is where the ranks of a series, summed up to it, are furthest from what they would be
without one (Pettitt 1979, scaled as by Csörgő and Horváth 1997, so that ends count like the
middle). Its p-value is that of permutations of the series, so that at most ``ALPHA`` of the
histories of a group without a change show one, whatever the distribution. What is left and right of
it is searched in the same way (binary segmentation). INVALID runs do not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis.comparison import ALPHA
from mdibench.analysis.run_groups import METRICS, Metric, Run, RunGroup
from mdibench.analysis.shares import Estimate, Numbers
from mdibench.analysis.statistics import mean_of_independent

TRACKED = ("throughput", "accuracy", "p50", "p99")
LEAST_RUNS = 8
"""Runs of a history that is searched for change points."""
SHORTEST = 3
"""Runs of a level, at least."""
PERMUTATIONS = 999
FACTS = ("mdibench", "python", "torch", "onnxruntime", "mpi", "host", "cpu", "cores", "kernel",
         "governor", "compiled")  # fmt: skip
"""Facts of rank 0 that may explain a change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A level that changed with run ``at``. ``differs`` are facts of the machine that did, too."""

    at: int
    run: str
    when: datetime
    before: Estimate
    after: Estimate
    p_value: float
    differs: tuple[tuple[str, str, str], ...]

    @property
    def ratio(self) -> float:
        """The level after it over the one before; NaN where that is 0."""
        return self.after.value / self.before.value if self.before.value else math.nan


@dataclass(frozen=True, slots=True)
class Track:
    """One metric of one group over time."""

    group: str
    metric: Metric
    runs: tuple[str, ...]
    when: tuple[datetime, ...]
    values: Numbers
    changes: tuple[Change, ...]

    @property
    def levels(self) -> list[tuple[int, int, Estimate]]:
        """First run, run behind the last one, and mean of every level."""
        cuts = [0, *(change.at for change in self.changes), len(self.values)]
        return [(a, b, mean_of_independent(self.values[a:b])) for a, b in pairwise(cuts)]


def histories(groups: Sequence[RunGroup]) -> list[Track]:
    """Every tracked metric of every group with two VALID runs or more, by date."""
    return [track for group in groups for track in _tracks(group)]


def _tracks(group: RunGroup) -> list[Track]:
    dated = [(when, run) for run in group.valid if (when := _started(run)) is not None]
    dated.sort(key=lambda pair: pair[0])
    if len(dated) < 2:
        return []
    return [_track(group.name, METRICS[key], dated) for key in TRACKED]


def _started(run: Run) -> datetime | None:
    try:
        return datetime.fromisoformat(run.summary.identity.started_utc)
    except ValueError:
        return None


def _track(name: str, metric: Metric, dated: Sequence[tuple[datetime, Run]]) -> Track:
    values = [metric.get(run.summary.measured).value for _, run in dated]
    known = [pair for pair, value in zip(dated, values, strict=True) if math.isfinite(value)]
    series = np.array([value for value in values if math.isfinite(value)])
    found = change_points(series, ALPHA / len(TRACKED))
    cuts = [0, *(at for at, _ in found), series.size]
    changes = tuple(
        _change(known, series, cuts[i : i + 3], p_value) for i, (_, p_value) in enumerate(found)
    )
    ids = tuple(run.summary.identity.id for _, run in known)
    return Track(name, metric, ids, tuple(when for when, _ in known), series, changes)


def _change(
    known: Sequence[tuple[datetime, Run]], series: Numbers, cuts: Sequence[int], p_value: float
) -> Change:
    start, at, end = cuts
    (_, last), (when, first) = known[at - 1], known[at]
    before, after = (mean_of_independent(series[a:b]) for a, b in ((start, at), (at, end)))
    return Change(
        at, first.summary.identity.id, when, before, after, p_value, _differing(last, first)
    )


def _differing(before: Run, after: Run) -> tuple[tuple[str, str, str], ...]:
    a, b = (((run.reader.manifest.get("ranks") or [{}])[0]) for run in (before, after))
    pairs = [(key, str(a.get(key, "-")), str(b.get(key, "-"))) for key in FACTS]
    return tuple((key, x, y) for key, x, y in pairs if x != y)


# --- change points -------------------------------------------------------------------------------


def change_points(values: Numbers, level: float, seed: int = 1) -> list[tuple[int, float]]:
    """Where the level of ``values`` changes: index of the first new value and p-value, ascending.

    Independent values without a change give one in at most a share ``level`` of all cases.
    """
    generator = np.random.default_rng(seed)
    found: list[tuple[int, float]] = []
    open_ = [(0, values.size)]
    while open_:
        start, end = open_.pop()
        at, p_value = _strongest(values[start:end], generator)
        if p_value < level:
            found.append((start + at, p_value))
            open_ += [(start, start + at), (start + at, end)]
    return sorted(found)


def _strongest(values: Numbers, generator: np.random.Generator) -> tuple[int, float]:
    """The most likely change point, and the share of permutations with as strong a one."""
    n = values.size
    if n < LEAST_RUNS or not np.ptp(values) > 0:
        return 0, 1.0
    ranks = _midranks(values)
    strength = _strengths(ranks[None, :])[0]
    shuffled = generator.permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
    most = _strengths(shuffled).max(axis=1)
    at = int(strength.argmax())
    as_strong = int((most >= strength[at] * (1 - 1e-12)).sum())
    return at + SHORTEST, (1 + as_strong) / (1 + PERMUTATIONS)


def _midranks(values: Numbers) -> Numbers:
    """Ranks from 1, the mean of them where values are equal."""
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Numbers = ((2 * last - counts + 1) / 2)[of]
    return ranks


def _strengths(ranks: NDArray[np.float64]) -> Numbers:
    """For each series and split: how far the mean ranks of both sides are apart, standardised."""
    n = ranks.shape[1]
    left = np.arange(SHORTEST, n - SHORTEST + 1)
    sums = np.cumsum(ranks - ranks.mean(axis=1, keepdims=True), axis=1)[:, left - 1]
    found: Numbers = np.abs(sums) / np.sqrt(left * (n - left) / n)
    return found
