"""The worker of algorithms 1 and 2, and of their rivals: an input queue and an output queue.

Whatever the event was, the worker then looks at its output queue (algorithm 2) and, when the engine
is free, at its input queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mdibench.core.events import Compute, Finish, Instruction, Note, Send
from mdibench.core.neighbours import Neighbour
from mdibench.core.queues import Entry, TaskQueue, tasks_of
from mdibench.core.records import SOURCE, Result, State, Task
from mdibench.core.rows import keep_step, send_step, traced
from mdibench.core.setup import WorkerSetup
from mdibench.core.transitions import (
    ADMITTED,
    HOSTED,
    KEPT,
    NEXT_HERE,
    NEXT_OFFERED,
    OFFERED_RAW,
    OFFLOADED,
    RELAYED,
    STARTED,
    VOID_ARRIVED,
    Known,
    Move,
    Place,
)
from mdibench.core.worker_base import WorkerBase
from mdibench.errors import InvariantError
from mdibench.policy.algorithms import (
    Generator,
    Keep,
    Offload,
    OffloadDecision,
    OffloadView,
    PlacingView,
    Wait,
)


class Worker(WorkerBase[TaskQueue]):
    """The state machine of one worker with the two queues of algorithms 1 and 2."""

    def __init__(self, setup: WorkerSetup, generator: Generator, now: float = 0.0) -> None:
        super().__init__(setup, generator, now)
        self.input_queue = TaskQueue(setup.queue_capacity)
        self.output_queue = TaskQueue(setup.queue_capacity)
        self._ways: dict[int, list[Neighbour]] = {}
        self._turn = 0
        self._queues: dict[Place, TaskQueue] = {
            "input queue": self.input_queue,
            "output queue": self.output_queue,
        }
        self._startable = self._queues[STARTED.before]

    @property
    def waiting(self) -> int:
        """|I_n|: tasks that wait to be computed, those that the engine got in advance included."""
        return len(self.input_queue.entries) + self._ahead

    @property
    def queued(self) -> int:
        """q = |I_n| + |O_n|."""
        return self.waiting + len(self.output_queue)

    # --- algorithm 1: exit, input queue or output queue ---------------------------------------

    def _place(self, task: Task, sender: int, admitted: bool = False) -> str:
        """Put a new task into one of the queues, as the scheme says; returns which."""
        setup = self.setup
        hosts = task.block in setup.blocks
        if admitted and hosts and not setup.offers_raw:
            joins_input = True
        else:
            output_queue = len(self.output_queue.entries)
            joins_input = setup.scheme.place(
                PlacingView(
                    task.block, hosts, self.waiting, output_queue, setup.output_limit, admitted
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
        startable, batches = self._startable, self._batches
        while startable.entries and len(batches) <= self.setup.lookahead:
            batch = startable.pop_batch(self.setup.max_batch, self._now)
            if batches:
                self._ahead += len(batch)
            batches.append(batch)
            self._out.append(Compute(tasks_of(batch)))
        return self._out

    def _offload_head(self) -> bool:
        """One decision about the head of O_n; whether it left."""
        entry = self.output_queue.head
        hosts = entry.task.block in self.setup.blocks
        ways = self._open_ways(entry, hosts)
        if not (ways or hosts):
            return False  # there is nothing to decide: any policy waits
        view = OffloadView(
            block=entry.task.block,
            hosts_block=hosts,
            input_queue=self.waiting,
            output_queue=len(self.output_queue.entries),
            gamma_s=self.gamma_s,
            candidates=tuple([neighbour.as_candidate() for neighbour in ways]),
            turn=self._turn,
        )
        decision = self.setup.scheme.offload(view, self._generator)
        answer = DECISIONS[type(decision)]
        if answer is None:
            return False
        move, act = answer
        self._turn += 1
        act(self, decision, view, self._queues[move.before].pop(self._now))
        return True

    def _open_ways(self, entry: Entry, hosts: bool) -> list[Neighbour]:
        """Neighbours to offer a task to. A mere relay does not hand it back unless it must."""
        task, window = entry.task, self.setup.link_window
        block = task.block
        if block not in self._ways:
            ranks = self.setup.next_hops.get(block, ())
            self._ways[block] = [self.neighbours[rank] for rank in ranks]
        ways = self._ways[block]
        if not hosts and task.path[-1:] != (self.setup.rank,):
            trusted = [n for n in ways if not (n.suspected or n.left)]
            ways = [n for n in trusted if n.rank != entry.sender] or trusted
        return [n for n in ways if n.under_way < window and not (n.suspected or n.left)]

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
            row = send_step(
                now=self._now,
                rank=self.setup.rank,
                entry=entry,
                rule=decision.rule,
                queues=(view.input_queue, view.output_queue),
                gamma_s=view.gamma_s,
                target=neighbour,
            )
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

    def _forget(self, rank: int) -> None:
        self._ways.clear()

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


Act: TypeAlias = Callable[[Worker, Any, OffloadView, Entry], None]
DECISIONS: dict[type[OffloadDecision], tuple[Move, Act] | None] = Known(
    "a worker has no answer to the decision",
    {Keep: (KEPT, Worker._keep), Offload: (OFFLOADED, Worker._offload), Wait: None},
)
"""What becomes of the head of O_n: the move, and who makes it."""
