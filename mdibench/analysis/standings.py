"""Which group leads: the fastest at equal accuracy among groups that can be compared, in words.

Within a comparable set the leader is the group with the highest rate of those that are as accurate
as the most accurate one; where the rate is given and carried, the most accurate group. P-values are
Holm's over the groups that the leader is held against. Called by ``report``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mdibench.analysis.comparable_sets import ComparableSet, given_rate
from mdibench.analysis.comparison import ALPHA, Difference, compare
from mdibench.analysis.explain import BUSY, resources
from mdibench.analysis.formatting import format_one
from mdibench.analysis.metrics import RunSummary
from mdibench.analysis.run_groups import METRICS, Metric, RunGroup
from mdibench.analysis.statistics import holm
from mdibench.errors import IncomparableRuns

EQUAL_ACCURACY = 0.01
"""A group that is at most this much less accurate counts as equal, significant or not."""
CARRIED = 0.98
"""Share of a given rate from which on a group carries it."""
MOST_NAMED = 3
"""Groups that a sentence names; it counts the others."""
RATE, ACCURACY, P99 = METRICS["throughput"], METRICS["accuracy"], METRICS["p99"]


# --- the leader ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rival:
    """A group that the leader is held against: the leader as B against it, p-value over all.

    ``found`` is None where the two cannot be compared.
    """

    group: RunGroup
    found: Difference | None
    p_value: float

    @property
    def ties(self) -> bool:
        """Whether the difference is not significant."""
        return self.p_value >= ALPHA

    @property
    def beaten(self) -> bool:
        """Whether the leader is significantly better."""
        return self.p_value < ALPHA


@dataclass(frozen=True, slots=True)
class Standing:
    """The leader of a set by ``metric``, and how the other groups stand to it."""

    of: ComparableSet
    metric: Metric
    leader: RunGroup | None
    """Nothing where no group is fit to lead: its runs are INVALID."""
    rivals: tuple[Rival, ...] = ()
    """As accurate as the leader, or carriers of the given rate; best first."""
    others: tuple[RunGroup, ...] = ()
    """Less accurate, or not carrying the rate; best first."""
    unfit: tuple[RunGroup, ...] = ()
    """Groups whose figures are of INVALID runs."""


def standing(of: ComparableSet) -> Standing:
    """Who leads ``of``."""
    fit = [g for g in of.groups if _fit(g)]
    unfit = tuple(_by(RATE, [g for g in of.groups if g not in fit]))
    if not fit:
        return Standing(of, RATE, None, unfit=unfit)
    offered = given_rate(fit[0])
    carriers = [g for g in fit if g.estimate(RATE).value >= CARRIED * offered]
    metric, even = (ACCURACY, carriers) if carriers else (RATE, _as_accurate(fit))
    leader, *rest = _by(metric, even)
    others = tuple(_by(RATE, [g for g in fit if g not in even]))
    return Standing(of, metric, leader, tuple(_rivals(leader, rest, metric)), others, unfit)


def _fit(group: RunGroup) -> bool:
    sound = all(run.verdict == "VALID" for run in group.counted)
    return sound and group.estimate(RATE).known


def _by(metric: Metric, groups: Sequence[RunGroup]) -> list[RunGroup]:
    """The groups in the order of their figure, the best first, unknown ones last."""

    def place(group: RunGroup) -> float:
        value = group.estimate(metric).value
        return math.inf if math.isnan(value) else -value

    return sorted(groups, key=place)


def _as_accurate(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Those that are as accurate as the most accurate one; all where accuracy is unknown."""
    best = _by(ACCURACY, groups)[0]
    top = best.estimate(ACCURACY)
    if not top.known:
        return list(groups)
    return [g for g in groups if g is best or _equal(best, g, top.value)]


def _equal(best: RunGroup, group: RunGroup, top: float) -> bool:
    value = group.estimate(ACCURACY).value
    if math.isnan(value):
        return False
    if value >= top - EQUAL_ACCURACY:
        return True
    try:
        found = compare(best, group, [ACCURACY]).differences[0]
    except IncomparableRuns:
        return False
    return found.word == "no significant difference"


def _rivals(leader: RunGroup, rest: Sequence[RunGroup], metric: Metric) -> list[Rival]:
    found = [_against(group, leader, metric) for group in rest]
    adjusted = holm([d.p_adjusted if d else math.nan for d in found])
    return [Rival(*row) for row in zip(rest, found, adjusted, strict=True)]


def _against(base: RunGroup, leader: RunGroup, metric: Metric) -> Difference | None:
    try:
        return compare(base, leader, [metric]).differences[0]
    except IncomparableRuns:
        return None


# --- in words ------------------------------------------------------------------------------------


def sentences(found: Standing) -> list[str]:
    """The standing in words, the leader first."""
    if found.leader is None:
        return [_no_leader(found)]
    lines = [
        _lead(found),
        _ties(found),
        bound_in_words(found.leader.first),
        *_others(found),
        _quickest(found),
    ]
    return [line for line in (*lines, _unfit(found)) if line]


def _no_leader(found: Standing) -> str:
    names = _names(found.unfit)
    be = _verb(found.unfit, "is", "are")
    return f"No group leads: {names} {be} INVALID; what to change is under Checks."


def _lead(found: Standing) -> str:
    leader = found.leader
    assert leader is not None
    rate, accuracy = leader.estimate(RATE), leader.estimate(ACCURACY)
    at = f" at an accuracy of {format_one('share', accuracy)}" if accuracy.known else ""
    figures = f"{format_one('per_s', rate)}{at}"
    number = 1 + len(found.rivals)
    left_out = _left_out(leader)
    if number == 1 and not found.others and not found.unfit:
        return f"{leader.name}: {figures}; there is nothing to compare it with.{left_out}"
    beaten = next((rival for rival in found.rivals if rival.beaten), None)
    unsure = found.rivals and not beaten and math.isnan(found.rivals[0].p_value)
    if found.metric is ACCURACY:
        word = f"is the most accurate of {number} that carry the offered rate"
    else:
        equal = " at equal accuracy" if accuracy.known else ""
        word = f"is the fastest{equal}" if number > 1 else f"leads{equal}: no other is as accurate"
    if unsure:
        word = word.replace("is the", "seems the", 1)
    more = f", {_factor(found, beaten)}" if beaten else ""
    return f"{leader.name} {word}: {figures}{more}.{left_out}"


def _factor(found: Standing, rival: Rival) -> str:
    """How far the leader is ahead of ``rival``, and of the baseline where that is another."""
    parts = [_ahead(rival)]
    base = next((r for r in found.rivals if r.group is found.of.baseline and r.beaten), None)
    if base is not None and base is not rival:
        parts.append(_ahead(base))
    return " and ".join(parts)


def _ahead(rival: Rival) -> str:
    assert rival.found is not None
    if rival.found.metric is ACCURACY:
        e = rival.found.shift.estimate.scaled(100)
        return f"{e.value:.1f} points [{e.low:.1f}, {e.high:.1f}] above {rival.group.name}"
    return f"{_times(rival)} times as fast as {rival.group.name}"


def _times(rival: Rival) -> str:
    assert rival.found is not None
    e = rival.found.ratio.estimate
    if not e.known:
        return "?"
    return f"{e.value:.2f}" + (f" [{e.low:.2f}, {e.high:.2f}]" if math.isfinite(e.low) else "")


def _ties(found: Standing) -> str:
    ties = [rival for rival in found.rivals if rival.ties]
    unknown = [rival for rival in found.rivals if math.isnan(rival.p_value)]
    lines = []
    if ties:
        shown = ", ".join(f"{r.group.name} ({_against_leader(r)})" for r in ties[:MOST_NAMED])
        tie = "ties" if len(ties) == 1 else "tie"
        lines.append(f"{shown}{_more(len(ties))} {tie} with it.")
    if unknown:
        names = _names([rival.group for rival in unknown])
        lines.append(f"The runs are too short or too few to tell it from {names}.")
    return " ".join(lines)


def _against_leader(rival: Rival) -> str:
    assert rival.found is not None
    if rival.found.metric is ACCURACY:
        e = rival.found.shift.estimate.scaled(-100)
        return f"{e.value + 0.0:+.1f} points"
    e = rival.found.ratio.estimate
    bounds = f" [{1 / e.high:.2f}, {1 / e.low:.2f}]" if 0 < e.low < e.high < math.inf else ""
    return f"{1 / e.value:.2f}{bounds} times its rate" if e.known and e.value else "rate unknown"


def bound_in_words(summary: RunSummary) -> str:
    """What limits a run: the workers and links that are in use all the time; empty if unknown."""
    used = resources(summary)
    if not used:
        return ""
    first = used[0]
    most = [resource for resource in used if resource.used >= first.used - 0.01][:MOST_NAMED]
    told = " and ".join(resource.in_words for resource in most)
    if first.used >= BUSY:
        return f"It is bound by what is nearly always in use: {told}."
    return (
        f"No resource bounds it: of the most used, {first.in_words}. "
        "Its rate is what was offered or admitted."
    )


def _others(found: Standing) -> list[str]:
    leader = found.leader
    assert leader is not None
    rate = leader.estimate(RATE).value
    if found.metric is ACCURACY:
        names = _names(found.others)
        return (
            [f"{names} {_verb(found.others, 'does', 'do')} not carry the offered rate."]
            if found.others
            else []
        )
    faster = [group for group in found.others if group.estimate(RATE).value > rate]
    if not faster:
        return []
    shown = ", ".join(
        f"{group.name} ({format_one('per_s', group.estimate(RATE), 'none')} at "
        f"{format_one('share', group.estimate(ACCURACY), 'none')})"
        for group in faster[:MOST_NAMED]
    )
    return [f"Faster, but less accurate: {shown}{_more(len(faster))}."]


def _quickest(found: Standing) -> str:
    """The lowest p99 latency of the leader and those that it is held against."""
    even = [found.leader, *(rival.group for rival in found.rivals)]
    known = [(g.estimate(P99), g) for g in even if g and math.isfinite(g.estimate(P99).value)]
    if len(known) < 2:
        return ""
    p99, group = min(known, key=lambda row: row[0].value)
    return f"The lowest p99 latency of these: {group.name}, {format_one('seconds', p99, 'half')}."


def _unfit(found: Standing) -> str:
    if not found.unfit:
        return ""
    return f"Out of it, as most of their runs are INVALID: {_names(found.unfit)}."


def _left_out(group: RunGroup) -> str:
    """Says so where a leader has INVALID members."""
    number = len(group.runs) - len(group.valid)
    be = "is" if number == 1 else "are"
    told = f" {number} of its {len(group.runs)} runs {be} INVALID and left out."
    return told if number else ""


def _names(groups: Sequence[RunGroup]) -> str:
    return ", ".join(group.name for group in groups[:MOST_NAMED]) + _more(len(groups))


def _more(number: int) -> str:
    return f" and {number - MOST_NAMED} more" if number > MOST_NAMED else ""


def _verb(groups: Sequence[RunGroup], one: str, several: str) -> str:
    return one if len(groups) == 1 else several
