"""The source's ledger: every offered item until it is accounted for; how well figures are known.

``Ledger`` makes the moves of ``transitions.ITEM_MOVES`` and the rows of the table ``items``.
``Precision`` is what ``run.until`` waits for: batch means that test themselves as a run goes on.
When there are too many, neighbours are joined, and the interval counts only while neighbouring
batches are hardly correlated (Law and Carson 1979; Fishman 1978). Called by ``source``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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


# --- how well a figure is known ------------------------------------------------------------------

FEWEST, MOST = 32, 64
"""Batches that are judged, and that are joined in pairs."""
FIRST_SIZE = 16
"""Values of a batch at first."""
STUDENT = 2.04
"""97.5 % quantile of Student's t with ``FEWEST`` - 1 degrees of freedom."""
CORRELATED = 0.25
"""Correlation of neighbouring batches from which they are too short to be judged."""
CAUTION = 1.1
"""An interval that decides when to stop is too narrow by chance more often than others."""


class Precision:
    """The mean of a series of values, with its precision."""

    def __init__(self) -> None:
        self._size = FIRST_SIZE
        self._means: list[float] = []
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> bool:
        """The next value; whether it completes a batch, so that the precision is another."""
        self._sum += value
        self._count += 1
        if self._count < self._size:
            return False
        self._means.append(self._sum / self._size)
        self._sum, self._count = 0.0, 0
        if len(self._means) == MOST:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [(a + b) / 2 for a, b in pairs]
            self._size *= 2
        return True

    @property
    def half_share(self) -> float:
        """Half the interval as a share of the mean; infinite while it cannot be told."""
        n = len(self._means)
        mean = sum(self._means) / n if n else 0.0
        if n < FEWEST or mean == 0:
            return math.inf
        deviations = [value - mean for value in self._means]
        square = sum(d * d for d in deviations)
        if square > 0 and _neighbours(deviations) > CORRELATED * square:
            return math.inf
        return CAUTION * STUDENT * math.sqrt(square / (n - 1) / n) / abs(mean)


def _neighbours(deviations: Sequence[float]) -> float:
    return sum(a * b for a, b in pairwise(deviations))
