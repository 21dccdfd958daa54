"""First in, first out, bounded, and able to say how it fared."""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

from mdibench.core.records import Task
from mdibench.errors import InvariantError


class Entry(NamedTuple):
    """A waiting task: since when it waits, and which rank its item last came from."""

    task: Task
    since_s: float
    sender: int


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """What the monitor and the run files show of a queue."""

    length: int
    peak: int
    waited_s: float
    """Summed waiting time of the tasks that have left it."""


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
        if limit == 1:
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
