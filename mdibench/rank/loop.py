"""The loop of one rank in real time: poll the links, feed the node, perform its instructions.

MPI belongs to this thread, torch to the compute thread. Waiting must not occupy a core: the loop
sleeps between polls, a little longer each time, as long as nothing comes that the node acts on. A
finished batch wakes it at once; a message waits ``LONGEST_SLEEP_S`` at most.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from mdibench.assembly.sampling import ProcessFacts, link_rows, telemetry_row
from mdibench.core.events import (
    Announce,
    Cancel,
    Compute,
    EndRun,
    Event,
    Note,
    ReportSuspect,
    Send,
    Tick,
)
from mdibench.core.node import Node
from mdibench.core.rows import Row
from mdibench.errors import InvariantError
from mdibench.rank.computing import Computing
from mdibench.rank.hooks import Hooks
from mdibench.rank.scripted_events import Happened, Script
from mdibench.transport.post_office import Mail, PostOffice

BATCHES_S = 2e-4
"""Batches are taken, and computed inline, for so long before anything else has its turn."""
ALONE_S = 2e-3
"""The same on a rank without neighbours, where nothing else waits but ticks and samples."""
SHORTEST_SLEEP_S = 20e-6
BUSY_SLEEP_S = 5e-4
QUIET_SLEEP_S = 1e-3
"""The first sleep while the engine works and has its next batch: until one of them is done, no
message can change what this rank computes, and every poll takes the interpreter from the engine."""
LONGEST_SLEEP_S = 4e-3
"""A message that comes while the loop sleeps waits this long at most."""

STALL_S = 0.1
"""A turn that takes longer did not run: the process was stopped, or the machine was."""
CATCH_UP_POLLS = 10_000
"""At most, so that a loop that cannot keep up still ticks."""


def longer(sleep_s: float) -> float:
    """The next sleep without a message: doubled at first, then slowly up to the longest.

    So a busy rank answers within ``BUSY_SLEEP_S``; only a rank that has been idle for a tenth of a
    second sleeps longer.
    """
    growth = 2.0 if sleep_s < BUSY_SLEEP_S else 1.02
    return min(growth * sleep_s, LONGEST_SLEEP_S)


@dataclass(frozen=True, slots=True)
class LoopSetup:
    """Clock and sampling period of the loop. ``clock`` returns seconds since the run's start."""

    clock: Callable[[], float]
    sample_s: float
    process: Callable[[], ProcessFacts]


class Loop:
    """Drives one node until its hooks are finished."""

    def __init__(
        self,
        setup: LoopSetup,
        node: Node,
        post: PostOffice,
        compute: Computing,
        hooks: Hooks,
        script: Script | None = None,
    ) -> None:
        self.setup = setup
        self._clock = setup.clock
        self._script = script
        self.node = node
        self.post = post
        self.compute = compute
        self.hooks = hooks
        self._rows: list[Row] = []
        self._next_sample_s = 0.0
        self._sleep_s = SHORTEST_SLEEP_S
        self._acted = False
        """Whether the node has had a batch to compute, or a body to send, since the last rest."""
        self._turned_s = 0.0
        self._alone = post.endpoint.size == 1
        self._batches_s = ALONE_S if self._alone else BATCHES_S
        self._perform = {
            Compute: self._compute,
            Send: self._send,
            Announce: self._announce,
            Cancel: self._cancel,
            ReportSuspect: self._report_suspect,
            Note: self._note,
            EndRun: self._end,
        }

    def run(self) -> None:
        """Run until the hooks are finished; after an error, the rows noted so far are kept."""
        try:
            while not self.hooks.finished:
                self._turn()
        except BaseException as error:
            self.hooks.keep(self._rows)
            if isinstance(error, InvariantError) and not error.story:
                error.tell(self.node.story(self._clock()))
            raise

    def _turn(self) -> None:
        news = self._poll_all()
        now = self._catch_up()
        if self._script is not None and now >= self._script.next_s:
            self._follow(self._script.take(now), now)
        if self.node.is_due(now):
            self._feed(Tick(), now)
        if now >= self._next_sample_s or self.hooks.wants_sample:
            self._next_sample_s = now + self.setup.sample_s
            self.sample(now)
        if not news:
            self._rest()

    def _follow(self, happened: Happened, now: float) -> None:
        """Scripted events took place on this rank."""
        self.node = happened.node
        self._rows += happened.rows
        for event in happened.events:
            self._feed(event, now)

    def _catch_up(self) -> float:
        """After this rank itself stood still: take all that has waited, before silence is judged.

        The others had no way to be heard meanwhile. Returns the time of this turn.
        """
        now = self._clock()
        if now - self._turned_s > STALL_S:
            for _ in range(CATCH_UP_POLLS):
                if not self._poll_all():
                    break
            now = self._clock()
        self._turned_s = now
        return now

    def sample(self, now: float) -> None:
        """Record this rank's telemetry."""
        traffic = self.post.traffic
        traffic.overruns, traffic.flops = self.compute.overruns, self.compute.flops
        self._rows.append(telemetry_row(self.node, traffic, now, self.setup.process()))
        self._rows += link_rows(self.node, traffic, now)
        rows, self._rows = self._rows, []
        self.hooks.record(rows, now)
        event = self.hooks.after_sample(now)
        if event is not None:
            self._feed(event, now)

    # --- waiting ------------------------------------------------------------------------------

    def _poll_all(self) -> bool:
        """Take what has come, and finished batches; whether anything happened.

        Of calls that take next to no time, several in a row, before the links are polled again.
        """
        news = self._poll_links()
        return self._collect_all() or news

    def _poll_links(self) -> bool:
        """Take what has come; whether anything has."""
        incoming = [] if self._alone else self.post.poll()
        for event in incoming:
            self._take(event)
        return bool(incoming)

    def _collect_all(self) -> bool:
        """Feed finished batches to the node, for ``_batches_s`` at most; whether there was one."""
        compute, clock, taken = self.compute, self._clock, False
        until_s = clock() + self._batches_s
        while (computed := compute.wait(0.0)) is not None:
            now, taken = clock(), True
            self._feed(computed, now)
            if now >= until_s:
                break
        return taken

    def _rest(self) -> None:
        """Sleep and poll until a batch is finished, a message has come or something is due."""
        if self._acted:
            self._acted, self._sleep_s = False, SHORTEST_SLEEP_S
        now, due_s = self._clock(), self._due_s()
        while now < due_s and now - self._turned_s <= STALL_S:
            self._turned_s = now
            if self._collect(min(due_s - now, self._next_sleep_s())) or self._poll_links():
                return
            now = self._clock()

    def _due_s(self) -> float:
        """When a tick, a sample, a scripted event or a message on an emulated link is due."""
        due_s = min(self.node.next_wake(), self._next_sample_s)
        if self._script is not None:
            due_s = min(due_s, self._script.next_s)
        return min(due_s, self.post.next_due() - time.perf_counter() + self._clock())

    def _next_sleep_s(self) -> float:
        if self._alone:
            return math.inf
        sleep_s = self._sleep_s
        if self.compute.supplied:
            sleep_s = max(sleep_s, QUIET_SLEEP_S)
        self._sleep_s = longer(sleep_s)
        return sleep_s

    def _collect(self, seconds: float) -> bool:
        """Feed a finished batch to the node, waiting for one up to ``seconds``."""
        computed = self.compute.wait(seconds)
        if computed is None:
            return False
        self._feed(computed, self._clock())
        return True

    # --- events in, instructions out ------------------------------------------------------------

    def _take(self, event: Event | Mail) -> None:
        now = self._clock()
        if isinstance(event, Mail):
            self.hooks.mail(event, now)
        else:
            self._feed(event, now)

    def _feed(self, event: Event, now: float) -> None:
        for instruction in self.node.handle(event, now):
            self._perform[type(instruction)](instruction)  # type: ignore[operator]

    def _compute(self, instruction: Compute) -> None:
        self._acted = True
        self.compute.submit(instruction.tasks)

    def _send(self, instruction: Send) -> None:
        self._acted = self._acted or instruction.body is not None
        self.post.send(instruction.target, instruction.state, instruction.body)

    def _announce(self, instruction: Announce) -> None:
        self.post.announce(instruction.thresholds)

    def _cancel(self, instruction: Cancel) -> None:
        self.post.cancel(instruction.items)

    def _report_suspect(self, instruction: ReportSuspect) -> None:
        self.post.report_suspect(instruction.rank, instruction.copies)

    def _note(self, instruction: Note) -> None:
        self._rows.append(instruction.row)

    def _end(self, instruction: EndRun) -> None:
        self.hooks.ended(instruction.reason)
