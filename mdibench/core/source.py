"""The source: it admits items, adapts μ or T_e, keeps the ledger and decides when the run ends.

Its life has three phases, told by ``phase``: ``admitting`` (from the start to the end of the
measured window), ``draining`` (nothing more is admitted, what is in flight may finish) and
``ended``. ``transitions`` has the tables of their moves and of those of an item. Latency counts
from the *scheduled* arrival, on this clock alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from mdibench.core.events import (
    Announce,
    Cancel,
    EndRun,
    Instruction,
    Note,
    StopRequested,
    Suspected,
)
from mdibench.core.ledger import Flight, Ledger
from mdibench.core.precision import precision_of
from mdibench.core.records import SOURCE, Result, Task
from mdibench.core.rows import EventRow, ItemRow
from mdibench.core.setup import NO_LIMIT, SourceSetup
from mdibench.core.transitions import PHASE_MOVES, SourcePhase, Story, listed
from mdibench.errors import InvariantError
from mdibench.policy.algorithms import ThresholdCurve, adapt_interarrival, adapt_threshold

Said: TypeAlias = tuple[list[Task], list[Instruction]]
"""Raw items for the worker beside the source, and instructions."""


def unlimited() -> int:
    """The room of a worker that takes everything."""
    return NO_LIMIT


class Source:
    """The state machine of the source. ``Node`` joins it to the worker on its rank."""

    def __init__(self, setup: SourceSetup, start_s: float = 0.0) -> None:
        self.setup = setup
        self.phase: SourcePhase = "admitting"
        self.interarrival_s = setup.interarrival_s
        self.thresholds = setup.thresholds
        self.ledger = Ledger(setup.labels, setup.attempts, self._break)
        self.totals = self.ledger.totals
        self._flights = self.ledger.flights
        self._curve = ThresholdCurve.through(setup.thresholds)
        self._severity = self._curve.start
        self._start_s = start_s
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
        self._closed_loop = setup.mode in ("offline", "single-stream")
        """Whether a completion, not a clock, lets the next item in."""
        self._most_in_flight = 1 if setup.mode == "single-stream" else setup.max_in_flight
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

    def tick(self, now: float, queued: int) -> Said:
        """Do what is due at ``now``; ``queued`` is q = |I_0| + |O_0|.

        Answers with the raw items to admit and with instructions.
        """
        self._begin()
        self._leave_warm_up(now)
        self._adapt(now, queued)
        self._admit_due(now)
        self._end_phases(now)
        return self._admissions, self._out

    def finish(self, result: Result, now: float) -> Said:
        """Enter a result into the ledger; the first one counts, others are duplicates."""
        self._begin()
        flight = self._flights.pop(result.item, None)
        self._story.remember((now, result))
        self.ledger.check_copy(result.item, result.attempt, flight, now)
        if flight is None:
            self.totals.duplicates += 1
        else:
            row = self.ledger.complete(flight, result, now)
            self._out.append(Note(row))
            if self.setup.until is not None:
                self._learn(row, now)
            self._completed_s = now
            if flight.attempt:
                self._out.append(Cancel((flight.item,)))
        return self._go_on(now)

    def admit_more(self, now: float) -> Said:
        """Admit what was held back, now that the worker has room again."""
        self._begin()
        self._admit_due(now)
        return self._admissions, self._out

    def suspect(self, event: Suspected, now: float) -> Said:
        """Re-run (or give up) the items that a silent worker may hold.

        Every neighbour of that worker tells of it: a copy that was replaced already is no news.
        """
        self._begin()
        self._story.remember((now, event))
        for item, attempt in event.copies:
            self.ledger.check_copy(item, attempt, self._flights.get(item), now)
        held = [flight for copy in event.copies if (flight := self.ledger.latest(copy))]
        lost = tuple(flight.item for flight in held if not self._recover(flight, event.rank, now))
        if lost:
            self._out.append(Cancel(lost))
        return self._go_on(now)

    def stop(self, event: StopRequested, now: float) -> Said:
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

    # --- admission ----------------------------------------------------------------------------

    def _begin(self) -> None:
        self._out, self._admissions = [], []

    def _go_on(self, now: float) -> Said:
        """After a result or a suspicion: admit what may come in, and see whether a phase ends."""
        self._admit_due(now)
        self._end_phases(now)
        return self._admissions, self._out

    def _gap(self) -> float:
        return next(self.setup.gaps) * self.interarrival_s

    def _admit_due(self, now: float) -> None:
        if self.phase != "admitting":
            return
        if self._closed_loop:
            self._refill(now)
            return
        while self._next_arrival_s <= now and not self._all_offered:
            scheduled_s = self._next_arrival_s
            if scheduled_s >= self._deadline_s:
                break
            self._next_arrival_s += self._gap()
            self._offer(scheduled_s, now)

    def _refill(self, now: float) -> None:
        """A closed loop: as many items in flight as may be, and as the worker takes."""
        self._next_arrival_s = math.inf
        self.held_back = False
        while len(self._flights) < self._most_in_flight and now < self._deadline_s:
            if self._all_offered:
                return
            self.held_back = self._lacks_room
            if self.held_back:
                return
            self._offer(now, now)

    @property
    def _lacks_room(self) -> bool:
        """Whether the worker takes no more raw items than those that were just admitted."""
        return self.room() <= len(self._admissions)

    @property
    def _all_offered(self) -> bool:
        return self.setup.items is not None and self.totals.offered >= self.setup.items

    def _offer(self, scheduled_s: float, now: float) -> None:
        """One item arrives: admit it, or turn it away when too many are in flight."""
        item = self.totals.offered
        order = self.setup.order
        self.totals.offered += 1
        flight = Flight(item, order[item % len(order)], scheduled_s, now)
        if self.in_flight >= self.setup.max_in_flight:
            self._drop(flight, "too many items in flight", now)
        elif not self._closed_loop and self._lacks_room:
            self._drop(flight, "too many raw items wait", now)
        else:
            self.ledger.admit(flight, now)
            self._launch(flight)

    def _drop(self, flight: Flight, reason: str, now: float) -> None:
        self._fail(self.ledger.drop(flight, reason, now))

    def _launch(self, flight: Flight) -> None:
        payload, payload_bytes = self.setup.fetch(flight.sample)
        task = Task.raw(flight.item, flight.sample, payload, payload_bytes, flight.attempt)
        self._admissions.append(task)

    def _recover(self, flight: Flight, rank: int, now: float) -> bool:
        """Run the item anew, where it may be; otherwise it is lost."""
        if self.setup.rerun and flight.attempt + 1 < self.setup.attempts:
            flight.attempt += 1
            self.ledger.rerun(flight, now)
            self._launch(flight)
            return True
        self._lose(flight, f"rank {rank} fell silent or could not read it", now)
        return False

    def _lose(self, flight: Flight, reason: str, now: float) -> None:
        self._fail(self.ledger.lose(flight, reason, now))

    def _fail(self, row: ItemRow) -> None:
        """Note an item without a result, whose latency is infinite."""
        self._out.append(Note(row))
        if self.setup.until is not None and self.setup.until.figure == "latency p95":
            self._learn(row, math.inf)

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

    def _learn(self, row: ItemRow, now: float) -> None:
        """Let an item that ended at ``now`` add to the figure that the run waits for.

        Of the samples that a run sends again and again, each tells of the accuracy once.
        """
        until = self.setup.until
        if until is None or self._completed_s < self.window_s[0] or self.phase != "admitting":
            return
        values = {
            "rate": now - self._completed_s,
            "latency": now - row.scheduled_s,
            "latency p95": now - row.scheduled_s,
            "accuracy": float(row.correct or False),
        }
        fresh = until.figure != "accuracy" or row.item < len(self.setup.order)
        if fresh and self.precision.add(values[until.figure]):
            self._known = self.precision.half_share <= until.share

    def _drain(self, now: float, reason: str) -> None:
        self._enter_phase("draining", now)
        end_s = min(now, self._deadline_s)
        if self._all_offered and not self._closed_loop and end_s > self.window_s[0]:
            end_s = math.nextafter(end_s, math.inf)  # the last item may be due at this very moment
        self._deadline_s = now
        self.window_s = (min(self.window_s[0], end_s), end_s)
        self._note_phase(now, f"draining {self.in_flight} items: {reason}")

    def _give_up(self, now: float) -> None:
        for flight in list(self._flights.values()):
            self._lose(flight, "no result when the drain time was up", now)

    def _close_window(self) -> None:
        """Let the window of a closed loop end with the last completion, which it includes."""
        if self._closed_loop and self._completed_s > self.window_s[1]:
            batch = self.setup.mode == "offline" and self.setup.items is not None
            start_s = self._start_s if batch else self.window_s[0]
            self.window_s = (start_s, math.nextafter(self._completed_s, math.inf))

    def _end(self, now: float, reason: str) -> None:
        self._enter_phase("ended", now)
        self._close_window()
        self.ledger.check_sum(now)
        self._note_phase(now, "ended")
        self._out.append(EndRun(reason))

    def _enter_phase(self, phase: SourcePhase, now: float) -> None:
        if (self.phase, phase) not in PHASE_MOVES:
            self._break(f"no move from {self.phase} to {phase}", now)
        self.phase = phase

    def _note_phase(self, now: float, text: str) -> None:
        row = EventRow(t_s=now, rank=SOURCE, level="info", kind="phase", text=text)
        self._out.append(Note(row))
