"""What every worker does, whatever its scheme: exits, an engine, and an eye on its neighbours.

``handle(event, now)`` answers with instructions and never does anything itself. The table
``REACTIONS`` is the whole list of what can happen to a worker, ``transitions.TASK_MOVES`` the whole
list of moves that a task can make on it. How its tasks wait, which of them a free engine or link
takes next, and which way results go is for its subclasses: ``worker`` has the two queues of
algorithms 1 and 2, ``pressure_worker`` serves by prices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from mdibench.core.events import (
    Arrived,
    Cancelled,
    Computed,
    Delivered,
    Event,
    Instruction,
    LinkFree,
    Note,
    Presence,
    Refused,
    ReportSuspect,
    ThresholdsSet,
    Tick,
)
from mdibench.core.neighbours import Neighbour, smoothed
from mdibench.core.queues import Counters, Entry, Waiting
from mdibench.core.records import SOURCE, Outcome, Result, Task
from mdibench.core.rows import NO_PRICES, EventRow, compute_step, traced
from mdibench.core.setup import NO_LIMIT, WorkerSetup
from mdibench.core.transitions import (
    LEFT,
    VOID_COMPUTED,
    VOID_LEAVING,
    VOID_WAITING,
    Known,
    Move,
    Story,
    listed,
)
from mdibench.errors import InvariantError
from mdibench.policy.algorithms import Generator, leaves

Queue = TypeVar("Queue", bound=Waiting)
STALL = 1.5
"""Heartbeats without a tick after which a worker takes itself for the one that stood still."""


class WorkerBase(ABC, Generic[Queue]):
    """The state machine of one worker, without its queues."""

    input_queue: Queue
    """I_n: tasks that wait here and could be computed here."""
    output_queue: Queue
    """O_n: the others that wait."""
    reactions: ClassVar[Mapping[type[Event], Callable[[Any, Any], None]]]

    def __init__(self, setup: WorkerSetup, generator: Generator, now: float = 0.0) -> None:
        self.setup = setup
        self.thresholds = setup.thresholds
        self.gamma_s = 0.0
        exits = len(setup.thresholds)
        self.counters = Counters([0] * exits, [0] * exits, [0.0] * exits)
        self.neighbours: dict[int, Neighbour] = Known(
            "no neighbour is rank",
            {rank: Neighbour(rank, now, setup.queue_capacity) for rank in setup.neighbours},
        )
        self._batches: deque[list[Entry]] = deque()
        self._ahead = 0
        self._generator = generator
        self._under_way = 0
        self._last_tick_s = now
        self._prices = NO_PRICES
        """Those of the batch that was computed last, where the scheme has prices."""
        self._known_state: tuple[float, ...] | None = None
        """A state that needs no more telling."""
        self._void: dict[int, None] = {}
        """Items that the source is done with, the latest last; some copies may still come."""
        self._heartbeat_s = setup.heartbeat_s
        self._shortest_pause_s = min(setup.gossip_s, setup.heartbeat_s)
        self._out: list[Instruction] = []
        self._now = now
        self._story = Story()
        self._remember = self._story.remember

    # --- the interface ----------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """What to do about ``event`` at time ``now`` (seconds on this worker's clock)."""
        self._begin(now)
        try:
            self.reactions[type(event)](self, event)
            return self._settle()
        except InvariantError as error:
            error.tell(self.story(error.item))
            raise

    def admit(self, task: Task, now: float) -> list[Instruction]:
        """Take a raw item (its τ_1) from the source that shares this rank."""
        self._begin(now)
        try:
            self._place(task, SOURCE, admitted=True)
            return self._settle()
        except InvariantError as error:
            error.tell(self.story(error.item))
            raise

    def next_wake(self) -> float:
        """When this worker wants a ``Tick``: soon while something is open, else for heartbeats."""
        pause_s = self._shortest_pause_s if self._restless() else self._heartbeat_s
        return self._last_tick_s + pause_s

    def soonest_wake(self) -> float:
        """No later than ``next_wake``, and cheap to tell."""
        return self._last_tick_s + self._shortest_pause_s

    @property
    @abstractmethod
    def waiting(self) -> int:
        """|I_n|: tasks that wait to be computed, those that the engine got in advance included."""

    @property
    def room(self) -> int:
        """Raw items that the source may admit now; most schemes set no limit."""
        return NO_LIMIT

    @property
    def queued(self) -> int:
        """q = |I_n| + |O_n|."""
        return self.waiting + len(self.output_queue)

    @property
    def computing(self) -> int:
        """Tasks of the batch that the engine runs right now."""
        return len(self._batches[0]) if self._batches else 0

    def story(self, item: int | None = None) -> list[str]:
        """Queues, engine, links and last moments, for the text of an ``InvariantError``."""
        batches = [[entry.summary() for entry in batch] for batch in self._batches]
        return [
            f"worker {self.setup.rank} at {self._now:.6f} s",
            f"input queue {listed(map(Entry.summary, self.input_queue), len(self.input_queue))}",
            f"output queue {listed(map(Entry.summary, self.output_queue), len(self.output_queue))}",
            f"batches at the engine {listed(batches, len(batches))}",
            *[f"neighbour {neighbour.summary()}" for neighbour in self.neighbours.values()],
            *self._story.tell(item),
        ]

    def _begin(self, now: float) -> None:
        """Book the time since the last event, during which nothing changed."""
        if not self._batches:
            self._book_idle(now - self._now)
        self._out, self._now = [], now

    def _book_idle(self, elapsed_s: float) -> None:
        if self._under_way:
            self.counters.send_s += elapsed_s
        elif len(self.output_queue):
            self.counters.wait_s += elapsed_s

    # --- reactions, one per event -----------------------------------------------------------

    def _arrived(self, event: Arrived) -> None:
        neighbour = self.neighbours[event.sender]
        neighbour.hear(event.state, self._now)
        if neighbour.suspected:
            neighbour.suspected = False
            self._event("info", "recovered", f"rank {event.sender} speaks again")
        if isinstance(event.body, Task):
            neighbour.received += 1
            self._known_state = None
            self._take_in(event.body, event.sender)
        else:
            self._remember((self._now, event))
            if event.body is not None:
                self._send_home(event.body)

    def _computed(self, event: Computed) -> None:
        batches, counters, outcomes = self._batches, self.counters, event.outcomes
        if not batches or len(outcomes) != len(batches[0]):
            raise InvariantError(f"{len(outcomes)} outcomes for {self.computing} tasks")
        batch = batches.popleft()
        count = len(batch)
        if batches:
            self._ahead -= len(batches[0])
        self.gamma_s = smoothed(self.gamma_s, event.seconds / count, self.setup.smoothing)
        place = batch[0].task.block - 1
        counters.block_tasks[place] += count
        counters.block_busy_s[place] += event.seconds
        facts = (count, event.seconds)
        for entry, outcome in zip(batch, outcomes):  # noqa: B905 - the keyword costs 0.5 µs
            self._judge(entry, outcome, facts)

    def _link_free(self, event: LinkFree) -> None:
        self._remember((self._now, event))
        neighbour = self.neighbours[event.target]
        if neighbour.under_way <= 0:
            raise InvariantError(f"the link to rank {event.target} is free, and was before")
        neighbour.under_way -= 1
        self._under_way -= 1

    def _delivered(self, event: Delivered) -> None:
        self.neighbours[event.target].note_delivered(event.seconds, self.setup.smoothing, self._now)

    def _refused(self, event: Refused) -> None:
        """The task counts as received, and the source may run its item again."""
        self._remember((self._now, event))
        self.neighbours[event.sender].received += 1
        self._known_state = None
        text = f"item {event.copy[0]} from rank {event.sender} cannot be read"
        self._event("warning", "refused", text)
        self._out.append(ReportSuspect(self.setup.rank, (event.copy,)))

    def _cancelled(self, event: Cancelled) -> None:
        """Nothing is computed for these items any more, but for batches that the engine has."""
        self._remember((self._now, event))
        self._void |= dict.fromkeys(event.items)
        while len(self._void) > self.setup.queue_capacity:
            del self._void[next(iter(self._void))]
        items = frozenset(event.items)
        for move, queue in ((VOID_WAITING, self.input_queue), (VOID_LEAVING, self.output_queue)):
            for entry in queue.drop(items, self._now):
                self._move_away(entry, move)
        for neighbour in self.neighbours.values():
            neighbour.forget(items)

    def _thresholds_set(self, event: ThresholdsSet) -> None:
        self._remember((self._now, event))
        if len(event.thresholds) != len(self.thresholds):
            what = f"{len(event.thresholds)} thresholds for {len(self.thresholds)} exits"
            raise InvariantError(what)
        self.thresholds = event.thresholds

    def _presence(self, event: Presence) -> None:
        self._remember((self._now, event))
        if event.fresh:
            former = self.neighbours[event.rank]
            self._give_up(former)
            newcomer = Neighbour(event.rank, self._now, self.setup.queue_capacity)
            newcomer.under_way = former.under_way
            newcomer.suspected = event.here  # nothing is sent to it before it speaks
            self.neighbours[event.rank] = newcomer
            self._forget(event.rank)
        self.neighbours[event.rank].left = not event.here
        self._known_state = None

    def _tick(self, event: Tick) -> None:
        self._remember((self._now, event))
        if self._now - self._last_tick_s > STALL * self._heartbeat_s:
            self._listen_afresh()
        self._last_tick_s = self._now
        for neighbour in self.neighbours.values():
            self._watch(neighbour)
            if self._must_tell(neighbour):
                self._send(neighbour)

    def _listen_afresh(self) -> None:
        """This worker itself stood still, and could hear nobody: silence counts from now on."""
        for neighbour in self.neighbours.values():
            neighbour.heard_s = self._now

    # --- exits ------------------------------------------------------------------------------

    def _judge(self, entry: Entry, outcome: Outcome, batch: tuple[int, float]) -> None:
        task, setup = entry.task, self.setup
        if task.item in self._void:
            self._move_away(entry, VOID_COMPUTED)
            return
        block = setup.last_block.get(task.block, task.block)
        streak = task.streak + 1 if outcome.prediction == task.prediction else 1
        confidence = streak / len(self.thresholds) if setup.patience else outcome.confidence
        is_traced = setup.trace > 0 and traced(task.item, setup.trace)
        queues = (self.waiting, len(self.output_queue)) if is_traced else (0, 0)
        if leaves(block, confidence, self.thresholds, setup.early_exit):
            verdict = "exit"
            self._remember((self._now, LEFT, task.item, task.attempt, block, entry.sender))
            self._exit(task, block, outcome.prediction, confidence)
        else:
            following = task.following(block + 1, outcome, streak, setup.rank)
            verdict = self._place(following, entry.sender)
        if is_traced:
            row = compute_step(
                now=self._now,
                rank=setup.rank,
                entry=entry,
                batch=batch,
                confidence=confidence,
                threshold=self.thresholds[block - 1],
                prediction=outcome.prediction,
                verdict=verdict,
                queues=queues,
                gamma_s=self.gamma_s,
                prices=self._prices,
            )
            self._out.append(Note(row))

    def _exit(self, task: Task, block: int, prediction: int, confidence: float) -> None:
        self.counters.exits[block - 1] += 1
        threshold = self.thresholds[block - 1]
        self._send_home(task.result(block, prediction, confidence, threshold, self.setup.rank))

    def _move_away(self, entry: Entry, move: Move) -> None:
        """``entry`` is for nothing: it gets to no queue any more."""
        task = entry.task
        self._remember((self._now, move, task.item, task.attempt, task.block, entry.sender))

    # --- health of neighbours -----------------------------------------------------------------

    def _watch(self, neighbour: Neighbour) -> None:
        """Suspect a neighbour that has been silent for too long, and say so once.

        One that has left may be silent, unless it left with work to do.
        """
        limit = self.setup.suspect_after_s
        silence_s = self._now - neighbour.heard_s
        if not limit or neighbour.suspected or silence_s <= limit:
            return
        if neighbour.left and not neighbour.may_hold_items:
            return
        neighbour.suspected = True
        self._event("warning", "suspect", f"rank {neighbour.rank} silent for {silence_s:.1f} s")
        self._give_up(neighbour)

    def _give_up(self, neighbour: Neighbour) -> None:
        """Tell the source what may be with a neighbour that is gone.

        What rank 0 has is not lost while there is a ledger at all: the source lives there.
        """
        if neighbour.may_hold_items and neighbour.rank != SOURCE:
            self._out.append(ReportSuspect(neighbour.rank, neighbour.give_up()))

    # --- what the run files learn ---------------------------------------------------------------

    def _event(self, level: str, kind: str, text: str) -> None:
        row = EventRow(t_s=self._now, rank=self.setup.rank, level=level, kind=kind, text=text)
        self._out.append(Note(row))

    # --- for the subclass -----------------------------------------------------------------------

    @abstractmethod
    def _place(self, task: Task, sender: int, admitted: bool = False) -> str:
        """Let a new task wait; returns the name of the queue."""

    @abstractmethod
    def _take_in(self, task: Task, sender: int) -> None:
        """A task that a neighbour sent."""

    @abstractmethod
    def _send_home(self, result: Result) -> None:
        """A result that was made here, or that a neighbour sent."""

    @abstractmethod
    def _settle(self) -> list[Instruction]:
        """Serve links and engine; all instructions since ``_begin``."""

    @abstractmethod
    def _send(self, neighbour: Neighbour, body: Task | Result | None = None) -> None:
        """A message with this worker's state."""

    @abstractmethod
    def _must_tell(self, neighbour: Neighbour) -> bool:
        """News, or silence for so long that a heartbeat is due."""

    @abstractmethod
    def _restless(self) -> bool:
        """Whether a task waits for a link, or some neighbour does not know the state."""

    @abstractmethod
    def _forget(self, rank: int) -> None:
        """The neighbour ``rank`` starts afresh."""


REACTIONS: dict[type[Event], Callable[[Any, Any], None]] = Known(
    "a worker has no reaction to",
    {
        Arrived: WorkerBase._arrived,
        Computed: WorkerBase._computed,
        LinkFree: WorkerBase._link_free,
        Delivered: WorkerBase._delivered,
        Refused: WorkerBase._refused,
        Cancelled: WorkerBase._cancelled,
        ThresholdsSet: WorkerBase._thresholds_set,
        Presence: WorkerBase._presence,
        Tick: WorkerBase._tick,
    },
)
"""The only way in for an event; ``node.TO_SOURCE`` has those that are for the source."""
WorkerBase.reactions = REACTIONS
