"""Hosts of a job, told apart by their kernel's boot, and what their clocks say of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CLOCK_TOLERANCE_S = 1.0
"""Difference of two hosts' clocks that nobody need know of."""


def with_own_names(ranks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The facts of ``ranks``; hosts that share a name get a number, as boards of one image do."""
    boots: dict[str, list[str]] = {}
    named = []
    for facts in ranks:
        host, boot = str(facts["host"]), str(facts.get("boot_id", ""))
        known = boots.setdefault(host, [])
        if boot not in known:
            known.append(boot)
        number = known.index(boot) + 1
        named.append(dict(facts) | {"host": host if number == 1 else f"{host}#{number}"})
    return named


def clock_warnings(ranks: Sequence[Mapping[str, Any]], offsets_s: Sequence[float]) -> list[str]:
    """A line for each host whose clock differs from rank 0's.

    ``clock_s`` of a rank is its time of day minus its run clock; ``offsets_s`` are the run clocks
    minus rank 0's.
    """
    if not ranks or "clock_s" not in ranks[0]:
        return []
    first, seen, found = ranks[0], {str(ranks[0]["host"])}, []
    for facts, offset_s in zip(ranks, offsets_s, strict=True):
        host = str(facts["host"])
        ahead_s = facts["clock_s"] - first["clock_s"] + offset_s
        if host not in seen and abs(ahead_s) > CLOCK_TOLERANCE_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            found.append(
                f"{host}: its clock is {abs(ahead_s):.0f} s {side} rank 0's; times of files and "
                "dates differ, measured times do not (set it by NTP: timedatectl set-ntp true)"
            )
        seen.add(host)
    return found
