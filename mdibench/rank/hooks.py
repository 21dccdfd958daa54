"""What the loop's driver does beside the state machines: on rank 0 the run's files, else reports.

A rank sends its rows to rank 0 and, told to stop, a last batch marked ``FINAL``. Rank 0 appends
all rows to the run's files and leaves once every rank has sent its last.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mdibench.assembly.progress import Progress
from mdibench.assembly.sampling import log_line
from mdibench.core.events import Event, StopRequested
from mdibench.core.node import Node
from mdibench.core.records import SOURCE
from mdibench.core.rows import EventRow, Row
from mdibench.core.wire import HEADER_BYTES, MessageKind, pack_rows, unpack_rows
from mdibench.errors import InvariantError, MdibenchError, WireError
from mdibench.record.run_folder import STOP, RunWriter
from mdibench.transport.post_office import Mail, PostOffice

log = logging.getLogger(__name__)
LAST_WORDS_S = 15.0
"""How long rank 0 waits for the other ranks' last telemetry."""


class RemoteFailure(MdibenchError):
    """Another rank failed: ``status`` is what the job must end with."""

    def __init__(self, rank: int, status: int, text: str) -> None:
        super().__init__(f"rank {rank}: {text}")
        self.status = status


class StrayErrors(logging.Handler):
    """Errors of threads that nobody joins, and log lines, brought to the loop's attention."""

    def __init__(self, rank: int, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._rank, self._clock = rank, clock
        self._rows: list[Row] = []
        self._errors: list[BaseException] = []
        threading.excepthook = self._on_thread_error

    def _on_thread_error(self, failure: threading.ExceptHookArgs) -> None:
        self._errors.append(failure.exc_value or RuntimeError(str(failure.exc_type)))

    def emit(self, record: logging.LogRecord) -> None:
        """A log line becomes a row of the table ``events``."""
        row = EventRow(
            t_s=self._clock(),
            rank=self._rank,
            level=record.levelname.lower(),
            kind="log",
            text=record.getMessage(),
        )
        self._rows.append(row)

    def take(self) -> list[Row]:
        """Rows since the last call; raises the first error that a thread left behind."""
        if self._errors:
            raise self._errors[0]
        rows, self._rows = self._rows, []
        return rows


class Hooks(Protocol):
    """What the loop needs of them. ``wants_sample``: a sample is due at once, the last one."""

    finished: bool

    @property
    def wants_sample(self) -> bool:
        """Whether the last sample is due."""

    def record(self, rows: list[Row], now: float) -> None:
        """Take rows of the run's files."""

    def keep(self, rows: list[Row]) -> None:
        """Take the last rows of a run that fails."""

    def mail(self, mail: Mail, now: float) -> None:
        """Take a message that is not for the state machines."""

    def ended(self, reason: str) -> None:
        """The source says that the run is over."""

    def look_around(self, now: float) -> Event | None:
        """Called after every sample; may bring an event."""


class WorkerHooks:
    """Every rank but 0."""

    def __init__(self, post: PostOffice, strays: StrayErrors) -> None:
        self.finished = False
        self.wants_sample = False
        self._post = post
        self._strays = strays
        self._handed_in = 0
        """Messages of telemetry so far."""

    def record(self, rows: list[Row], now: float) -> None:
        """Send the rows to rank 0."""
        rows += self._strays.take()
        for part in _parts(rows, self._post.endpoint.pool.size - HEADER_BYTES):
            self._post.control(SOURCE, MessageKind.TELEMETRY, part)
            self._handed_in += 1
        if self.wants_sample:
            self._post.control(SOURCE, MessageKind.FINAL, rank=self._handed_in)
            self.finished = True

    def keep(self, rows: list[Row]) -> None:
        """Rank 0 alone has files to keep them in."""

    def mail(self, mail: Mail, now: float) -> None:
        """Told to stop, the next sample is the last one."""
        if mail.kind is MessageKind.STOP:
            self.wants_sample = True

    def ended(self, reason: str) -> None:
        """Only the source ends a run."""
        raise InvariantError("a worker ended the run")

    def look_around(self, now: float) -> Event | None:
        """Nothing to see."""
        return None


class SourceHooks:
    """Rank 0."""

    def __init__(
        self,
        post: PostOffice,
        node: Node,
        writer: RunWriter,
        strays: StrayErrors,
        progress: Progress,
    ) -> None:
        self.finished = False
        self.writer = writer
        self._post = post
        self._node = node
        self._strays = strays
        self._progress = progress
        self._log = (Path(writer.folder) / "log.txt").open("a", encoding="utf-8")
        self._owed = dict.fromkeys(range(1, post.endpoint.size), math.inf)
        """Messages of telemetry that each rank has yet to hand in: known with its last words."""
        self._taken = dict.fromkeys(self._owed, 0)
        self._stopping = False
        self.reason = ""
        """Who ended the run early."""
        self._deadline_s = float("inf")

    def record(self, rows: list[Row], now: float) -> None:
        """Append the rows to the run's files."""
        self.keep([*rows, *self._strays.take()])

    def keep(self, rows: list[Row]) -> None:
        """Append the rows, whatever else went wrong."""
        for row in rows:
            self.writer.append(row)
            if isinstance(row, EventRow):
                self._log.write(log_line(row))

    def mail(self, mail: Mail, now: float) -> None:
        """Rows of other ranks, their last words, or the news that one has failed."""
        if mail.kind is MessageKind.TELEMETRY:
            self._taken[mail.sender] += 1
            try:
                self.record(unpack_rows(mail.payload), now)
            except WireError as error:
                self._post.traffic.refused += 1
                log.warning("telemetry of rank %d refused: %s", mail.sender, error)
        elif mail.kind is MessageKind.FINAL:
            self._owed[mail.sender] = mail.rank
        elif mail.kind is MessageKind.FAILURE:
            raise RemoteFailure(mail.sender, mail.rank, mail.payload.decode(errors="replace"))

    @property
    def wants_sample(self) -> bool:
        """Whether every rank has handed in, or the wait for them is over."""
        return self._stopping and (not self._missing() or time.perf_counter() > self._deadline_s)

    def _missing(self) -> list[int]:
        """Ranks that have not handed in all: short last words can overtake long telemetry."""
        return [rank for rank, owed in self._owed.items() if self._taken[rank] < owed]

    def ended(self, reason: str) -> None:
        """Tell all ranks to hand in what they have and stop."""
        self._stopping, self.reason = True, reason
        self._deadline_s = time.perf_counter() + LAST_WORDS_S
        for rank in self._owed:
            self._post.control(rank, MessageKind.STOP)

    def look_around(self, now: float) -> Event | None:
        """Flush, show progress, look for a request to stop, and leave when all is in.

        Raises MdibenchError where a rank does not hand in its last rows.
        """
        self.writer.flush()
        self._log.flush()
        source = self._node.source
        assert source is not None
        self._progress.show(source, now)
        if self.wants_sample:
            if missing := self._missing():  # whoever waited for them at the end would wait for ever
                gone = ", ".join(f"rank {rank}" for rank in missing)
                what = f"{gone}: no last telemetry within {LAST_WORDS_S:g} s of the end; gone?"
                raise MdibenchError(what)
            self.finished = True
        elif source.phase == "admitting" and (self.writer.folder / STOP).exists():
            return StopRequested("asked by the monitor")
        return None

    def close(self) -> None:
        """Close the log."""
        self._progress.clear()
        self._log.close()


def _parts(rows: list[Row], limit: int) -> list[bytes]:
    """Rows as JSON in messages of at most ``limit`` bytes."""
    packed = pack_rows(rows)
    if len(packed) <= limit:
        return [packed] if rows else []
    if len(rows) == 1:
        log.warning("a row of %d bytes is too large to send and was left out", len(packed))
        return []
    half = len(rows) // 2
    return _parts(rows[:half], limit) + _parts(rows[half:], limit)
