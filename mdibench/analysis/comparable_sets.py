"""Sets of groups that can be compared: apart from what is compared, their conditions are equal.

Groups stand apart where another kind of run, data set, network, emulation or load would decide the
figures instead of what is compared. Called by ``standings``, ``report`` and ``sweep``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mdibench.analysis.run_groups import RunGroup
from mdibench.config.schema import CLOCKED_MODES

NUMBERED = ("device table", "events")
"""Conditions that are too long to be told in full."""


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
    admission = (group.detailed.reader.manifest.get("config") or {}).get("admission") or {}
    spacing_s = float(admission.get("interarrival_s") or 0.0)
    clocked = group.first.identity.mode in CLOCKED_MODES and spacing_s > 0
    return round(1 / spacing_s, 6) if clocked else math.nan
