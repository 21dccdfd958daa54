"""Scripted events of a simulation: workers join, leave, slow down, fail; links and load change."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mdibench.config.schema import EventEntry, RunConfig
from mdibench.core.events import Presence
from mdibench.core.node import Node
from mdibench.core.records import SOURCE
from mdibench.core.rows import EventRow
from mdibench.network.planning import absent_at_start, changed_link, event_text
from mdibench.simulation.world import SILENT, World

MakeNode = Callable[[int, float], Node]
"""Makes the node of a rank that starts at the given time."""


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

    def _apply(self, event: EventEntry, action: Callable[[EventEntry], None]) -> None:
        action(event)
        text = event_text(event)
        rank = SOURCE if event.rank is None else event.rank
        now = self._world.now
        row = EventRow(t_s=now, rank=rank, level="info", kind=event.kind, text=text)
        self._world.parts.record(row)

    def _join(self, event: EventEntry) -> None:
        assert event.rank is not None
        self._absent.discard(event.rank)
        fresh = self._world.nodes[event.rank] is SILENT
        if fresh:
            self._start(event.rank)
        self._tell_neighbours(Presence(event.rank, here=True, fresh=fresh))

    def _leave(self, event: EventEntry) -> None:
        assert event.rank is not None
        self._absent.add(event.rank)
        self._tell_neighbours(Presence(event.rank, here=False))

    def _fail(self, event: EventEntry) -> None:
        assert event.rank is not None
        self._world.replace_node(event.rank, SILENT)

    def _slow(self, event: EventEntry) -> None:
        assert event.rank is not None and event.factor is not None
        self._world.slowness[event.rank] = event.factor

    def _link(self, event: EventEntry) -> None:
        assert event.between is not None
        one, other = event.between
        for pair in (event.between, (other, one)):
            clock = self._world.parts.links[pair]
            clock.link = changed_link(clock.link, event)

    def _load(self, event: EventEntry) -> None:
        assert event.factor is not None
        self._source.interarrival_s = self._start_interarrival_s / event.factor

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
