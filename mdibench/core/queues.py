"""Queues of a worker: first in, first out, bounded; what they and the worker count."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import Protocol

from mdibench.compiled import statically_frozen
from mdibench.core.records import Task
from mdibench.errors import InvariantError


@statically_frozen
class Entry:
    """A waiting task: since when it waits, and which rank its item last came from."""

    task: Task
    since_s: float
    sender: int

    def summary(self) -> str:
        """What a story says of it."""
        task, since = self.task, f"since {self.since_s:.6f} s"
        return f"item {task.item} attempt {task.attempt} block {task.block} {since}"


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """What the monitor and the run files show of a queue."""

    length: int
    peak: int
    waited_s: float
    """Summed waiting time of the tasks that have left it."""


def tasks_of(batch: list[Entry]) -> tuple[Task, ...]:
    """The tasks of a batch; mostly it is one."""
    return (batch[0].task,) if len(batch) == 1 else tuple([entry.task for entry in batch])


class Waiting(Protocol):
    """What every kind of queue can say of itself."""

    def __len__(self) -> int:
        """Tasks that wait."""
        ...

    def __iter__(self) -> Iterator[Entry]:
        """The tasks that wait."""
        ...

    def drop(self, items: Set[int], now: float) -> list[Entry]:
        """Take out every task of ``items``."""
        ...

    def statistics(self) -> QueueStatistics:
        """Length now, peak, and the time that tasks waited."""
        ...


@dataclass(slots=True)
class Counters:
    """Cumulative since the start."""

    exits: list[int]
    """Items that left here, by exit."""
    block_tasks: list[int]
    """Tasks computed, by the first block of their call."""
    block_busy_s: list[float]
    """Time of the engine, in the same order."""
    send_s: float = 0.0
    """Time without a batch while a link was taking a task."""
    wait_s: float = 0.0
    """Time without a batch or a transfer while tasks waited in the output queue."""


class TaskQueue:
    """I_n or O_n. ``capacity`` is a bound that the source's in-flight cap guarantees.

    ``entries`` is there to be looked at, where a call would cost too much.
    """

    __slots__ = ("_capacity", "_peak", "_waited_s", "entries")

    def __init__(self, capacity: int) -> None:
        self.entries: deque[Entry] = deque()
        self._capacity = capacity
        self._peak = 0
        self._waited_s = 0.0

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def head(self) -> Entry:
        """The entry that waits longest; callers look at ``entries`` first."""
        return self.entries[0]

    def put(self, entry: Entry) -> None:
        """Append; raises ``InvariantError`` beyond the capacity."""
        length = len(self.entries)
        if length >= self._capacity:
            what = f"queue beyond its capacity {self._capacity}: {entry.task}"
            raise InvariantError(what, entry.task.item)
        self.entries.append(entry)
        if length >= self._peak:
            self._peak = length + 1

    def pop(self, now: float) -> Entry:
        """Take the head."""
        entry = self.entries.popleft()
        self._waited_s += now - entry.since_s
        return entry

    def pop_batch(self, limit: int, now: float) -> list[Entry]:
        """Take the head and up to ``limit - 1`` later tasks of the same block, in order."""
        batch = [self.pop(now)]
        if limit == 1 or not self.entries:
            return batch
        kept: deque[Entry] = deque()
        block = batch[0].task.block
        while self.entries and len(batch) < limit:
            if self.entries[0].task.block == block:
                batch.append(self.pop(now))
            else:
                kept.append(self.entries.popleft())
        self.entries.extendleft(reversed(kept))
        return batch

    def drop(self, items: Set[int], now: float) -> list[Entry]:
        """Take out every task of ``items``."""
        dropped = [entry for entry in self.entries if entry.task.item in items]
        if dropped:
            self._waited_s += sum(now - entry.since_s for entry in dropped)
            self.entries = deque(e for e in self.entries if e.task.item not in items)
        return dropped

    def statistics(self) -> QueueStatistics:
        """Length now, peak, and the time that tasks waited."""
        return QueueStatistics(len(self.entries), self._peak, self._waited_s)


class BlockQueue:
    """A queue with a line for each block, any of which may be served next.

    A task that was put ``to_stay`` stands in line for the engine only, not for a link. ``length``
    is there to be looked at, where a call would cost too much.
    """

    __slots__ = ("_capacity", "_peak", "_waited_s", "length", "lines", "staying")

    def __init__(self, capacity: int, exits: int) -> None:
        self._capacity = capacity
        self.length = self._peak = 0
        self._waited_s = 0.0
        self.lines: tuple[deque[Entry], ...] = tuple(deque() for _ in range(exits))
        self.staying: tuple[deque[Entry], ...] = tuple(deque() for _ in range(exits))

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Entry]:
        return chain(*self.lines, *self.staying)

    def put(self, entry: Entry, to_stay: bool = False) -> None:
        """Append to the line of its block; raises ``InvariantError`` beyond the capacity."""
        length = self.length
        if length >= self._capacity:
            raise InvariantError(
                f"queue beyond its capacity {self._capacity}: {entry.task}", entry.task.item
            )
        (self.staying if to_stay else self.lines)[entry.task.block - 1].append(entry)
        self.length = length + 1
        if length >= self._peak:
            self._peak = length + 1

    def take(self, line: int, now: float) -> Entry:
        """The head of a line (from 0), for a link."""
        return self._left(self.lines[line].popleft(), now)

    def take_batch(self, line: int, limit: int, now: float) -> list[Entry]:
        """Up to ``limit`` tasks of a line, those that stay included, oldest first."""
        free, staying = self.lines[line], self.staying[line]
        batch: list[Entry] = []
        while len(batch) < limit and (free or staying):
            stays = staying and not (free and free[0].since_s < staying[0].since_s)
            batch.append(self._left((staying if stays else free).popleft(), now))
        return batch

    def oldest_s(self, line: int) -> float:
        """Since when the first task of a line (from 0) waits, those that stay included; or inf."""
        free, staying = self.lines[line], self.staying[line]
        oldest_s = free[0].since_s if free else inf
        return min(oldest_s, staying[0].since_s) if staying else oldest_s

    def drop(self, items: Set[int], now: float) -> list[Entry]:
        """Take out every task of ``items``."""
        dropped = [entry for entry in self if entry.task.item in items]
        if dropped:
            for line in (*self.lines, *self.staying):
                kept = [entry for entry in line if entry.task.item not in items]
                line.clear()
                line.extend(kept)
        return [self._left(entry, now) for entry in dropped]

    def statistics(self) -> QueueStatistics:
        """Length now, peak, and the time that tasks waited."""
        return QueueStatistics(self.length, self._peak, self._waited_s)

    def _left(self, entry: Entry, now: float) -> Entry:
        self.length -= 1
        self._waited_s += now - entry.since_s
        return entry
