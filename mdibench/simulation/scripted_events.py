"""Scripted events of a simulation: workers join, leave, slow down, fail; links and load change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mdibench.config.schema import EventEntry, RunConfig
from mdibench.core.events import Presence
from mdibench.core.node import Node
from mdibench.core.records import SOURCE
from mdibench.core.rows import EventRow
from mdibench.errors import Problem, UserError
from mdibench.network.devices import MBIT, MS
from mdibench.network.plan import Plan
from mdibench.simulation.world import SILENT, World

MakeNode = Callable[[int, float], Node]
"""Makes the node of a rank that starts at the given time."""


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


class Script:
    """Schedules a config's events in a world; simultaneous ones keep the order of the config."""

    def __init__(self, world: World, config: RunConfig, make_node: MakeNode) -> None:
        self._world = world
        self._make_node = make_node
        source = world.parts.nodes[SOURCE].source
        assert source is not None
        self._source, self._start_interarrival_s = source, source.interarrival_s
        self._absent: set[int] = set()
        """Ranks that have not joined yet or have left; their neighbours know."""
        kinds = {
            "join": self._join,
            "leave": self._leave,
            "fail": self._fail,
            "slow": self._slow,
            "link": self._link,
            "load": self._load,
        }
        for event in sorted(config.events, key=lambda event: event.at_s):
            world.schedule(event.at_s, partial(self._apply, event, kinds[event.kind]))
        for rank in absent_at_start(config):
            self._start_absent(rank)

    def _apply(self, event: EventEntry, action: Callable[[EventEntry], str]) -> None:
        text = action(event)
        rank = SOURCE if event.rank is None else event.rank
        now = self._world.now
        row = EventRow(t_s=now, rank=rank, level="info", kind=event.kind, text=text)
        self._world.parts.record(row)

    def _join(self, event: EventEntry) -> str:
        assert event.rank is not None
        self._absent.discard(event.rank)
        fresh = self._world.nodes[event.rank] is SILENT
        if fresh:
            self._start(event.rank)
        self._tell_neighbours(Presence(event.rank, here=True, fresh=fresh))
        return "joins"

    def _leave(self, event: EventEntry) -> str:
        assert event.rank is not None
        self._absent.add(event.rank)
        self._tell_neighbours(Presence(event.rank, here=False))
        return "leaves: takes no new tasks, finishes its own"

    def _fail(self, event: EventEntry) -> str:
        assert event.rank is not None
        self._world.replace_node(event.rank, SILENT)
        return "fails: falls silent"

    def _slow(self, event: EventEntry) -> str:
        assert event.rank is not None and event.factor is not None
        self._world.slowness[event.rank] = event.factor
        return f"blocks take {event.factor:g} times as long as at the start"

    def _link(self, event: EventEntry) -> str:
        assert event.between is not None
        one, other = event.between
        for pair in (event.between, (other, one)):
            clock = self._world.parts.links[pair]
            if event.bandwidth_mbps is not None:
                clock.link = replace(clock.link, bandwidth_bps=event.bandwidth_mbps * MBIT)
            if event.delay_ms is not None:
                clock.link = replace(clock.link, delay_s=event.delay_ms * MS)
        rate = "" if event.bandwidth_mbps is None else f" {event.bandwidth_mbps:g} Mbit/s"
        delay = "" if event.delay_ms is None else f" {event.delay_ms:g} ms"
        return f"link {one} - {other}:{rate}{delay}"

    def _load(self, event: EventEntry) -> str:
        assert event.factor is not None
        self._source.interarrival_s = self._start_interarrival_s / event.factor
        return f"items arrive {event.factor:g} times as fast as at the start"

    def _start_absent(self, rank: int) -> None:
        self._absent.add(rank)
        self._world.replace_node(rank, SILENT)
        self._tell_neighbours(Presence(rank, here=False))

    def _start(self, rank: int) -> None:
        """Start a worker with empty queues, and tell it which of its neighbours are absent."""
        now = self._world.now
        self._world.slowness[rank] = 1.0
        self._world.replace_node(rank, self._make_node(rank, now))
        for neighbour in self._neighbours(rank):
            if neighbour in self._absent:
                self._world.post(now, rank, Presence(neighbour, here=False))

    def _tell_neighbours(self, presence: Presence) -> None:
        for neighbour in self._neighbours(presence.rank):
            self._world.post(self._world.now, neighbour, presence)

    def _neighbours(self, rank: int) -> tuple[int, ...]:
        return self._world.parts.nodes[rank].worker.setup.neighbours


def absent_at_start(config: RunConfig) -> list[int]:
    """Ranks whose first event of presence is to join."""
    first: dict[int, str] = {}
    for event in sorted(config.events, key=lambda event: event.at_s):
        if event.rank is not None and event.kind in ("join", "leave", "fail"):
            first.setdefault(event.rank, event.kind)
    return sorted(rank for rank, kind in first.items() if kind == "join")
