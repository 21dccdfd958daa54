"""The transition tables: every move that a task, an item and the source's run can make; stories.

The machines make no other moves: ``Worker`` takes a task out of the place that a move names and
puts it where the move says, ``Source`` looks up each move of an item and of its phase. The
diagrams of docs/architecture.md are made from these tables: ``python tests/test_architecture.py``.

A ``Story`` is what a machine remembers of its last moments, for the text of an ``InvariantError``.
Remembering must cost next to nothing: a moment is a tuple, and becomes text only when something
breaks. It holds no payload, because a tensor that is remembered keeps its receive buffer from
being used again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from textwrap import shorten
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from mdibench.errors import InvariantError

# --- a task on one worker ------------------------------------------------------------------------


Place = Literal["elsewhere", "input queue", "engine", "output queue", "exited", "sent", "cancelled"]
"""Where a task is, as one worker sees it. The last three end its time there."""


class Move(NamedTuple):
    """A task gets from one place to another; ``cause`` is the event or decision that moves it."""

    before: Place
    after: Place
    cause: str


HOSTED = Move("elsewhere", "input queue", "Arrived, its block is hosted here")
RELAYED = Move("elsewhere", "output queue", "Arrived, its block is not hosted here")
ADMITTED = Move("elsewhere", "input queue", "admitted")
OFFERED_RAW = Move("elsewhere", "output queue", "admitted, to be offered raw")
STARTED = Move("input queue", "engine", "Compute")
LEFT = Move("engine", "exited", "Computed, it leaves by this exit")
NEXT_HERE = Move("engine", "input queue", "Computed, its next block by algorithm 1")
NEXT_OFFERED = Move("engine", "output queue", "Computed, its next block by algorithm 1")
KEPT = Move("output queue", "input queue", "Keep, by algorithm 2")
OFFLOADED = Move("output queue", "sent", "Offload, by algorithm 2")
FORWARDED = Move("input queue", "sent", "the price is lower there, scheme pressure")
VOID_WAITING = Move("input queue", "cancelled", "Cancelled")
VOID_LEAVING = Move("output queue", "cancelled", "Cancelled")
VOID_COMPUTED = Move("engine", "cancelled", "Computed, its item was cancelled before")
VOID_ARRIVED = Move("elsewhere", "cancelled", "Arrived, its item was cancelled before")

TASK_MOVES = (
    HOSTED,
    RELAYED,
    ADMITTED,
    OFFERED_RAW,
    STARTED,
    LEFT,
    NEXT_HERE,
    NEXT_OFFERED,
    KEPT,
    OFFLOADED,
    FORWARDED,
    VOID_WAITING,
    VOID_LEAVING,
    VOID_COMPUTED,
    VOID_ARRIVED,
)

# --- the run, and an item of it, as the source sees them -----------------------------------------

Moves: TypeAlias = Mapping[tuple[str, str], str]
"""From (before, after) to the event or decision that makes the move."""

SourcePhase = Literal["admitting", "draining", "ended"]

PHASE_MOVES: Moves = {
    ("admitting", "draining"): "admission time is over, every item is admitted, or StopRequested",
    ("draining", "ended"): "nothing is in flight, or the drain time is up",
}

ItemStatus = Literal["new", "in flight", "re-run", "ok", "dropped", "lost"]

ITEM_MOVES: Moves = {
    ("new", "dropped"): "offered, too many items in flight",
    ("new", "in flight"): "offered and admitted",
    ("in flight", "ok"): "its first result",
    ("in flight", "re-run"): "Suspected, attempts left",
    ("in flight", "lost"): "Suspected and not to be re-run, or the drain time is up",
    ("re-run", "re-run"): "Suspected, attempts left",
    ("re-run", "ok"): "its first result",
    ("re-run", "lost"): "Suspected, no attempt left, or the drain time is up",
}
"""The last three end an item's life; later results of it are duplicates."""

# --- stories ------------------------------------------------------------------------------------

MOMENTS = 64
SHOWN = 8
"""Entries of a queue that a story shows."""
LONGEST_LINE = 160

Key = TypeVar("Key")
Value = TypeVar("Value")


class Known(dict[Key, Value]):
    """A table that is complete by design: looking up anything else is an ``InvariantError``."""

    __slots__ = ("_what",)

    def __init__(self, what: str, entries: Mapping[Key, Value]) -> None:
        super().__init__(entries)
        self._what = what

    def __missing__(self, key: Key) -> Value:
        name = key.__name__ if isinstance(key, type) else str(key)
        raise InvariantError(f"{self._what} {name}")


class Story:
    """The last moments of a machine.

    ``remember`` takes ``(time, what)``, where ``what`` is an event or a result, or for a task
    ``(time, move, item, attempt, block, rank that it came from or goes to)``.
    """

    __slots__ = ("_moments", "remember")

    def __init__(self) -> None:
        self._moments: deque[tuple[Any, ...]] = deque(maxlen=MOMENTS)
        self.remember = self._moments.append

    def tell(self, item: int | None = None) -> Iterator[str]:
        """Lines: the last moments, oldest first; an arrow marks the moves of ``item``."""
        yield f"last {len(self._moments)} moments, oldest first:"
        for at_s, what, *facts in self._moments:
            arrow = "-> " if facts and facts[0] == item else ""
            line = f"{arrow}{at_s:.6f} s {_text(what, facts)}"
            yield "  " + shorten(line, LONGEST_LINE, placeholder=" ...")


def _text(what: object, facts: Sequence[object]) -> str:
    """An event, or a move with its task."""
    if not isinstance(what, Move):
        return str(what)
    item, attempt, block, rank = facts
    moves = f"{what.before} -> {what.after}, rank {rank}"
    return f"item {item} attempt {attempt} block {block}: {moves} ({what.cause})"


def listed(entries: Iterable[object], count: int) -> str:
    """The count, and the first few entries."""
    shown = [str(entry) for entry in islice(entries, SHOWN)]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return f"{count}" + (f": {', '.join(shown)}{more}" if shown else "")
