"""Scripted events over MPI: every rank lets happen what concerns it, by its own run clock.

The clocks of all ranks count from one moment, so that an event needs no message. A rank that fails
falls silent towards its neighbours: its process goes on, and so does the harness (telemetry, the
end of the run). One that joins was idle before.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mdibench.compute.engine import Engine
from mdibench.config.schema import EventEntry, RunConfig
from mdibench.core.events import Computed, Event, Instruction, Presence, Tick
from mdibench.core.node import Node
from mdibench.core.records import SOURCE, Outcome, Task
from mdibench.core.rows import EventRow
from mdibench.network.planning import absent_at_start, changed_link, event_text

if TYPE_CHECKING:
    from mdibench.transport.post_office import PostOffice


class FailedNode(Node):
    """A node that takes everything and says nothing; what it had is lost."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.worker)
        self.computing = len(node.worker._batches)
        """Batches that the engine still has from before."""

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Nothing."""
        self.computing -= isinstance(event, Computed)
        return []

    def next_wake(self) -> float:
        """Never."""
        return math.inf

    def soonest_wake(self) -> float:
        """Never."""
        return math.inf


class SlowableEngine:
    """Computes on the device itself, and sleeps for what a slower one would take longer."""

    def __init__(self, engine: Engine) -> None:
        self.factor = 1.0
        self._engine = engine
        self.flops = engine.flops

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See ``Engine.compute``."""
        begun_s = time.perf_counter()
        outcomes = self._engine.compute(tasks)
        if self.factor > 1:
            time.sleep((self.factor - 1) * (time.perf_counter() - begun_s))
        return outcomes

    def slow(self, factor: float) -> None:
        """From now on blocks take ``factor`` times as long; nothing makes a device faster."""
        self.factor = factor


@dataclass(frozen=True, slots=True)
class RankParts:
    """What events change on one rank: ``slow`` takes a factor on the blocks' times."""

    node: Node
    post: PostOffice
    make_node: Callable[[float], Node]
    slow: Callable[[float], None]


@dataclass(slots=True)
class Happened:
    """What the loop must do: its node from now on, events for it, and rows for the files."""

    node: Node
    events: list[Event] = field(default_factory=list)
    rows: list[EventRow] = field(default_factory=list)


class Script:
    """The events of a config as one rank meets them."""

    def __init__(self, config: RunConfig, rank: int, parts: RankParts) -> None:
        self._rank = rank
        self._parts = parts
        self._node = parts.node
        self._links = parts.post.links
        source = parts.node.source
        self._start_interarrival_s = source.interarrival_s if source else 0.0
        self._absent = set(absent_at_start(config.events))
        self._failed: set[int] = set()
        self._coming = deque(sorted(config.events, key=lambda event: event.at_s))
        self._begun = not self._coming
        self._act = {
            "join": self._join,
            "leave": self._leave,
            "fail": self._fail,
            "slow": self._slow,
            "link": self._link,
            "load": self._load,
        }

    @property
    def next_s(self) -> float:
        """When the next event is due, on the run's clock."""
        if not self._begun:
            return -math.inf
        return self._coming[0].at_s if self._coming else math.inf

    def take(self, now: float) -> Happened:
        """Let happen what is due."""
        happened = Happened(self._node)
        if not self._begun:
            self._begun = True
            happened.events += [Presence(rank, here=False) for rank in self._near(self._absent)]
        while self._coming and self._coming[0].at_s <= now:
            if self._must_wait(self._coming[0]):
                break
            event = self._coming.popleft()
            self._act[event.kind](event, now, happened)
            place = SOURCE if event.rank is None else event.rank
            if place == self._rank:
                text = event_text(event)
                happened.rows.append(EventRow(now, place, "info", event.kind, text))
        happened.node = self._node
        return happened

    def _must_wait(self, event: EventEntry) -> bool:
        """A rank that failed starts anew when its engine is done with what it had."""
        node = self._node
        joins_here = event.kind == "join" and event.rank == self._rank
        return joins_here and isinstance(node, FailedNode) and node.computing > 0

    def _near(self, ranks: set[int]) -> Sequence[int]:
        return [rank for rank in self._parts.node.worker.setup.neighbours if rank in ranks]

    def _join(self, event: EventEntry, now: float, happened: Happened) -> None:
        assert event.rank is not None
        fresh = event.rank in self._failed
        self._absent.discard(event.rank)
        self._failed.discard(event.rank)
        if event.rank == self._rank and fresh:
            self._node = self._parts.make_node(now)
            self._parts.slow(1.0)
            self._node.speak_up()
            happened.events = [Presence(rank, here=False) for rank in self._near(self._absent)]
            happened.events.append(Tick())
        elif self._near({event.rank}):
            happened.events.append(Presence(event.rank, here=True, fresh=fresh))

    def _leave(self, event: EventEntry, now: float, happened: Happened) -> None:
        assert event.rank is not None
        self._absent.add(event.rank)
        if self._near({event.rank}):
            happened.events.append(Presence(event.rank, here=False))

    def _fail(self, event: EventEntry, now: float, happened: Happened) -> None:
        assert event.rank is not None
        self._failed.add(event.rank)
        if event.rank == self._rank:
            self._node = FailedNode(self._node)
            happened.events = []

    def _slow(self, event: EventEntry, now: float, happened: Happened) -> None:
        if event.rank == self._rank and event.factor is not None:
            self._parts.slow(event.factor)

    def _link(self, event: EventEntry, now: float, happened: Happened) -> None:
        assert event.between is not None
        if self._rank in event.between:
            other = sum(event.between) - self._rank
            clock = self._links[other]
            clock.link = changed_link(clock.link, event)

    def _load(self, event: EventEntry, now: float, happened: Happened) -> None:
        source = self._parts.node.source
        if source is not None and event.factor is not None:
            source.interarrival_s = self._start_interarrival_s / event.factor
