"""The source: it admits items, adapts μ or T_e, keeps the ledger and decides when the run ends.

Its life has three phases, told by ``phase``: ``admitting`` (from the start to the end of the
measured window), ``draining`` (nothing more is admitted, what is in flight may finish) and
``ended``. ``transitions`` has the tables of their moves and of those of an item. Latency counts
from the *scheduled* arrival, on this clock alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from mdibench.core.events import (
    Announce,
    Cancel,
    EndRun,
    Instruction,
    Note,
    StopRequested,
    Suspected,
)
from mdibench.core.precision import precision_of
from mdibench.core.records import SOURCE, Copy, Result, Task
from mdibench.core.rows import EventRow, ItemRow
from mdibench.core.setup import NO_LIMIT, SourceSetup
from mdibench.core.story import Story, listed
from mdibench.core.transitions import ITEM_MOVES, PHASE_MOVES, ItemStatus, SourcePhase
from mdibench.errors import InvariantError
from mdibench.policy.admission import ThresholdCurve, adapt_interarrival, adapt_threshold


def unlimited() -> int:
    """The room of a worker that takes everything."""
    return NO_LIMIT


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


class Source:
    """The state machine of the source. ``Node`` joins it to the worker on its rank."""

    def __init__(self, setup: SourceSetup, start_s: float = 0.0) -> None:
        self.setup = setup
        self.phase: SourcePhase = "admitting"
        self.interarrival_s = setup.interarrival_s
        self.thresholds = setup.thresholds
        self.totals = Totals()
        self._curve = ThresholdCurve.through(setup.thresholds)
        self._severity = self._curve.start
        self._start_s = start_s
        self._flights: dict[int, Flight] = {}
        self._next_period_s = start_s + setup.period_s
        self._deadline_s = start_s + setup.warmup_s + setup.duration_s
        if setup.items is not None:
            self._deadline_s = math.inf
        self.window_s = (start_s + setup.warmup_s, self._deadline_s)
        """The measured window: from the end of warm-up to the last admission.

        In a closed loop to the last completion: what is in flight when the last item is admitted
        was admitted at the system's own rate, and belongs to it. ``offline`` with a number of items
        is one batch, and measured from its start.
        """
        self._completed_s = -math.inf
        self.precision = precision_of(setup.until)
        """Of the figure that ``setup.until`` names, over the measured window so far."""
        self._warm = setup.warmup_s == 0
        self._dropped_before = 0
        self._next_arrival_s = start_s if self._closed_loop else start_s + self._gap()
        """In a closed loop the first one; completions let the others in."""
        self._known = False
        self.room: Callable[[], int] = unlimited
        """How many raw items the worker beside it takes now; ``Node`` joins the two."""
        self.held_back = False
        """Whether a closed loop would admit more than the worker takes."""
        self._stopped = ""
        """Why somebody ended the run early."""
        self._out: list[Instruction] = []
        self._admissions: list[Task] = []
        self._story = Story()

    # --- the interface ----------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Admitted items without a result."""
        return len(self._flights)

    def next_wake(self) -> float:
        """When the source wants ``tick`` next."""
        if self.phase == "ended":
            return float("inf")
        if self.phase == "draining":
            return self._deadline_s + self.setup.drain_s
        wake = min(self._deadline_s, self._next_period_s, self._next_arrival_s)
        return wake if self._warm else min(wake, self._start_s + self.setup.warmup_s)

    def tick(self, now: float, queued: int) -> tuple[list[Task], list[Instruction]]:
        """Do what is due at ``now``; ``queued`` is q = |I_0| + |O_0|.

        Answers with the raw items to admit and with instructions.
        """
        self._begin()
        self._leave_warm_up(now)
        self._adapt(now, queued)
        self._admit_due(now)
        self._end_phases(now)
        return self._admissions, self._out

    def finish(self, result: Result, now: float) -> tuple[list[Task], list[Instruction]]:
        """Enter a result into the ledger; the first one counts, others are duplicates."""
        self._begin()
        flight = self._flights.pop(result.item, None)
        self._story.remember((now, result))
        self._check_copy((result.item, result.attempt), flight, now)
        if flight is None:
            self.totals.duplicates += 1
        else:
            self._enter(flight, result, now)
            if flight.attempt:
                self._out.append(Cancel((flight.item,)))
        self._admit_due(now)
        self._end_phases(now)
        return self._admissions, self._out

    def admit_more(self, now: float) -> tuple[list[Task], list[Instruction]]:
        """Admit what was held back, now that the worker has room again."""
        self._begin()
        self._admit_due(now)
        return self._admissions, self._out

    def suspect(self, event: Suspected, now: float) -> tuple[list[Task], list[Instruction]]:
        """Re-run (or give up) the items that a silent worker may hold.

        Every neighbour of that worker tells of it: a copy that was replaced already is no news.
        """
        self._begin()
        self._story.remember((now, event))
        for item, attempt in event.copies:
            self._check_copy((item, attempt), self._flights.get(item), now)
        held = [flight for copy in event.copies if (flight := self._flight_of(copy))]
        lost = tuple(flight.item for flight in held if not self._recover(flight, event.rank, now))
        if lost:
            self._out.append(Cancel(lost))
        self._admit_due(now)
        self._end_phases(now)
        return self._admissions, self._out

    def stop(self, event: StopRequested, now: float) -> tuple[list[Task], list[Instruction]]:
        """Admit nothing more and drain."""
        self._begin()
        self._story.remember((now, event))
        if self.phase == "admitting":
            self._stopped = event.reason
            self._drain(now, event.reason)
        self._end_phases(now)
        return self._admissions, self._out

    def story(self, now: float, item: int | None = None) -> list[str]:
        """Phase, ledger and last moments, for the text of an ``InvariantError``."""
        return [
            f"source at {now:.6f} s: {self.phase}, next wake at {self.next_wake():.6f} s",
            f"{self.totals}",
            f"in flight {listed(self._flights.values(), self.in_flight)}",
            *self._story.tell(item),
        ]

    def _break(self, what: str, now: float, item: int | None = None) -> NoReturn:
        error = InvariantError(what, item)
        error.tell(self.story(now, item))
        raise error

    def _check_copy(self, copy: Copy, flight: Flight | None, now: float) -> None:
        """What comes back was offered before, and that attempt at it was made."""
        item, attempt = copy
        known = self.setup.attempts - 1 if flight is None else flight.attempt
        if not 0 <= item < self.totals.offered or attempt > known:
            self._break(f"item {item} attempt {attempt} was never sent out", now, item)

    # --- admission ----------------------------------------------------------------------------

    @property
    def _closed_loop(self) -> bool:
        """Whether a completion, not a clock, lets the next item in."""
        return self.setup.mode in ("offline", "single-stream")

    def _begin(self) -> None:
        self._out, self._admissions = [], []

    def _gap(self) -> float:
        return next(self.setup.gaps) * self.interarrival_s

    def _admit_due(self, now: float) -> None:
        if self.phase != "admitting":
            return
        if self._closed_loop:
            self._next_arrival_s = math.inf
            limit = 1 if self.setup.mode == "single-stream" else self.setup.max_in_flight
            self.held_back = False
            while now < self._deadline_s and self.in_flight < limit and not self._all_offered:
                self.held_back = not self._has_room
                if self.held_back:
                    return
                self._offer(now, now)
            return
        while self._next_arrival_s <= now and not self._all_offered:
            scheduled_s = self._next_arrival_s
            if scheduled_s >= self._deadline_s:
                break
            self._next_arrival_s += self._gap()
            self._offer(scheduled_s, now)

    @property
    def _has_room(self) -> bool:
        """Whether the worker takes one more raw item than those that were just admitted."""
        return self.room() > len(self._admissions)

    @property
    def _all_offered(self) -> bool:
        return self.setup.items is not None and self.totals.offered >= self.setup.items

    def _offer(self, scheduled_s: float, now: float) -> None:
        """One item arrives: admit it, or turn it away when too many are in flight."""
        item = self.totals.offered
        sample = self.setup.order[item % len(self.setup.order)]
        self.totals.offered += 1
        flight = Flight(item, sample, scheduled_s, now)
        if self.in_flight >= self.setup.max_in_flight or not self._has_room:
            self._move(flight, "dropped", now)
            self.totals.dropped += 1
            full = self.in_flight >= self.setup.max_in_flight
            reason = "too many items in flight" if full else "too many raw items wait"
            self._record_failure(flight, "dropped", reason)
            if self.setup.until and self.setup.until.figure == "latency p95":
                self._learn(flight, correct=False, now=math.inf)
            return
        self.totals.admitted += 1
        self._flights[item] = flight
        self._move(flight, "in flight", now)
        self._launch(flight)

    def _launch(self, flight: Flight) -> None:
        payload, payload_bytes = self.setup.fetch(flight.sample)
        self._admissions.append(
            Task(
                flight.item,
                1,
                payload,
                payload_bytes,
                attempt=flight.attempt,
                sample=flight.sample,
            )
        )

    def _flight_of(self, copy: Copy) -> Flight | None:
        """The item in flight of which ``copy`` is the latest run."""
        flight = self._flights.get(copy[0])
        return flight if flight is not None and flight.attempt == copy[1] else None

    def _recover(self, flight: Flight, rank: int, now: float) -> bool:
        """Run the item anew, where it may be; otherwise it is lost."""
        flight.attempt += 1
        if self.setup.rerun and flight.attempt < self.setup.attempts:
            self.totals.reruns += 1
            self._move(flight, "re-run", now)
            self._launch(flight)
            return True
        del self._flights[flight.item]
        self._move(flight, "lost", now)
        self._lose(flight, f"rank {rank} fell silent or could not read it")
        return False

    # --- control (algorithms 3 and 4) -----------------------------------------------------------

    def _adapt(self, now: float, queued: int) -> None:
        if now < self._next_period_s or self.phase != "admitting":
            return
        missed = (now - self._next_period_s) // self.setup.period_s  # a stall is not many periods
        self._next_period_s += (1 + missed) * self.setup.period_s
        if self.setup.mode == "adapt-rate":
            self._adapt_interarrival(queued)
        elif self.setup.mode == "adapt-threshold":
            self._adapt_thresholds(queued)

    def _adapt_interarrival(self, queued: int) -> None:
        """Algorithm 3; items turned away since the last period are a queue that is too long.

        Behind a bottleneck of another rank, the source's own queues stay short for ever.
        """
        gains, dropped = self.setup.gains, self.totals.dropped
        if dropped > self._dropped_before:
            queued = max(queued, gains.queue_high)
        self._dropped_before = dropped
        self.interarrival_s = adapt_interarrival(self.interarrival_s, queued, gains)

    def _adapt_thresholds(self, queued: int) -> None:
        gains, lowest = self.setup.gains, self.setup.threshold_min
        if self.setup.exits_together:
            self._severity = adapt_threshold(self._severity, queued, gains, lowest)
            thresholds = self._curve.at(self._severity, lowest)
        else:
            thresholds = tuple(adapt_threshold(t, queued, gains, lowest) for t in self.thresholds)
        if thresholds != self.thresholds:
            self.thresholds = thresholds
            self._out.append(Announce(thresholds))

    # --- phases ---------------------------------------------------------------------------------

    def _leave_warm_up(self, now: float) -> None:
        if not self._warm and now >= self._start_s + self.setup.warmup_s:
            self._warm = True
            self._note_phase(now, "warm-up over")

    def _end_phases(self, now: float) -> None:
        if self.phase == "admitting" and (now >= self._deadline_s or self._all_offered):
            self._drain(now, "every item is admitted" if self._all_offered else "time is up")
        elif self.phase == "admitting" and self._known:
            self._drain(now, "the figure of run.until is known")
        if self.phase == "draining" and not self._flights:
            self._end(now, self._stopped)
        elif self.phase == "draining" and now >= self._deadline_s + self.setup.drain_s:
            self._give_up(now)
            self._end(now, self._stopped)

    def _learn(self, flight: Flight, correct: bool, now: float) -> None:
        """Let a completed item add to the precision of the figure that the run waits for.

        Of the samples that a run sends again and again, each tells of the accuracy once.
        """
        until = self.setup.until
        if until is None or self._completed_s < self.window_s[0] or self.phase != "admitting":
            return
        values = {
            "rate": now - self._completed_s,
            "latency": now - flight.scheduled_s,
            "latency p95": now - flight.scheduled_s,
            "accuracy": float(correct),
        }
        fresh = until.figure != "accuracy" or flight.item < len(self.setup.order)
        if fresh and self.precision.add(values[until.figure]):
            self._known = self.precision.half_share <= until.share

    def _drain(self, now: float, reason: str) -> None:
        self._enter_phase("draining", now)
        end_s = min(now, self._deadline_s)
        self._deadline_s = now
        self.window_s = (min(self.window_s[0], end_s), end_s)
        self._note_phase(now, f"draining {self.in_flight} items: {reason}")

    def _give_up(self, now: float) -> None:
        for flight in self._flights.values():
            self._move(flight, "lost", now)
            self._lose(flight, "no result when the drain time was up")
        self._flights.clear()

    def _close_window(self) -> None:
        """Let the window of a closed loop end with the last completion, which it includes."""
        if self._closed_loop and self._completed_s > self.window_s[1]:
            batch = self.setup.mode == "offline" and self.setup.items is not None
            start_s = self._start_s if batch else self.window_s[0]
            self.window_s = (start_s, math.nextafter(self._completed_s, math.inf))

    def _end(self, now: float, reason: str) -> None:
        self._enter_phase("ended", now)
        self._close_window()
        totals = self.totals
        if totals.offered != totals.ok + totals.dropped + totals.lost:
            self._break("the run ends, and items are unaccounted for", now)
        self._note_phase(now, "ended")
        self._out.append(EndRun(reason))

    def _enter_phase(self, phase: SourcePhase, now: float) -> None:
        if (self.phase, phase) not in PHASE_MOVES:
            self._break(f"no move from {self.phase} to {phase}", now)
        self.phase = phase

    # --- the ledger -------------------------------------------------------------------------------

    def _move(self, flight: Flight, status: ItemStatus, now: float) -> None:
        """The item of ``flight`` becomes ``status``."""
        if (flight.status, status) not in ITEM_MOVES:
            what = f"item {flight.item}: no move from {flight.status} to {status}"
            self._break(what, now, flight.item)
        flight.status = status

    def _enter(self, flight: Flight, result: Result, now: float) -> None:
        self._move(flight, "ok", now)
        label = int(self.setup.labels[flight.sample])
        correct = result.prediction == label
        self.totals.ok += 1
        self._learn(flight, correct, now)
        self._completed_s = now
        self.totals.correct += correct
        row = ItemRow(
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
            path=">".join(map(str, result.path)),
            attempts=flight.attempt + 1,
            status="ok",
            reason="",
        )
        self._out.append(Note(row))

    def _lose(self, flight: Flight, reason: str) -> None:
        self.totals.lost += 1
        self._record_failure(flight, "lost", reason)

    def _record_failure(self, flight: Flight, status: str, reason: str) -> None:
        row = ItemRow(
            item=flight.item,
            sample=flight.sample,
            label=int(self.setup.labels[flight.sample]),
            prediction=None,
            correct=None,
            exit=None,
            confidence=None,
            threshold=None,
            scheduled_s=flight.scheduled_s,
            admitted_s=None if status == "dropped" else flight.admitted_s,
            completed_s=None,
            latency_s=None,
            hops=None,
            wire_bytes=None,
            path="",
            attempts=flight.attempt + 1,
            status=status,
            reason=reason,
        )
        self._out.append(Note(row))

    def _note_phase(self, now: float, text: str) -> None:
        row = EventRow(t_s=now, rank=SOURCE, level="info", kind="phase", text=text)
        self._out.append(Note(row))
