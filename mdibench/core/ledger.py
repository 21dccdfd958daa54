"""The source's ledger: every offered item until it is accounted for.

It makes the moves of ``transitions.ITEM_MOVES`` and the rows of the table ``items``. Called by
``source``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from mdibench.core.records import Copy, Result
from mdibench.core.rows import ItemRow
from mdibench.core.transitions import ITEM_MOVES, ItemStatus


@dataclass(slots=True)
class Flight:
    """An admitted item that has no result yet."""

    item: int
    sample: int
    scheduled_s: float
    admitted_s: float
    attempt: int = 0
    status: ItemStatus = "new"


@dataclass(slots=True)
class Totals:
    """The ledger's sums. offered = ok + dropped + lost + in flight, at any time."""

    offered: int = 0
    admitted: int = 0
    ok: int = 0
    correct: int = 0
    dropped: int = 0
    lost: int = 0
    duplicates: int = 0
    reruns: int = 0


class Break(Protocol):
    """Raises ``InvariantError`` with the story of whoever keeps the ledger."""

    def __call__(self, what: str, now: float, item: int | None = None) -> NoReturn:
        """See ``Break``."""


class Ledger:
    """Items in flight, and the sums of all others."""

    def __init__(self, labels: Sequence[int], attempts: int, broken: Break) -> None:
        """``labels``: classes by sample; ``attempts``: how often an item is tried at most."""
        self.totals = Totals()
        self.flights: dict[int, Flight] = {}
        self._labels = labels
        self._attempts = attempts
        self._broken = broken

    def admit(self, flight: Flight, now: float) -> None:
        """An offered item is in flight from now on."""
        self.totals.admitted += 1
        self.flights[flight.item] = flight
        self.move(flight, "in flight", now)

    def drop(self, flight: Flight, reason: str, now: float) -> ItemRow:
        """An offered item is turned away."""
        self.move(flight, "dropped", now)
        self.totals.dropped += 1
        return self._failed(flight, None, reason)

    def complete(self, flight: Flight, result: Result, now: float) -> ItemRow:
        """The first result of an item that was in flight."""
        self.move(flight, "ok", now)
        label = int(self._labels[flight.sample])
        correct = result.prediction == label
        self.totals.ok += 1
        self.totals.correct += correct
        return ItemRow.__new__(  # see ``rows``: quicker than a plain call
            ItemRow,
            item=flight.item,
            sample=flight.sample,
            label=label,
            prediction=result.prediction,
            correct=correct,
            exit=result.exit,
            confidence=result.confidence,
            threshold=result.threshold,
            scheduled_s=flight.scheduled_s,
            admitted_s=flight.admitted_s,
            completed_s=now,
            latency_s=now - flight.scheduled_s,
            hops=result.hops,
            wire_bytes=result.wire_bytes,
            path=">".join([str(rank) for rank in result.path]),
            attempts=flight.attempt + 1,
            status="ok",
            reason="",
        )

    def rerun(self, flight: Flight, now: float) -> None:
        """The next attempt at an item begins."""
        self.totals.reruns += 1
        self.move(flight, "re-run", now)

    def lose(self, flight: Flight, reason: str, now: float) -> ItemRow:
        """An item in flight is given up."""
        del self.flights[flight.item]
        self.move(flight, "lost", now)
        self.totals.lost += 1
        return self._failed(flight, flight.admitted_s, reason)

    def latest(self, copy: Copy) -> Flight | None:
        """The item in flight of which ``copy`` is the latest run."""
        flight = self.flights.get(copy[0])
        return flight if flight is not None and flight.attempt == copy[1] else None

    def check_copy(self, item: int, attempt: int, flight: Flight | None, now: float) -> None:
        """What comes back was offered before, and that attempt at it was made."""
        known = self._attempts - 1 if flight is None else flight.attempt
        if not 0 <= item < self.totals.offered or attempt > known:
            self._broken(f"item {item} attempt {attempt} was never sent out", now, item)

    def check_sum(self, now: float) -> None:
        """At the end of the run every item is accounted for."""
        totals = self.totals
        if totals.offered != totals.ok + totals.dropped + totals.lost:
            self._broken("the run ends, and items are unaccounted for", now)

    def move(self, flight: Flight, status: ItemStatus, now: float) -> None:
        """The item of ``flight`` becomes ``status``."""
        if (flight.status, status) not in ITEM_MOVES:
            what = f"item {flight.item}: no move from {flight.status} to {status}"
            self._broken(what, now, flight.item)
        flight.status = status

    def _failed(self, flight: Flight, admitted_s: float | None, reason: str) -> ItemRow:
        return ItemRow(
            item=flight.item,
            sample=flight.sample,
            label=int(self._labels[flight.sample]),
            prediction=None,
            correct=None,
            exit=None,
            confidence=None,
            threshold=None,
            scheduled_s=flight.scheduled_s,
            admitted_s=admitted_s,
            completed_s=None,
            latency_s=None,
            hops=None,
            wire_bytes=None,
            path="",
            attempts=flight.attempt + 1,
            status=flight.status,
            reason=reason,
        )
