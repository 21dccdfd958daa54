"""The worker of scheme ``pressure``: a line per block, served by prices (``policy.pressure``).

Kinds of messages count from 0: kind k - 1 are tasks of block k, the last kind are results. What a
free link or engine takes next is the kind whose price falls most. Only what an event may have
changed is looked at again: a link that is free or whose end told new prices, a kind that grew;
``Tick`` looks at everything.
"""

from __future__ import annotations

from collections import deque
from math import inf

from mdibench.core.events import (
    Arrived,
    Compute,
    Computed,
    Delivered,
    Finish,
    Instruction,
    LinkFree,
    Note,
    Send,
    Tick,
)
from mdibench.core.neighbours import Neighbour, smoothed
from mdibench.core.pricing import USUAL_HOP_S, PricedLink
from mdibench.core.queues import BlockQueue, Entry
from mdibench.core.records import SOURCE, Result, State, Task
from mdibench.core.rows import send_step, traced
from mdibench.core.setup import WorkerSetup
from mdibench.core.transitions import (
    ADMITTED,
    FORWARDED,
    HOSTED,
    NEXT_HERE,
    NEXT_OFFERED,
    OFFERED_RAW,
    OFFLOADED,
    RELAYED,
    VOID_ARRIVED,
    VOID_LEAVING,
    VOID_WAITING,
    Known,
    Move,
)
from mdibench.core.worker_base import REACTIONS, WorkerBase
from mdibench.errors import InvariantError
from mdibench.policy.pressure import (
    WORK_LIMIT,
    HopView,
    block_pressure,
    hop_pressure,
    result_pressure,
)
from mdibench.policy.views import Generator, Offload, OffloadView

USUAL_BLOCK_S = 0.005
"""Stands in for block times as long as none was measured here."""
NOTABLE_LENGTH = 0.05
NOTABLE_WAY = 0.1
"""Relative changes of a price and of a distance that neighbours are told of."""


class PressureWorker(WorkerBase):
    """The state machine of one worker whose links and engine go by prices."""

    input_queue: BlockQueue
    output_queue: BlockQueue

    def __init__(self, setup: WorkerSetup, generator: Generator, now: float = 0.0) -> None:
        super().__init__(setup, generator, now)
        exits = len(setup.thresholds)
        self.input_queue = BlockQueue(setup.queue_capacity, exits)
        self.output_queue = BlockQueue(setup.queue_capacity, exits)
        self.lengths = [0] * (exits + 1)
        """Messages of each kind that are here, those in the engine included."""
        self.ways_s = [inf] * (exits + 1)
        """Distance to the finish of each kind: compute and link times, without waiting."""
        self.block_s = [0.0] * exits
        """Mean time of one task; 0 where none was computed."""
        self._computed_tasks = [0] * exits
        self._gone_on = [0] * exits
        self._own_ways_s = [inf] * exits
        self._via_s = [inf] * (exits + 1)
        self._per_s = 1 / USUAL_BLOCK_S
        self._results: deque[Result] = deque()
        self._hosted = [block in setup.blocks for block in range(1, exits + 1)]
        self._kinds = [block - 1 for block in sorted(setup.blocks)]
        self._only_here = [
            hosted and not setup.next_hops.get(kind + 1) for kind, hosted in enumerate(self._hosted)
        ]
        """Kinds that nobody else computes: they never leave."""
        self._result_kind = exits
        self._links = {
            rank: PricedLink(
                frozenset(block - 1 for block in setup.outgoing.get(rank, ())),
                exits + 1,
                setup.link_window,
            )
            for rank in setup.neighbours
        }
        self._open: set[int] = set()
        self._grown: set[int] = set()
        self._measure_ways()

    @property
    def waiting(self) -> int:
        """|I_n|: tasks that wait to be computed, those that the engine got in advance included."""
        return len(self.input_queue) + self._ahead

    @property
    def room(self) -> int:
        """Raw items that the source may admit until their price is V."""
        return self.setup.pressure.admission_price - self.lengths[0]

    # --- reactions --------------------------------------------------------------------------

    def _arrived(self, event: Arrived) -> None:
        if event.sender in self._links and self._links[event.sender].hear(event.state):
            self._open.add(event.sender)
            self._known_state = None
        if isinstance(event.body, Result):
            self.neighbours[event.sender].received += 1
        super()._arrived(event)

    def _computed(self, event: Computed) -> None:
        if self._batches:
            batch = self._batches[0]
            kind = batch[0].task.block - 1
            one_s = event.seconds / len(batch)
            self.block_s[kind] = smoothed(self.block_s[kind], one_s, self.setup.smoothing)
            self.lengths[kind] -= len(batch)
            self._computed_tasks[kind] += len(batch)
            self._known_state = None
        super()._computed(event)

    def _link_free(self, event: LinkFree) -> None:
        super()._link_free(event)
        setup = self.setup
        self._links[event.target].note_free(self._now, setup.smoothing, setup.link_window)
        self._open.add(event.target)

    def _delivered(self, event: Delivered) -> None:
        super()._delivered(event)
        self._links[event.target].note_delivered(event.seconds, self.setup.smoothing)

    def _tick(self, event: Tick) -> None:
        self._measure_ways()
        super()._tick(event)
        if any(self.lengths):
            self._open.update(self.setup.outgoing)
        self._known_state = () if not any(self.lengths) else None

    def _forget(self, rank: int) -> None:
        self._links[rank].restart()

    # --- what waits -------------------------------------------------------------------------

    def _place(self, task: Task, sender: int, admitted: bool = False) -> str:
        hosted = self._hosted[task.block - 1]
        if admitted:
            move = ADMITTED if hosted else OFFERED_RAW
        else:
            move = NEXT_HERE if hosted else NEXT_OFFERED
            self._gone_on[task.block - 2] += 1
        self._remember((self._now, move, task.item, task.attempt, task.block, sender))
        self._put(Entry(task, self._now, sender))
        return "input" if hosted else "output"

    def _move_away(self, entry: Entry, move: Move) -> None:
        super()._move_away(entry, move)
        if move in (VOID_WAITING, VOID_LEAVING):
            self.lengths[entry.task.block - 1] -= 1
            self._known_state = None

    def _take_in(self, task: Task, sender: int) -> None:
        if task.item in self._void:
            self._move_away(Entry(task, self._now, sender), VOID_ARRIVED)
            return
        move = HOSTED if self._hosted[task.block - 1] else RELAYED
        self._remember((self._now, move, task.item, task.attempt, task.block, sender))
        self._put(Entry(task, self._now, sender))

    def _put(self, entry: Entry) -> None:
        kind = entry.task.block - 1
        self.lengths[kind] += 1
        self._grown.add(kind)
        self._known_state = None
        if self._hosted[kind]:
            to_stay = entry.task.hops >= self.setup.pressure.hop_limit
            self.input_queue.put(entry, to_stay)
        else:
            self.output_queue.put(entry)

    def _send_home(self, result: Result) -> None:
        if self.setup.rank == SOURCE:
            self._out.append(Finish(result))
            return
        if not self.setup.outgoing:
            raise InvariantError("no neighbour leads to the source", result.item)
        self._results.append(result)
        self.lengths[self._result_kind] += 1
        self._grown.add(self._result_kind)
        self._known_state = None

    def _line(self, kind: int) -> deque[Entry]:
        queue = self.input_queue if self._hosted[kind] else self.output_queue
        return queue.lines[kind]

    def _waits(self, kind: int) -> bool:
        """Whether a message of this kind waits for a link."""
        return bool(self._results if kind == self._result_kind else self._line(kind))

    # --- links --------------------------------------------------------------------------------

    def _settle(self) -> list[Instruction]:
        """Serve the links that may have something to gain, then the engine."""
        while self._grown or self._open:
            if self._grown:
                self._serve_kind(self._grown.pop())
            else:
                self._serve_link(self._open.pop())
            self._serve_engine()
        self._serve_engine()
        return self._out

    def _serve_kind(self, kind: int) -> None:
        """Send messages of a kind by the links that gain most, as long as one gains."""
        while self._waits(kind):
            best, most = None, 0.0
            for rank in self.setup.outgoing:
                if self._is_open(rank) and (gain := self._pressure(rank, kind)) > most:
                    best, most = rank, gain
            if best is None:
                return
            self._transfer(best, kind)

    def _serve_link(self, rank: int) -> None:
        """Send the kinds with most to gain per second of the link's time, while it has room."""
        while rank in self.setup.outgoing and self._is_open(rank):
            best, most = None, 0.0
            seconds = self._links[rank].transmission_s
            for kind in range(self._result_kind + 1):
                if self._waits(kind) and (gain := self._pressure(rank, kind)) > 0.0:
                    gain /= seconds[kind] or USUAL_HOP_S
                    if gain > most:
                        best, most = kind, gain
            if best is None:
                return
            self._transfer(rank, best)

    def _is_open(self, rank: int) -> bool:
        neighbour = self.neighbours[rank]
        free = neighbour.under_way < self._links[rank].window
        return free and not (neighbour.suspected or neighbour.left)

    def _pressure(self, rank: int, kind: int) -> float:
        """What is gained by sending a message of a kind that waits, in messages."""
        link = self._links[rank]
        there_s = link.ways_s[kind]
        if there_s == inf:
            return 0.0
        fall = self.lengths[kind] - link.lengths[kind] - link.unread[kind]
        if kind == self._result_kind:
            return result_pressure(fall, self._via_s[kind] - there_s, link.delay_s, self._per_s)
        if self._only_here[kind]:
            return 0.0
        task = self._line(kind)[0].task
        hosted, hosted_there = self._hosted[kind], kind in link.hosts
        hop = HopView(
            fall=fall,
            here_s=self._own_ways_s[kind] if hosted else self._via_s[kind],
            there_s=there_s,
            cost_s=link.hop_s(kind),
            hosted_here=hosted,
            hosted_there=hosted_there,
            own_work_s=self._work_s() if hosted else 0.0,
            its_work_s=link.work_s if hosted_there else 0.0,
            outward=link.ways_s[self._result_kind] > self.ways_s[self._result_kind],
            hops=task.hops,
        )
        return hop_pressure(hop, self._per_s, self.setup.pressure.threshold)

    def _work_s(self) -> float:
        """Compute time of what is here, as far as it counts."""
        work_s = sum([self.lengths[kind] * self.block_s[kind] for kind in self._kinds])
        return min(work_s, WORK_LIMIT / self._per_s)

    def _transfer(self, rank: int, kind: int) -> None:
        neighbour, link = self.neighbours[rank], self._links[rank]
        body: Task | Result
        if kind == self._result_kind:
            body = self._results.popleft()
        else:
            body = self._take_out(neighbour, kind)
        self.lengths[kind] -= 1
        neighbour.note_sent((body.item, body.attempt))
        link.note_sent(kind, self._now)
        self._under_way += 1
        self._send(neighbour, body)

    def _take_out(self, neighbour: Neighbour, kind: int) -> Task:
        hosted = self._hosted[kind]
        queue, move = (self.input_queue, FORWARDED) if hosted else (self.output_queue, OFFLOADED)
        view = self._view(kind)
        entry = queue.take(kind, self._now)
        task = entry.task
        self._remember((self._now, move, task.item, task.attempt, task.block, neighbour.rank))
        if traced(task.item, self.setup.trace):
            decision = Offload(neighbour.rank, "price")
            rank = self.setup.rank
            self._out.append(Note(send_step(self._now, rank, entry, decision, view, neighbour)))
        neighbour.ping_pongs += bool(task.path or task.hops) and entry.sender == neighbour.rank
        return task.moved(hops=1)

    def _view(self, kind: int) -> OffloadView:
        return OffloadView(
            block=kind + 1,
            hosts_block=self._hosted[kind],
            input_queue=self.waiting,
            output_queue=len(self.output_queue),
            gamma_s=self.gamma_s,
            candidates=(),
            turn=0,
        )

    # --- engine -------------------------------------------------------------------------------

    def _serve_engine(self) -> None:
        """Give the engine batches of the block with most to gain per second, while it has room."""
        while len(self._batches) <= self.setup.lookahead and len(self.input_queue):
            best, most = None, 0.0
            for kind in self._kinds:
                if not (self.input_queue.lines[kind] or self.input_queue.staying[kind]):
                    continue
                seconds = self.block_s[kind] or USUAL_BLOCK_S
                gain = self._block_pressure(kind, seconds) / seconds
                if gain > most:
                    best, most = kind, gain
            if best is None:
                return
            batch = self.input_queue.take_batch(best, self.setup.max_batch, self._now)
            self._ahead += len(batch) if self._batches else 0
            self._batches.append(batch)
            self._out.append(Compute(tuple(entry.task for entry in batch)))

    def _block_pressure(self, kind: int, seconds: float) -> float:
        following = self._following(kind)
        lengths, results = self.lengths, self.lengths[self._result_kind]
        bias = self._per_s * seconds
        return block_pressure(lengths[kind], lengths[following], results, self._goes_on(kind), bias)

    def _following(self, kind: int) -> int:
        """The kind that a call which begins with ``kind`` leaves behind."""
        return self.setup.last_block.get(kind + 1, kind + 1)

    def _goes_on(self, kind: int) -> float:
        """q_k: the share of tasks that go on after the call; 1 where none was computed."""
        last = self._following(kind)
        if last == self._result_kind:
            return 0.0
        return (self._gone_on[last - 1] + 1) / (self._computed_tasks[kind] + 1)

    # --- distances ----------------------------------------------------------------------------

    def _measure_ways(self) -> None:
        """Distances to the finish, from own block times and what neighbours told (Bellman-Ford)."""
        known = [seconds for kind in self._kinds if (seconds := self.block_s[kind])]
        if known:
            self._per_s = len(known) / sum(known)
        via_s = self._via_s = self._shortest_ways()
        last = self._result_kind
        self.ways_s[last] = 0.0 if self.setup.rank == SOURCE else via_s[last]
        for kind in reversed(range(last)):
            self.ways_s[kind] = via_s[kind]
            if self._hosted[kind]:
                self._own_ways_s[kind] = self._own_way(kind)
                self.ways_s[kind] = min(via_s[kind], self._own_ways_s[kind])

    def _shortest_ways(self) -> list[float]:
        via_s = [inf] * (self._result_kind + 1)
        for rank in self.setup.outgoing:
            neighbour, link = self.neighbours[rank], self._links[rank]
            if neighbour.suspected or neighbour.left:
                continue
            for kind, there_s in enumerate(link.ways_s):
                way_s = there_s + link.hop_s(kind)
                if way_s < via_s[kind]:
                    via_s[kind] = way_s
        return via_s

    def _own_way(self, kind: int) -> float:
        goes_on, home_s = self._goes_on(kind), self.ways_s[self._result_kind]
        after_s = (1 - goes_on) * home_s if goes_on < 1 else 0.0
        if goes_on:
            after_s += goes_on * self.ways_s[self._following(kind)]
        return self.block_s[kind] + after_s

    # --- what neighbours know -----------------------------------------------------------------

    def _send(self, neighbour: Neighbour, body: Task | Result | None = None) -> None:
        told = (*self.lengths, *self.ways_s, self._work_s())
        self._links[neighbour.rank].told = told
        neighbour.note_told(self.waiting, self.gamma_s, self._now)
        state = State(self.waiting, self.gamma_s, neighbour.received, told)
        self._out.append(Send(neighbour.rank, state, body))

    def _must_tell(self, neighbour: Neighbour) -> bool:
        if self._now - neighbour.spoken_s >= self._heartbeat_s:
            return True
        if neighbour.left or neighbour.suspected:
            return False
        told = self._links[neighbour.rank].told
        idle = not any(self.lengths)
        if not told or (idle and neighbour.needs_telling(self.waiting, self.gamma_s)):
            return True
        kinds = len(self.lengths)
        lengths = zip(self.lengths, told, strict=False)
        if any(now != then and abs(now - then) > NOTABLE_LENGTH * then for now, then in lengths):
            return True
        ways = zip(self.ways_s, told[kinds:], strict=False)
        return any(_moved(now, then) for now, then in ways)

    def _restless(self) -> bool:
        """Whether something waits, or something has happened that neighbours may have to know."""
        return self._known_state is None


def _moved(now_s: float, told_s: float) -> bool:
    """Whether a distance is another one than a neighbour was told."""
    if told_s == inf:
        return now_s < inf
    return now_s != told_s and abs(now_s - told_s) > NOTABLE_WAY * told_s


PressureWorker.reactions = Known(
    "a worker has no reaction to",
    {
        **REACTIONS,
        Arrived: PressureWorker._arrived,
        Computed: PressureWorker._computed,
        LinkFree: PressureWorker._link_free,
        Delivered: PressureWorker._delivered,
        Tick: PressureWorker._tick,
    },
)
