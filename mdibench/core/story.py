"""What a state machine remembers of its last moments, for the text of an ``InvariantError``.

Remembering must cost next to nothing: a moment is a tuple, and becomes text only when something
breaks. It holds no payload, because a tensor that is remembered keeps its receive buffer from
being used again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from textwrap import shorten
from typing import Any, TypeVar

from mdibench.core.transitions import Move
from mdibench.errors import InvariantError

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
