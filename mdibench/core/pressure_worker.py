"""The worker of scheme ``pressure``: a line per block, served by prices (``policy.pressure``).

Kinds of messages count from 0: kind k - 1 are tasks of block k, the last kind are results. What a
free link or engine takes next is the kind whose price falls most. Only what an event may have
changed is looked at again: a link that is free or whose end told new prices, a kind that grew;
``Tick`` looks at everything.
"""

from __future__ import annotations

from collections import deque
from typing import Any

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
from mdibench.core.neighbours import Neighbour
from mdibench.core.pricing import USUAL_HOP_S, Distances, PricedLink, cheapest
from mdibench.core.queues import BlockQueue, Entry, tasks_of
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
from mdibench.core.wire import HEADER_BYTES
from mdibench.core.worker_base import REACTIONS, WorkerBase
from mdibench.errors import InvariantError
from mdibench.policy.algorithms import Generator

PATIENCE = 4.0
"""A task that waits for this many times as long as V tasks take is served out of turn.

Where others gain more and go on coming, it would otherwise wait until they end.
"""
AGED_SHARE = 1 / 32
"""Share of an engine's or a link's time that such tasks take at most."""
AGED_LOOKS = 8
"""How often lines are looked at, while none waits so long, in the time after which one would."""
NONE: deque[Any] = deque(maxlen=0)
"""Stands for the line of messages that may not leave."""


class PressureWorker(WorkerBase[BlockQueue]):
    """The state machine of one worker whose links and engine go by prices."""

    def __init__(self, setup: WorkerSetup, generator: Generator, now: float = 0.0) -> None:
        super().__init__(setup, generator, now)
        exits = len(setup.thresholds)
        self.input_queue = BlockQueue(setup.queue_capacity, exits)
        self.output_queue = BlockQueue(setup.queue_capacity, exits)
        self.lengths = [0] * (exits + 1)
        """Messages of each kind that are here, those in the engine included."""
        self.prices = [0.0] * (exits + 1)
        """The same, and for a kind that is not computed here its price at the next hop."""
        self._results: deque[Result] = deque()
        self._hosted = [block in setup.blocks for block in range(1, exits + 1)]
        self._relayed = [kind for kind, here in enumerate(self._hosted) if not here]
        self._result_kind = exits
        self._leaving = [
            self.output_queue.lines[k] if not here else
            self.input_queue.lines[k] if setup.next_hops.get(k + 1) else NONE
            for k, here in enumerate(self._hosted)
        ] + [NONE if setup.rank == SOURCE else self._results]  # fmt: skip
        """What waits for a link, by kind: a task that nobody else computes stays."""
        following = [setup.last_block.get(block, block) for block in range(1, exits + 1)]
        self.distances = Distances(self._hosted, following, setup.rank == SOURCE)
        self.links = {
            rank: PricedLink(
                frozenset(block - 1 for block in setup.outgoing.get(rank, ())),
                exits + 1,
                setup.link_window,
            )
            for rank in setup.neighbours
        }
        self._sizes = [0] * exits + [HEADER_BYTES]
        """Bytes of a message of each kind without a codec; 0 where none was here."""
        self._ways: list[tuple[Neighbour, PricedLink]] = []
        """Where messages may go: what is known of each neighbour, and of its prices."""
        self._open: set[int] = set()
        self._grown: set[int] = set()
        self._own_work_s: float | None = None
        self._aged_from_s = now
        """When the engine may take a task out of turn again."""
        self._begun_at: deque[tuple[float, float]] = deque()
        """``prices`` of ``compute_step`` of the batches at the engine."""
        self._forget_ways()

    @property
    def waiting(self) -> int:
        """|I_n|: tasks that wait to be computed, those that the engine got in advance included."""
        return self.input_queue.length + self._ahead

    @property
    def room(self) -> int:
        """Raw items that the source may admit until their price is V."""
        return int(self.setup.pressure.admission_price - self.prices[0])

    # --- reactions --------------------------------------------------------------------------

    def _arrived(self, event: Arrived) -> None:
        link = self.links.get(event.sender)
        if link is not None:
            ways_s = link.ways_s
            if link.hear(event.state, self._now):
                if link.ways_s != ways_s:
                    link.value_hops(self.distances.worth_of(link, self.setup.pressure))
                link.reprice(self.distances.per_s, self._now)
                self._open.add(event.sender)
                self._known_state = None
        if isinstance(event.body, Result):
            self.neighbours[event.sender].received += 1
        super()._arrived(event)

    def _computed(self, event: Computed) -> None:
        if self._batches:
            batch = self._batches[0]
            if self._begun_at:
                self._prices = self._begun_at.popleft()
            kind = batch[0].task.block - 1
            one_s = event.seconds / len(batch)
            self.distances.note_computed(kind, len(batch), one_s, self.setup.smoothing)
            self._count(kind, -len(batch))
        super()._computed(event)

    def _link_free(self, event: LinkFree) -> None:
        super()._link_free(event)
        setup, link = self.setup, self.links[event.target]
        link.note_free(self._now, setup.smoothing, setup.link_window)
        link.count_unread(self._now)
        self._open.add(event.target)

    def _delivered(self, event: Delivered) -> None:
        super()._delivered(event)
        self.links[event.target].note_delivered(event.seconds, self.setup.smoothing)

    def _tick(self, event: Tick) -> None:
        self._measure()
        super()._tick(event)
        if any(self.lengths):
            self._open.update(self.setup.outgoing)
        self._known_state = () if not any(self.lengths) else None

    def _measure(self) -> None:
        """Distances, and what hops are worth by them."""
        distances = self.distances
        live = [link for near, link in self._ways if not (near.suspected or near.left)]
        distances.measure(live)
        for _, link in self._ways:
            link.estimate(self._sizes)
            link.value_hops(distances.worth_of(link, self.setup.pressure))
            link.reprice(distances.per_s, self._now)
        self._pass_prices_on(live)
        self._own_work_s = None

    def _pass_prices_on(self, links: list[PricedLink]) -> None:
        """A kind that is not computed here costs what it costs at the next hop, and its own line.

        If its line alone counted, every relay would take messages until as many wait there as at
        the host behind it, and those would stay.
        """
        for kind in self._relayed:
            price = self.lengths[kind] + cheapest(links, kind)
            if price > self.prices[kind]:
                self._grown.add(kind)
            self.prices[kind] = price

    def _forget(self, rank: int) -> None:
        self.links[rank].restart()
        self._forget_ways()

    def _forget_ways(self) -> None:
        self._ways = [(self.neighbours[rank], self.links[rank]) for rank in self.setup.outgoing]

    # --- what waits -------------------------------------------------------------------------

    def _place(self, task: Task, sender: int, admitted: bool = False) -> str:
        hosted = self._hosted[task.block - 1]
        if admitted:
            move = ADMITTED if hosted else OFFERED_RAW
        else:
            move = NEXT_HERE if hosted else NEXT_OFFERED
            self.distances.note_gone_on(task.block - 2)
        self._remember((self._now, move, task.item, task.attempt, task.block, sender))
        self._put(Entry(task, self._now, sender))
        return "input" if hosted else "output"

    def _move_away(self, entry: Entry, move: Move) -> None:
        super()._move_away(entry, move)
        if move in (VOID_WAITING, VOID_LEAVING):
            self._count(entry.task.block - 1, -1)

    def _take_in(self, task: Task, sender: int) -> None:
        if task.item in self._void:
            self._move_away(Entry(task, self._now, sender), VOID_ARRIVED)
            return
        self.links[sender].came = (self._now, task.block - 1)
        move = HOSTED if self._hosted[task.block - 1] else RELAYED
        self._remember((self._now, move, task.item, task.attempt, task.block, sender))
        self._put(Entry(task, self._now, sender))

    def _put(self, entry: Entry) -> None:
        kind = entry.task.block - 1
        self._count(kind, 1)
        self._grown.add(kind)
        if not self._sizes[kind]:
            self._learn_size(kind, entry.task)
        if self._hosted[kind]:
            to_stay = entry.task.hops >= self.setup.pressure.hop_limit
            self.input_queue.put(entry, to_stay)
        else:
            self.output_queue.put(entry)

    def _learn_size(self, kind: int, task: Task) -> None:
        self._sizes[kind] = HEADER_BYTES + task.payload_bytes
        for _, link in self._ways:
            link.estimate(self._sizes)

    def _send_home(self, result: Result) -> None:
        if self.setup.rank == SOURCE:
            self._out.append(Finish(result))
            return
        if not self.setup.outgoing:
            raise InvariantError("no neighbour leads to the source", result.item)
        self._results.append(result)
        self._count(self._result_kind, 1)
        self._grown.add(self._result_kind)

    def _count(self, kind: int, more: int) -> None:
        """There are ``more`` messages of a kind here than before."""
        self.lengths[kind] += more
        self.prices[kind] += more
        self._own_work_s = self._known_state = None

    # --- links --------------------------------------------------------------------------------

    def _settle(self) -> list[Instruction]:
        """Serve links that may gain, then the engine: it chooses anew once something was sent."""
        grown, opened, out, told = self._grown, self._open, self._out, -1
        if not (grown or opened):
            self._serve_engine()
        while grown or opened:
            if grown:
                self._serve_kind(grown.pop())
            else:
                self._serve_link(opened.pop())
            if len(out) != told:
                self._serve_engine()
                told = len(out)
        return out

    def _serve_kind(self, kind: int) -> None:
        """Send messages of a kind by the links that gain most, as long as one gains."""
        instant = (self._now, kind)
        while self._leaving[kind]:
            best, most = None, 0.0
            price, work, hops = self.prices[kind], self._work(), self._hops(kind)
            for way in self._ways:
                near, link = way
                if near.under_way >= link.window or near.suspected or near.left:
                    continue
                if link.came == instant:
                    continue
                own_work, toll = link.own_work[kind], link.tolls[kind]
                gain = price - link.prices[kind] + own_work * work - toll * hops
                if gain > most and not link.keeps_free(kind, gain, self._now):
                    best, most = way, gain
            if best is None:
                return
            self._transfer(*best, kind)

    def _serve_link(self, rank: int) -> None:
        """Send the kinds with most to gain per second of the link's time, while it has room."""
        if rank not in self.setup.outgoing:
            return
        near, link = self.neighbours[rank], self.links[rank]
        seconds, prices, own_work = link.transmission_s, link.prices, link.own_work
        while near.under_way < link.window and not (near.suspected or near.left):
            if self._now >= link.aged_from_s and (aged := self._aged_kind(link)) is not None:
                self._transfer(near, link, aged)
                continue
            best, most = None, 0.0
            for kind, line in enumerate(self._leaving):
                if not line:
                    continue
                gain = self.prices[kind] - prices[kind]
                if own_work[kind]:
                    gain += self._work()
                if gain <= 0.0 or link.came == (self._now, kind):
                    continue
                gain -= link.tolls[kind] * self._hops(kind)
                gain /= seconds[kind] or USUAL_HOP_S
                if gain > most:
                    best, most = kind, gain
            link.note_offer(most)
            if best is None or link.keeps_free(best, most * seconds[best], self._now):
                return
            self._transfer(near, link, best)

    def _aged_kind(self, link: PricedLink) -> int | None:
        """The kind, computed elsewhere only, that ``link`` takes out of turn, if any."""
        patience_s = self._patience_s(1 / self.distances.per_s + link.usual_s)
        oldest, before_s = None, self._now - patience_s
        for kind in self._relayed:
            since_s = self.output_queue.oldest_s(kind)
            if since_s < before_s and self.prices[kind] > link.prices[kind]:
                oldest, before_s = kind, since_s
        taken_s = None if oldest is None else link.transmission_s[oldest]
        link.aged_from_s = self._now + _pause_s(patience_s, taken_s)
        return oldest

    def _patience_s(self, task_s: float) -> float:
        """How long a task waits before it is served out of turn, where one takes ``task_s``."""
        return PATIENCE * self.setup.pressure.admission_price * task_s

    def _hops(self, kind: int) -> int:
        """Hops that the first message that waits has made; 0 for results, which pay for none."""
        first = self._leaving[kind][0]
        return first.task.hops if isinstance(first, Entry) else 0

    def _work(self) -> float:
        """Tasks that could be computed in the time that what is here takes, as far as it counts."""
        return self._work_s() * self.distances.per_s

    def _work_s(self) -> float:
        """Compute time of what is here, as far as it counts."""
        if self._own_work_s is None:
            self._own_work_s = self.distances.work_s(self.lengths)
        return self._own_work_s

    def _transfer(self, neighbour: Neighbour, link: PricedLink, kind: int) -> None:
        body: Task | Result
        if kind == self._result_kind:
            body = self._results.popleft()
        else:
            body = self._take_out(neighbour, kind)
        self._count(kind, -1)
        neighbour.note_sent((body.item, body.attempt))
        link.note_sent(kind, self._now)
        self._under_way += 1
        self._send(neighbour, body)

    def _take_out(self, neighbour: Neighbour, kind: int) -> Task:
        hosted = self._hosted[kind]
        queue, move = (self.input_queue, FORWARDED) if hosted else (self.output_queue, OFFLOADED)
        if self.setup.trace and traced(queue.lines[kind][0].task.item, self.setup.trace):
            self._note_sent(queue.lines[kind][0], neighbour, kind)
        entry = queue.take(kind, self._now)
        task = entry.task
        self._remember((self._now, move, task.item, task.attempt, task.block, neighbour.rank))
        neighbour.ping_pongs += bool(task.path or task.hops) and entry.sender == neighbour.rank
        return task.moved(hops=1)

    def _note_sent(self, entry: Entry, neighbour: Neighbour, kind: int) -> None:
        link = self.links[neighbour.rank]
        beaten = link.prices[kind] - link.own_work[kind] * self._work()
        beaten += link.tolls[kind] * entry.task.hops
        step = send_step(
            now=self._now,
            rank=self.setup.rank,
            entry=entry,
            rule="price",
            queues=(self.waiting, len(self.output_queue)),
            gamma_s=self.gamma_s,
            target=neighbour,
            prices=(self.prices[kind], beaten),
        )
        self._out.append(Note(step))

    # --- engine -------------------------------------------------------------------------------

    def _serve_engine(self) -> None:
        """Give the engine batches of the block with most to gain per second, while it has room."""
        queue = self.input_queue
        while queue.length and len(self._batches) <= self.setup.lookahead:
            best, fall = self._choose_block()
            if best is None:
                return
            if self.setup.trace:
                self._begun_at.append((self.prices[best], self.prices[best] - fall))
            batch = queue.take_batch(best, self.setup.max_batch, self._now)
            self._ahead += len(batch) if self._batches else 0
            self._batches.append(batch)
            self._out.append(Compute(tasks_of(batch)))

    def _choose_block(self) -> tuple[int | None, float]:
        """The kind that the engine takes next, if any, and how far prices fall by it."""
        distances, now = self.distances, self._now
        if now >= self._aged_from_s:
            patience_s = self._patience_s(1 / distances.per_s)
            oldest = distances.oldest_block(self.input_queue, self.prices, now - patience_s)
            kind, _ = oldest
            taken_s = None if kind is None else distances.block_s[kind]
            self._aged_from_s = now + _pause_s(patience_s, taken_s)
            if kind is not None:
                return oldest
        return distances.best_block(self.input_queue, self.prices)

    # --- what neighbours know -----------------------------------------------------------------

    def _send(self, neighbour: Neighbour, body: Task | Result | None = None) -> None:
        told = (*self.prices, *self.distances.here_s, self._work_s())
        self.links[neighbour.rank].told = told
        neighbour.note_told(self.waiting, self.gamma_s, self._now)
        state = State(self.waiting, self.gamma_s, neighbour.received, told)
        self._out.append(Send(neighbour.rank, state, body))

    def _must_tell(self, neighbour: Neighbour) -> bool:
        if self._now - neighbour.spoken_s >= self._heartbeat_s:
            return True
        if neighbour.left or neighbour.suspected:
            return False
        link = self.links[neighbour.rank]
        if not link.told:
            return True
        if not any(self.lengths) and neighbour.needs_telling(self.waiting, self.gamma_s):
            return True
        return link.outdated(self.prices, self.distances.here_s)

    def _restless(self) -> bool:
        """Whether something waits, or something has happened that neighbours may have to know."""
        return self._known_state is None


def _pause_s(patience_s: float, taken_s: float | None) -> float:
    """How long no task is served out of turn after one that takes ``taken_s``, or after none."""
    return patience_s / AGED_LOOKS if taken_s is None else taken_s / AGED_SHARE


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
