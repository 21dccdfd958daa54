"""Worker n: two queues, an engine that runs one batch at a time, and what it knows of neighbours.

``handle(event, now)`` answers with instructions and never does anything itself. Whatever the
event was, the worker then looks at its output queue (algorithm 2) and, when the engine is free, at
its input queue. The table ``REACTIONS`` is the whole list of what can happen to a worker,
``transitions.TASK_MOVES`` the whole list of moves that a task can make on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mdibench.core.events import (
    Arrived,
    Cancelled,
    Compute,
    Computed,
    Delivered,
    Event,
    Finish,
    Instruction,
    LinkFree,
    Note,
    Presence,
    Refused,
    ReportSuspect,
    Send,
    ThresholdsSet,
    Tick,
)
from mdibench.core.neighbours import Neighbour, smoothed
from mdibench.core.queues import Entry, TaskQueue
from mdibench.core.records import SOURCE, Outcome, Result, State, Task
from mdibench.core.rows import EventRow, compute_step, keep_step, send_step, traced
from mdibench.core.setup import WorkerSetup
from mdibench.core.story import Known, Story, listed
from mdibench.core.transitions import (
    ADMITTED,
    HOSTED,
    KEPT,
    LEFT,
    NEXT_HERE,
    NEXT_OFFERED,
    OFFERED_RAW,
    OFFLOADED,
    RELAYED,
    STARTED,
    VOID_ARRIVED,
    VOID_COMPUTED,
    VOID_LEAVING,
    VOID_WAITING,
    Move,
    Place,
)
from mdibench.errors import InvariantError
from mdibench.policy.exits import leaves
from mdibench.policy.views import (
    Candidate,
    Generator,
    Keep,
    Offload,
    OffloadDecision,
    OffloadView,
    PlacingView,
    Wait,
)

STALL = 1.5
"""Heartbeats without a tick after which a worker takes itself for the one that stood still."""


@dataclass(slots=True)
class Counters:
    """Cumulative since the start."""

    exits: list[int]
    """Items that left here, by exit."""
    tasks: int = 0
    busy_s: float = 0.0
    """Time of the engine."""
    send_s: float = 0.0
    """Time without a batch while a link was taking a task."""
    wait_s: float = 0.0
    """Time without a batch or a transfer while tasks waited in the output queue."""


class Worker:
    """The state machine of one worker."""

    def __init__(self, setup: WorkerSetup, generator: Generator, now: float = 0.0) -> None:
        self.setup = setup
        self.thresholds = setup.thresholds
        self.input_queue = TaskQueue(setup.queue_capacity)
        self.output_queue = TaskQueue(setup.queue_capacity)
        self.gamma_s = 0.0
        self.counters = Counters(exits=[0] * len(setup.thresholds))
        self.neighbours: dict[int, Neighbour] = Known(
            "no neighbour is rank",
            {rank: Neighbour(rank, now, setup.queue_capacity) for rank in setup.neighbours},
        )
        self._ways: dict[int, list[Neighbour]] = {}
        self._batches: deque[list[Entry]] = deque()
        self._ahead = 0
        self._generator = generator
        self._turn = 0
        self._under_way = 0
        self._last_tick_s = now
        self._void: dict[int, None] = {}
        """Items that the source is done with, the latest last; some copies may still come."""
        self._known_state: tuple[int, float] | None = None
        """A state that needs no more telling."""
        self._heartbeat_s = setup.heartbeat_s
        self._shortest_pause_s = min(setup.gossip_s, setup.heartbeat_s)
        self._out: list[Instruction] = []
        self._now = now
        self._queues: dict[Place, TaskQueue] = {
            "input queue": self.input_queue,
            "output queue": self.output_queue,
        }
        self._startable = self._queues[STARTED.before]
        self._story = Story()
        self._remember = self._story.remember

    # --- the interface ----------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """What to do about ``event`` at time ``now`` (seconds on this worker's clock)."""
        self._begin(now)
        try:
            REACTIONS[type(event)](self, event)
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
    def waiting(self) -> int:
        """|I_n|: tasks that wait to be computed, those that the engine got in advance included."""
        return len(self.input_queue.entries) + self._ahead

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
        batches = [[_name(entry) for entry in batch] for batch in self._batches]
        return [
            f"worker {self.setup.rank} at {self._now:.6f} s",
            *[
                f"{place} {listed(map(_name, queue.entries), len(queue))}"
                for place, queue in self._queues.items()
            ],
            f"batches at the engine {listed(batches, len(batches))}",
            *self._story.tell(item),
            *[f"neighbour {neighbour.summary()}" for neighbour in self.neighbours.values()],
        ]

    def _begin(self, now: float) -> None:
        """Book the time since the last event, during which nothing changed."""
        elapsed_s = now - self._now
        if not self._batches:
            if self._under_way:
                self.counters.send_s += elapsed_s
            elif self.output_queue.entries:
                self.counters.wait_s += elapsed_s
        self._out, self._now = [], now

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
        if not self._batches or len(event.outcomes) != len(self._batches[0]):
            raise InvariantError(f"{len(event.outcomes)} outcomes for {self.computing} tasks")
        batch = self._batches.popleft()
        self._ahead -= self.computing
        seconds = event.seconds / len(batch)
        self.gamma_s = smoothed(self.gamma_s, seconds, self.setup.smoothing)
        self.counters.tasks += len(batch)
        self.counters.busy_s += event.seconds
        for entry, outcome in zip(batch, event.outcomes, strict=True):
            self._judge(entry, outcome, (len(batch), event.seconds))

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
        for move in (VOID_WAITING, VOID_LEAVING):
            for entry in self._queues[move.before].drop(items, self._now):
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
            self.neighbours[event.rank] = newcomer
            self._ways.clear()
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

    # --- algorithm 1: exit, input queue or output queue ---------------------------------------

    def _judge(self, entry: Entry, outcome: Outcome, batch: tuple[int, float]) -> None:
        task, setup = entry.task, self.setup
        if task.item in self._void:
            self._move_away(entry, VOID_COMPUTED)
            return
        block = setup.last_block.get(task.block, task.block)
        streak = task.streak + 1 if outcome.prediction == task.prediction else 1
        confidence = streak / len(self.thresholds) if setup.patience else outcome.confidence
        input_queue, output_queue = self.waiting, len(self.output_queue)
        if leaves(block, confidence, self.thresholds, setup.early_exit):
            verdict = "exit"
            self._remember((self._now, LEFT, task.item, task.attempt, block, entry.sender))
            self._exit(task, block, outcome.prediction, confidence)
        else:
            following = Task(
                item=task.item,
                block=block + 1,
                payload=outcome.payload,
                payload_bytes=outcome.payload_bytes,
                prediction=outcome.prediction,
                streak=streak,
                path=(*task.path, setup.rank),
                hops=task.hops,
                wire_bytes=task.wire_bytes,
                attempt=task.attempt,
                sample=task.sample,
            )
            verdict = self._place(following, entry.sender)
        if traced(task.item, setup.trace):
            row = compute_step(
                now=self._now,
                rank=setup.rank,
                entry=entry,
                batch=batch[0],
                batch_s=batch[1],
                confidence=confidence,
                threshold=self.thresholds[task.block - 1],
                prediction=outcome.prediction,
                verdict=verdict,
                input_queue=input_queue,
                output_queue=output_queue,
                gamma_s=self.gamma_s,
            )
            self._out.append(Note(row))

    def _exit(self, task: Task, block: int, prediction: int, confidence: float) -> None:
        self.counters.exits[block - 1] += 1
        self._send_home(
            Result(
                item=task.item,
                exit=block,
                prediction=prediction,
                confidence=confidence,
                threshold=self.thresholds[block - 1],
                path=(*task.path, self.setup.rank),
                hops=task.hops,
                wire_bytes=task.wire_bytes,
                attempt=task.attempt,
            )
        )

    def _place(self, task: Task, sender: int, admitted: bool = False) -> str:
        """Put a new task into one of the queues, as the scheme says; returns which."""
        setup = self.setup
        hosts = task.block in setup.blocks
        if admitted and hosts and not setup.offers_raw:
            joins_input = True
        else:
            joins_input = setup.scheme.place(
                PlacingView(
                    block=task.block,
                    hosts_block=hosts,
                    input_queue=self.waiting,
                    output_queue=len(self.output_queue.entries),
                    output_limit=setup.output_limit,
                    admitted=admitted,
                )
            )
        if admitted:
            move = ADMITTED if joins_input else OFFERED_RAW
        else:
            move = NEXT_HERE if joins_input else NEXT_OFFERED
        self._join(Entry(task, self._now, sender), move)
        return "input" if joins_input else "output"

    def _take_in(self, task: Task, sender: int) -> None:
        """A task that a neighbour sent: compute it here, or pass it on toward a host."""
        if task.item in self._void:
            self._move_away(Entry(task, self._now, sender), VOID_ARRIVED)
            return
        hosts = task.block in self.setup.blocks
        self._join(Entry(task, self._now, sender), HOSTED if hosts else RELAYED)

    def _join(self, entry: Entry, move: Move) -> None:
        """``entry`` gets to the queue that ``move`` names."""
        task = entry.task
        self._remember((self._now, move, task.item, task.attempt, task.block, entry.sender))
        self._queues[move.after].put(entry)

    def _move_away(self, entry: Entry, move: Move) -> None:
        """``entry`` is for nothing: it gets to no queue any more."""
        task = entry.task
        self._remember((self._now, move, task.item, task.attempt, task.block, entry.sender))

    def _send_home(self, result: Result) -> None:
        if self.setup.rank == SOURCE:
            self._out.append(Finish(result))
        else:
            way = self._way_home(result)
            if way.rank != SOURCE:
                way.note_passed((result.item, result.attempt))
            self._send(way, result)

    def _way_home(self, result: Result) -> Neighbour:
        """The first neighbour toward the source that is there; the very first if none is."""
        ranks = self.setup.toward_source
        if not ranks:
            raise InvariantError("no neighbour leads to the source", result.item)
        for rank in ranks:
            neighbour = self.neighbours[rank]
            if not (neighbour.suspected or neighbour.left):
                return neighbour
        return self.neighbours[ranks[0]]

    # --- algorithm 2: keep or offload ----------------------------------------------------------

    def _settle(self) -> list[Instruction]:
        """Serve the output queue as far as the policy wants, then the engine."""
        while self.output_queue.entries and self._offload_head():
            pass
        while self._startable.entries and len(self._batches) <= self.setup.lookahead:
            batch = self._startable.pop_batch(self.setup.max_batch, self._now)
            self._ahead += len(batch) if self._batches else 0
            self._batches.append(batch)
            self._out.append(Compute(tuple([entry.task for entry in batch])))
        return self._out

    def _offload_head(self) -> bool:
        """One decision about the head of O_n; whether it left."""
        view = self._offload_view(self.output_queue.head)
        decision = self.setup.scheme.offload(view, self._generator)
        answer = DECISIONS[type(decision)]
        if answer is None:
            return False
        move, act = answer
        self._turn += 1
        act(self, decision, view, self._queues[move.before].pop(self._now))
        return True

    def _offload_view(self, entry: Entry) -> OffloadView:
        block = entry.task.block
        hosts = block in self.setup.blocks
        made_here = entry.task.path[-1:] == (self.setup.rank,)
        return OffloadView(
            block=block,
            hosts_block=hosts,
            input_queue=self.waiting,
            output_queue=len(self.output_queue.entries),
            gamma_s=self.gamma_s,
            candidates=self._candidates(block, None if hosts or made_here else entry.sender),
            turn=self._turn,
        )

    def _candidates(self, block: int, came_from: int | None) -> tuple[Candidate, ...]:
        """Neighbours to offer a task to. A mere relay does not hand it back unless it must."""
        if block not in self._ways:
            ranks = self.setup.next_hops.get(block, ())
            self._ways[block] = [self.neighbours[rank] for rank in ranks]
        trusted = [n for n in self._ways[block] if not (n.suspected or n.left)]
        if came_from is not None:
            trusted = [n for n in trusted if n.rank != came_from] or trusted
        window = self.setup.link_window
        return tuple([n.as_candidate() for n in trusted if n.under_way < window])

    def _keep(self, decision: Keep, view: OffloadView, entry: Entry) -> None:
        if traced(entry.task.item, self.setup.trace):
            row = keep_step(self._now, self.setup.rank, entry, decision, view)
            self._out.append(Note(row))
        self._join(Entry(entry.task, self._now, entry.sender), KEPT)

    def _offload(self, decision: Offload, view: OffloadView, entry: Entry) -> None:
        task = entry.task
        sent = (self._now, OFFLOADED, task.item, task.attempt, task.block, decision.target)
        self._remember(sent)
        neighbour = self.neighbours[decision.target]
        if traced(task.item, self.setup.trace):
            row = send_step(self._now, self.setup.rank, entry, decision, view, neighbour)
            self._out.append(Note(row))
        neighbour.ping_pongs += bool(task.path or task.hops) and entry.sender == neighbour.rank
        neighbour.note_sent((task.item, task.attempt))
        self._under_way += 1
        self._send(neighbour, task.moved(hops=1))

    # --- what neighbours know of each other ----------------------------------------------------

    def _send(self, neighbour: Neighbour, body: Task | Result | None = None) -> None:
        waiting, gamma_s = self.waiting, self.gamma_s
        if self._known_state != (waiting, gamma_s):
            self._known_state = None
        neighbour.note_told(waiting, gamma_s, self._now)
        state = State(waiting, gamma_s, neighbour.received)
        self._out.append(Send(neighbour.rank, state, body))

    def _must_tell(self, neighbour: Neighbour) -> bool:
        """News, or silence for so long that a heartbeat is due; a silent one gets heartbeats alone.

        It may have lost touch as well, and must learn that this worker is still there.
        """
        if not neighbour.suspected and neighbour.needs_telling(self.waiting, self.gamma_s):
            return True
        return self._now - neighbour.spoken_s >= self._heartbeat_s

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

    def _restless(self) -> bool:
        """Whether a task waits to be offloaded, or some neighbour does not know the state."""
        if self.output_queue.entries:
            return True
        state = (self.waiting, self.gamma_s)
        if state == self._known_state:
            return False
        for neighbour in self.neighbours.values():
            if not neighbour.suspected and neighbour.needs_telling(*state):
                return True
        self._known_state = state
        return False

    # --- what the run files learn ---------------------------------------------------------------

    def _event(self, level: str, kind: str, text: str) -> None:
        row = EventRow(t_s=self._now, rank=self.setup.rank, level=level, kind=kind, text=text)
        self._out.append(Note(row))


def _name(entry: Entry) -> str:
    """A waiting task in a story."""
    task = entry.task
    return f"item {task.item} attempt {task.attempt} block {task.block} since {entry.since_s:.6f} s"


REACTIONS: dict[type[Event], Callable[[Worker, Any], None]] = Known(
    "a worker has no reaction to",
    {
        Arrived: Worker._arrived,
        Computed: Worker._computed,
        LinkFree: Worker._link_free,
        Delivered: Worker._delivered,
        Refused: Worker._refused,
        Cancelled: Worker._cancelled,
        ThresholdsSet: Worker._thresholds_set,
        Presence: Worker._presence,
        Tick: Worker._tick,
    },
)
"""The only way in for an event; ``node.TO_SOURCE`` has those that are for the source."""

Act: TypeAlias = Callable[[Worker, Any, OffloadView, Entry], None]
DECISIONS: dict[type[OffloadDecision], tuple[Move, Act] | None] = Known(
    "a worker has no answer to the decision",
    {Keep: (KEPT, Worker._keep), Offload: (OFFLOADED, Worker._offload), Wait: None},
)
"""What becomes of the head of O_n: the move, and who makes it."""
