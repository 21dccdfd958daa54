"""What a config's scripted events need of a plan, and what they are called in a run's records."""

from __future__ import annotations

from dataclasses import replace

from mdibench.config.schema import EventEntry, RunConfig
from mdibench.errors import Problem, UserError
from mdibench.network.devices import MBIT, MS
from mdibench.network.plan import Link, Plan


def check_events(config: RunConfig, plan: Plan) -> None:
    """Raise UserError with every event of a rank or a link that the plan does not have."""
    problems: list[Problem] = []
    for index, event in enumerate(config.events):
        where = config.where("events", index)
        if event.rank is not None and event.rank >= plan.ranks:
            what = f"there is no rank {event.rank} among the {plan.ranks} ranks of this run"
            problems.append(Problem(what, where, f"use --workers {event.rank + 1} or more"))
        if event.between is not None and event.between not in plan.links:
            one, other = event.between
            what = f"there is no link {one} - {other} in this run"
            problems.append(Problem(what, where, "name two ranks that are neighbours"))
    if problems:
        raise UserError(*problems)


def absent_at_start(config: RunConfig) -> list[int]:
    """Ranks whose first presence event is to join."""
    first: dict[int, str] = {}
    for event in sorted(config.events, key=lambda event: event.at_s):
        if event.rank is not None and event.kind in ("join", "leave", "fail"):
            first.setdefault(event.rank, event.kind)
    return sorted(rank for rank, kind in first.items() if kind == "join")


def changed_link(link: Link, event: EventEntry) -> Link:
    """The link as a ``link`` event leaves it."""
    if event.bandwidth_mbps is not None:
        link = replace(link, bandwidth_bps=event.bandwidth_mbps * MBIT)
    if event.delay_ms is not None:
        link = replace(link, delay_s=event.delay_ms * MS)
    return link


def event_text(event: EventEntry) -> str:
    """What happened, in one line for a person."""
    if event.kind == "link":
        assert event.between is not None
        one, other = event.between
        rate = "" if event.bandwidth_mbps is None else f" {event.bandwidth_mbps:g} Mbit/s"
        delay = "" if event.delay_ms is None else f" {event.delay_ms:g} ms"
        return f"link {one} - {other}:{rate}{delay}"
    texts = {
        "join": "joins",
        "leave": "leaves: takes no new tasks, finishes its own",
        "fail": "fails: falls silent",
        "slow": f"blocks take {event.factor or 1:g} times as long as at the start",
        "load": f"items arrive {event.factor or 1:g} times as fast as at the start",
    }
    return texts[event.kind]
