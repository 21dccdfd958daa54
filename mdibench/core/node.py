"""One rank's machine: a worker, and on rank 0 the source beside it.

Drivers see only this: ``handle`` an event, perform the instructions, call again at ``next_wake``.
Results that reach rank 0 and items that the source admits never leave this room.
"""

from __future__ import annotations

from mdibench.core.events import (
    Announce,
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
from mdibench.core.source import Source
from mdibench.core.worker import Worker


class Node:
    """A worker, with the source on rank 0."""

    def __init__(self, worker: Worker, source: Source | None = None) -> None:
        self.worker = worker
        self.source = source

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """What this rank must do about ``event`` at ``now``."""
        source = self.source
        if source is None:
            return self.worker.handle(event, now)
        if isinstance(event, Suspected):
            return self._follow(*source.suspect(event, now), now)
        if isinstance(event, StopRequested):
            return self._follow(*source.stop(event, now), now)
        if not isinstance(event, Tick):
            return self._route(self.worker.handle(event, now), now)
        instructions: list[Instruction] = []
        if now >= self.worker.next_wake():
            instructions = self._route(self.worker.handle(event, now), now)
        if now >= source.next_wake():
            instructions += self._follow(*source.tick(now, self.worker.queued), now)
        return instructions

    def is_due(self, now: float) -> bool:
        """Whether ``Tick`` is due; the costly question only where the cheap one allows it."""
        return now >= self.soonest_wake() and now >= self.next_wake()

    def next_wake(self) -> float:
        """When ``Tick`` is due."""
        if self.source is None:
            return self.worker.next_wake()
        return min(self.worker.next_wake(), self.source.next_wake())

    def soonest_wake(self) -> float:
        """No later than ``next_wake``, and cheap to tell."""
        if self.source is None:
            return self.worker.soonest_wake()
        return min(self.worker.soonest_wake(), self.source.next_wake())

    def _route(self, instructions: list[Instruction], now: float) -> list[Instruction]:
        """Take results and suspicions out of the worker's instructions and give them the source.

        The rest goes first: a batch of an item that the source then admits must not come before
        those that the worker has handed to its engine already.
        """
        assert self.source is not None
        routed: list[Instruction] = []
        routed += (i for i in instructions if not isinstance(i, (Finish, ReportSuspect)))
        for instruction in instructions:
            if isinstance(instruction, Finish):
                routed += self._follow(*self.source.finish(instruction.result, now), now)
            elif isinstance(instruction, ReportSuspect):
                event = Suspected(instruction.rank, instruction.copies)
                routed += self._follow(*self.source.suspect(event, now), now)
        return routed

    def _follow(
        self, admissions: list[Task], instructions: list[Instruction], now: float
    ) -> list[Instruction]:
        """What the worker makes of admitted items and of new thresholds."""
        followed = list(instructions)
        for instruction in instructions:
            if isinstance(instruction, Announce):
                event = ThresholdsSet(instruction.thresholds)
                followed += self._route(self.worker.handle(event, now), now)
        for task in admissions:
            followed += self._route(self.worker.admit(task, now), now)
        return followed
