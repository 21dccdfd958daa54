"""The simulated world: nodes, engines and links under one virtual clock, in one process.

The nodes are the state machines that MPI ranks run; only the driver differs. The event queue is a
heap of (time, sequence number, rank, event): the sequence number breaks ties, so that one seed
gives one trace. Nothing here reads a clock or sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from mdibench.compute.engine import Engine
from mdibench.core.events import (
    Announce,
    Arrived,
    Cancel,
    Cancelled,
    Compute,
    Computed,
    Delivered,
    EndRun,
    Event,
    Instruction,
    LinkFree,
    Note,
    ReportSuspect,
    Send,
    Suspected,
    ThresholdsSet,
    Tick,
)
from mdibench.core.node import Node
from mdibench.core.records import SOURCE, Result, Task, is_paced
from mdibench.core.rows import Row
from mdibench.errors import InvariantError
from mdibench.policy.algorithms import Generator
from mdibench.transport.links import LinkClock, Traffic

TICK = Tick()

ServiceTime = Callable[[int, Sequence[Task]], float]
"""Seconds that a rank takes for a batch."""
MessageBytes = Callable[[int, int, Task | Result | None], int]
"""Bytes of a message from one rank to another on the wire."""


CodecSeconds = Callable[[int, int, Task | Result | None], tuple[float, float]]
"""Seconds that encoding and decoding a message from one rank to another take."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world is made of. ``record`` takes the rows of the run's files."""

    nodes: Sequence[Node]
    engines: Sequence[Engine]
    links: Mapping[tuple[int, int], LinkClock]
    service_time: ServiceTime
    message_bytes: MessageBytes
    record: Callable[[Row], None]
    codec_s: CodecSeconds = lambda source, target, body: (0.0, 0.0)
    control_delay_s: float = 0.001
    """Delay of messages that do not cross the emulated links: thresholds and suspicions."""


class Silent:
    """A rank that does not take part: it accepts every event and does nothing."""

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """No instructions."""
        return []

    def next_wake(self) -> float:
        """Never."""
        return float("inf")

    def soonest_wake(self) -> float:
        """Never."""
        return float("inf")


SILENT = Silent()


@dataclass(frozen=True, slots=True)
class WorldEvent:
    """A change of the world itself."""

    action: Callable[[], None]


class World:
    """Runs nodes until the source ends the run."""

    def __init__(self, parts: Parts, generator: Generator) -> None:
        self.parts = parts
        self.now = 0.0
        self.events = 0
        self.traffic = [Traffic() for _ in parts.nodes]
        self._generator = generator
        self.nodes: list[Node | Silent] = list(parts.nodes)
        """The current node of each rank; ``SILENT`` for a rank that is absent or has failed."""
        self.slowness = [1.0] * len(parts.nodes)
        """Factor on the service times of each rank."""
        self._heap: list[tuple[float, int, int, Event | WorldEvent]] = []
        self._sequence = 0
        self._engine_free_s = [0.0] * len(parts.nodes)
        self._wake: list[float] = [float("inf")] * len(parts.nodes)
        self._ended = False
        self._perform = {
            Compute: self._compute,
            Send: self._send,
            Announce: self._announce,
            Cancel: self._cancel,
            ReportSuspect: self._report_suspect,
            Note: self._note,
            EndRun: self._end,
        }
        for rank in range(len(parts.nodes)):
            self._schedule_wake(rank)

    def run(self, until_s: float = float("inf")) -> bool:
        """Advance until the run ends or ``until_s`` has passed; whether it ended.

        An ``InvariantError`` of a node gets the state of the world added to its story.
        """
        try:
            return self._advance(until_s)
        except InvariantError as error:
            error.tell(self._story(nodes=not error.story))
            raise

    def _advance(self, until_s: float) -> bool:
        while not self._ended and self._heap and self._heap[0][0] <= until_s:
            self.now, _, rank, event = heappop(self._heap)
            if event is TICK and not self._due(rank):
                continue
            self.events += 1
            if isinstance(event, WorldEvent):
                event.action()
            else:
                self._follow(rank, self.nodes[rank].handle(event, self.now))
        if not self._ended and not self._heap:
            raise InvariantError("no event is left, and the run has not ended")
        return self._ended

    def _story(self, nodes: bool) -> Iterator[str]:
        """The world's clock, then the ``nodes``: the source's, and those that still have work."""
        yield f"simulated world at {self.now:.6f} s, event {self.events}, {len(self._heap)} to come"
        for rank, node in enumerate(self.nodes if nodes else ()):
            if isinstance(node, Silent):
                continue
            if rank == SOURCE or node.worker.queued or node.worker.computing:
                yield from node.story(self.now)

    def post(self, at_s: float, rank: int, event: Event) -> None:
        """Schedule ``event`` of ``rank`` at ``at_s``."""
        self._sequence += 1
        heappush(self._heap, (at_s, self._sequence, rank, event))

    def schedule(self, at_s: float, action: Callable[[], None]) -> None:
        """Schedule ``action`` at ``at_s``, before events posted later for the same time."""
        self._sequence += 1
        heappush(self._heap, (at_s, self._sequence, SOURCE, WorldEvent(action)))

    def replace_node(self, rank: int, node: Node | Silent) -> None:
        """Replace the node of ``rank`` by ``SILENT`` or by a new worker.

        What the former node was computing, sending and about to receive is lost.
        """
        self.nodes[rank] = node
        self._engine_free_s[rank] = 0.0
        self._heap = [entry for entry in self._heap if not _is_own(rank, entry[2], entry[3])]
        heapify(self._heap)
        self._wake[rank] = float("inf")
        self._schedule_wake(rank)

    # --- wake-ups ---------------------------------------------------------------------------

    def _due(self, rank: int) -> bool:
        """Whether the wake-up just popped is still due; if not, schedule the next one."""
        if self._wake[rank] <= self.now:
            self._wake[rank] = float("inf")
        if self.nodes[rank].next_wake() <= self.now:
            return True
        self._schedule_wake(rank)
        return False

    def _schedule_wake(self, rank: int) -> None:
        node = self.nodes[rank]
        if self._wake[rank] <= node.soonest_wake():
            return
        at_s = max(self.now, node.next_wake())
        if at_s < self._wake[rank]:
            self._wake[rank] = at_s
            self.post(at_s, rank, TICK)

    # --- instructions -----------------------------------------------------------------------

    def _follow(self, rank: int, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            self._perform[type(instruction)](rank, instruction)  # type: ignore[operator]
        self._schedule_wake(rank)

    def _compute(self, rank: int, instruction: Compute) -> None:
        tasks = instruction.tasks
        seconds = self.parts.service_time(rank, tasks) * self.slowness[rank]
        engine = self.parts.engines[rank]
        self.traffic[rank].flops += len(tasks) * engine.flops(tasks[0])
        self._engine_free_s[rank] = max(self.now, self._engine_free_s[rank]) + seconds
        done = Computed(tuple(engine.compute(tasks)), seconds)
        self.post(self._engine_free_s[rank], rank, done)

    def _send(self, rank: int, instruction: Send) -> None:
        target, body = instruction.target, instruction.body
        size = self.parts.message_bytes(rank, target, body)
        encode_s, decode_s = self.parts.codec_s(rank, target, body)
        handed_s = self.now + encode_s
        free_s, arrival_s = self.parts.links[rank, target].send(
            size, handed_s, self._generator.random
        )
        self.traffic[rank].encode_s += encode_s
        self.traffic[target].encode_s += decode_s
        self.traffic[rank].count_sent(target, size, body)
        self.traffic[target].received_bytes += size
        if body is not None:
            body = body.moved(wire_bytes=size)
        if is_paced(instruction.state, body):
            self.post(free_s, rank, LinkFree(target))
            self.post(arrival_s, rank, Delivered(target, arrival_s - handed_s))
        self.post(arrival_s + decode_s, target, Arrived(rank, instruction.state, body))

    def _announce(self, rank: int, instruction: Announce) -> None:
        self._tell_others(rank, ThresholdsSet(instruction.thresholds))

    def _cancel(self, rank: int, instruction: Cancel) -> None:
        self._tell_others(rank, Cancelled(instruction.items))

    def _tell_others(self, rank: int, event: Event) -> None:
        for other in range(len(self.parts.nodes)):
            if other != rank:
                self.post(self.now + self.parts.control_delay_s, other, event)

    def _report_suspect(self, rank: int, instruction: ReportSuspect) -> None:
        event = Suspected(instruction.rank, instruction.copies)
        self.post(self.now + self.parts.control_delay_s, SOURCE, event)

    def _note(self, rank: int, instruction: Note) -> None:
        self.parts.record(instruction.row)

    def _end(self, rank: int, instruction: EndRun) -> None:
        self._ended = True


def _is_own(rank: int, target: int, event: Event | WorldEvent) -> bool:
    """Whether an event for ``target`` concerns a batch of ``rank`` or a message from or to it."""
    if isinstance(event, Arrived):
        return rank in (event.sender, target)
    return target == rank and isinstance(event, (Computed, LinkFree, Delivered))
