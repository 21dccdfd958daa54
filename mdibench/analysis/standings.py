"""Which group leads: the fastest at equal accuracy among groups that can be compared, in words.

Groups stand apart where another kind of run, data set, network, emulation or load would decide the
figures instead of what is compared. Within a set the leader is the group with the highest rate of
those that are as accurate as the most accurate one; where the rate is given and carried, the most
accurate group. P-values are Holm's over the groups that the leader is held against. Called by
``report``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mdibench.analysis.comparison import ALPHA, Difference, compare
from mdibench.analysis.explain import BUSY, Usage, resources
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
NUMBERED = ("device table", "events")
"""Conditions that are too long to be told in full."""
RATE, ACCURACY, P99 = METRICS["throughput"], METRICS["accuracy"], METRICS["p99"]


@dataclass(frozen=True, slots=True)
class ComparableSet:
    """Groups that can be compared. ``label`` says what sets them apart; empty for a single set."""

    label: str
    groups: tuple[RunGroup, ...]

    @property
    def baseline(self) -> RunGroup:
        """One rank alone where there is such a group, else scheme ``local``, else the first."""
        local = [group for group in self.groups if group.first.identity.scheme == "local"]
        alone = [group for group in local if group.first.identity.ranks == 1]
        return [*alone, *local, self.groups[0]][0]


def comparable_sets(groups: Sequence[RunGroup], any_load: bool = False) -> list[ComparableSet]:
    """``groups`` by what they can be compared with, the largest set first.

    ``any_load``: groups under different loads are together.
    """
    members: dict[tuple[tuple[str, str], ...], list[RunGroup]] = {}
    for group in groups:
        conditions = _conditions(group)
        if any_load:
            conditions |= {"mode": "", "load": ""}
        members.setdefault(tuple(conditions.items()), []).append(group)
    labels = _labels([dict(key) for key in members], list(members.values()))
    found = [
        ComparableSet(label, tuple(of)) for label, of in zip(labels, members.values(), strict=True)
    ]
    return sorted(found, key=lambda s: (-len(s.groups), -sum(len(g.runs) for g in s.groups)))


def _labels(
    conditions: Sequence[dict[str, str]], members: Sequence[Sequence[RunGroup]]
) -> list[str]:
    """What sets the sets apart: the first conditions that do, in words."""
    if len(conditions) == 1:
        return [""]
    labels = [""] * len(conditions)
    for name in conditions[0]:
        texts = _told(name, conditions, members)
        if name == "kind" or (len(set(texts)) > 1 and len(set(labels)) < len(labels)):
            pairs = zip(labels, texts, strict=True)
            labels = [", ".join(filter(None, pair)) for pair in pairs]
    return labels


def _told(
    name: str, conditions: Sequence[dict[str, str]], members: Sequence[Sequence[RunGroup]]
) -> list[str]:
    """A condition of every set as text; tables and events by number."""
    values = [condition[name] for condition in conditions]
    if name == "kind":
        return [max((g.first.identity.measured_on for g in of), key=len) for of in members]
    if name in NUMBERED:
        known = list(dict.fromkeys(value for value in values if value))
        return [f"{name} {known.index(value) + 1}" if value else "" for value in values]
    return values


def _conditions(group: RunGroup) -> dict[str, str]:
    """What the figures of a group depend on beside what is compared, by name."""
    identity = group.first.identity
    config = group.detailed.reader.manifest.get("config") or {}
    emulation, admission = config.get("emulation") or {}, config.get("admission") or {}
    devices = emulation.get("device") or emulation.get("tiers") or emulation.get("drawn") or ""
    names = [devices] if isinstance(devices, str) else sorted(set(devices))
    return {
        "kind": identity.kind,
        "data": identity.dataset,
        "network": identity.model,
        "devices": ", ".join(map(str, names)),
        "link": str(emulation.get("link") or ""),
        "device table": _digest(emulation.get("devices")),
        "mode": identity.mode,
        "load": _load(group, admission),
        "events": _digest(config.get("events")),
    }


def _load(group: RunGroup, admission: dict[str, object]) -> str:
    rate = given_rate(group)
    return "" if math.isnan(rate) else f"{rate:g} /s, {admission.get('arrivals') or 'constant'}"


def _digest(value: object) -> str:
    return json.dumps(value, sort_keys=True) if value else ""


def given_rate(group: RunGroup) -> float:
    """Items per second of a schedule that does not depend on the system; NaN where there is none.

    See ``config.schema.AdmissionSection.clocked``.
    """
    from mdibench.config.schema import CLOCKED_MODES

    admission = (group.detailed.reader.manifest.get("config") or {}).get("admission") or {}
    spacing_s = float(admission.get("interarrival_s") or 0.0)
    clocked = group.first.identity.mode in CLOCKED_MODES and spacing_s > 0
    return round(1 / spacing_s, 6) if clocked else math.nan


# --- the leader ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rival:
    """A group that the leader is held against: the leader as B against it, p-value over all."""

    group: RunGroup
    found: Difference | None
    """Nothing where the two cannot be compared."""
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
    values = {id(group): group.estimate(metric).value for group in groups}
    return sorted(groups, key=lambda g: -math.inf if math.isnan(values[id(g)]) else values[id(g)],
                  reverse=True)  # fmt: skip


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
    return f"No group leads: {names} {_is(found.unfit)} INVALID; what to change is under Checks."


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
    if first.used >= BUSY:
        return f"It is bound by what is nearly always in use: {_all_of(most)}."
    return (
        f"No resource bounds it: of the most used, {first.in_words}. "
        "Its rate is what was offered or admitted."
    )


def _all_of(used: Sequence[Usage]) -> str:
    return " and ".join(resource.in_words for resource in used)


def _others(found: Standing) -> list[str]:
    leader = found.leader
    assert leader is not None
    rate = leader.estimate(RATE).value
    if found.metric is ACCURACY:
        names = _names(found.others)
        return [f"{names} {_do(found.others)} not carry the offered rate."] if found.others else []
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
    runs = f"{number} of its {len(group.runs)} runs"
    return f" {runs} {'is' if number == 1 else 'are'} INVALID and left out." if number else ""


def _names(groups: Sequence[RunGroup]) -> str:
    return ", ".join(group.name for group in groups[:MOST_NAMED]) + _more(len(groups))


def _more(number: int) -> str:
    return f" and {number - MOST_NAMED} more" if number > MOST_NAMED else ""


def _is(groups: Sequence[RunGroup]) -> str:
    return "is" if len(groups) == 1 else "are"


def _do(groups: Sequence[RunGroup]) -> str:
    return "does" if len(groups) == 1 else "do"
