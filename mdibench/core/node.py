"""One rank's machine: a worker, and on rank 0 the source beside it.

Drivers see only this: ``handle`` an event, perform the instructions, call again at ``next_wake``.
Results that reach rank 0 and items that the source admits never leave this room.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mdibench.core.events import (
    Announce,
    Cancel,
    Cancelled,
    Event,
    Finish,
    Instruction,
    ReportSuspect,
    StopRequested,
    Suspected,
    ThresholdsSet,
    Tick,
)
from mdibench.core.records import Task
from mdibench.core.source import Said, Source
from mdibench.core.worker_base import WorkerBase

TO_SOURCE: dict[type[Event], Callable[[Source, Any, float], Said]] = {
    Suspected: Source.suspect,
    StopRequested: Source.stop,
}
"""Events for the source. A ``Tick`` is for both machines, every other event for the worker."""


class Node:
    """A worker, with the source on rank 0."""

    def __init__(self, worker: WorkerBase[Any], source: Source | None = None) -> None:
        self.worker = worker
        self.source = source
        if source is not None and worker.setup.scheme.priced:
            source.room = lambda: worker.room

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """What this rank must do about ``event`` at ``now``."""
        source, kind = self.source, type(event)
        if source is None:
            return self.worker.handle(event, now)
        if kind is Tick:
            instructions = self._tick(source, event, now)
        elif kind in TO_SOURCE:
            said = TO_SOURCE[kind](source, event, now)
            instructions = self._settle(source, self._follow(*said, now), now)
        else:
            instructions = self._settle(source, self.worker.handle(event, now), now)
        while source.held_back and self.worker.room > 0:
            admitted = self._follow(*source.admit_more(now), now)
            instructions += self._settle(source, admitted, now)
        return instructions

    def _tick(self, source: Source, event: Event, now: float) -> list[Instruction]:
        instructions: list[Instruction] = []
        if now >= self.worker.next_wake():
            instructions = self._settle(source, self.worker.handle(event, now), now)
        if now >= source.next_wake():
            ticked = source.tick(now, self.worker.queued)
            instructions += self._settle(source, self._follow(*ticked, now), now)
        return instructions

    def story(self, now: float) -> list[str]:
        """Both machines' state and last moments, for the text of an ``InvariantError``."""
        source = [] if self.source is None else self.source.story(now)
        return source + self.worker.story()

    def is_due(self, now: float) -> bool:
        """Whether ``Tick`` is due; the costly question only where the cheap one allows it."""
        return now >= self.soonest_wake() and now >= self.next_wake()

    def speak_up(self) -> None:
        """Let the next ``Tick`` tell every neighbour of this worker: it has just started."""
        for neighbour in self.worker.neighbours.values():
            neighbour.spoken_s = -math.inf

    def next_wake(self) -> float:
        """When ``Tick`` is due."""
        if self.source is None:
            return self.worker.next_wake()
        return min(self.worker.next_wake(), self.source.next_wake())

    def soonest_wake(self) -> float:
        """No later than ``next_wake``, and cheap to tell."""
        if self.source is None:
            return self.worker.soonest_wake()
        worker_s, source_s = self.worker.soonest_wake(), self.source.next_wake()
        return worker_s if worker_s < source_s else source_s

    def _settle(
        self, source: Source, instructions: list[Instruction], now: float
    ) -> list[Instruction]:
        """Give the source its results and suspicions, until nothing is left between the two.

        Everything leaves in the order in which it was made: a batch of an item that the source
        admits now must not come before those that the worker has handed to its engine already.
        """
        settled: list[Instruction] = []
        for instruction in instructions:  # which grows by what follows from it
            if type(instruction) is Finish:
                instructions += self._follow(*source.finish(instruction.result, now), now)
            elif type(instruction) is ReportSuspect:
                event = Suspected(instruction.rank, instruction.copies)
                instructions += self._follow(*source.suspect(event, now), now)
            else:
                settled.append(instruction)
        return settled

    def _follow(
        self, admissions: list[Task], instructions: list[Instruction], now: float
    ) -> list[Instruction]:
        """What the source said, then what the worker makes of new thresholds and admitted items."""
        followed = instructions.copy()
        for instruction in instructions:
            if type(instruction) is Announce:
                followed += self.worker.handle(ThresholdsSet(instruction.thresholds), now)
            elif type(instruction) is Cancel:
                followed += self.worker.handle(Cancelled(instruction.items), now)
        for task in admissions:
            followed += self.worker.admit(task, now)
        return followed
