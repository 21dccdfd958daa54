"""The loop's calls for records and control: run files on rank 0, telemetry messages elsewhere.

A worker sends its rows to rank 0 and, when told to stop, a message ``FINAL`` with the number of
telemetry messages it has sent. Rank 0 appends all rows to the run's files and finishes when it has
all of them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mdibench.assembly.sampling import Progress, log_line
from mdibench.core.events import Event, StopRequested
from mdibench.core.node import Node
from mdibench.core.records import SOURCE
from mdibench.core.rows import EventRow, Row
from mdibench.core.wire import HEADER_BYTES, MessageKind, pack_rows, unpack_rows
from mdibench.errors import InvariantError, MdibenchError, WireError
from mdibench.record.run_folder import STOP, RunWriter
from mdibench.transport.post_office import Mail, PostOffice

log = logging.getLogger(__name__)
TELEMETRY_TIMEOUT_S = 15.0
"""How long rank 0 waits at the end for the telemetry of the other ranks."""


class RemoteFailure(MdibenchError):
    """Another rank failed; ``status`` is the exit status of the job."""

    def __init__(self, rank: int, status: int, text: str) -> None:
        super().__init__(f"rank {rank}: {text}")
        self.status = status


class BackgroundErrors(logging.Handler):
    """Collects log lines and uncaught errors of other threads for the loop."""

    def __init__(self, rank: int, clock: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._rank, self._clock = rank, clock
        self._rows: list[Row] = []
        self._errors: list[BaseException] = []
        threading.excepthook = self._on_thread_error

    def _on_thread_error(self, failure: threading.ExceptHookArgs) -> None:
        self._errors.append(failure.exc_value or RuntimeError(str(failure.exc_type)))

    def emit(self, record: logging.LogRecord) -> None:
        """Add the log line as a row of the table ``events``."""
        row = EventRow(
            t_s=self._clock(),
            rank=self._rank,
            level=record.levelname.lower(),
            kind="log",
            text=record.getMessage(),
        )
        self._rows.append(row)

    def take(self) -> list[Row]:
        """Rows since the last call; raises the first uncaught error of a thread."""
        if self._errors:
            raise self._errors[0]
        rows, self._rows = self._rows, []
        return rows


class Hooks(Protocol):
    """What the loop calls; ``finished`` ends it."""

    finished: bool

    @property
    def wants_sample(self) -> bool:
        """Whether the last sample is due now."""

    def record(self, rows: list[Row], now: float) -> None:
        """Store rows of the run's tables, or send them to rank 0."""

    def keep(self, rows: list[Row]) -> None:
        """Store the last rows of a run that fails."""

    def mail(self, mail: Mail, now: float) -> None:
        """Handle a message that is not for the state machines."""

    def ended(self, reason: str) -> None:
        """The source has ended the run."""

    def after_sample(self, now: float) -> Event | None:
        """Called after every sample; may return an event for the node."""


class WorkerHooks:
    """The hooks of every rank but 0."""

    def __init__(self, post: PostOffice, background: BackgroundErrors) -> None:
        self.finished = False
        self.wants_sample = False
        self._post = post
        self._background = background
        self._sent = 0
        """Telemetry messages sent."""

    def record(self, rows: list[Row], now: float) -> None:
        """Send the rows to rank 0."""
        rows += self._background.take()
        for part in _parts(rows, self._post.endpoint.pool.size - HEADER_BYTES):
            self._post.control(SOURCE, MessageKind.TELEMETRY, part)
            self._sent += 1
        if self.wants_sample:
            self._post.control(SOURCE, MessageKind.FINAL, rank=self._sent)
            self.finished = True

    def keep(self, rows: list[Row]) -> None:
        """Nothing: only rank 0 has files."""

    def mail(self, mail: Mail, now: float) -> None:
        """After STOP, the next sample is the last one."""
        if mail.kind is MessageKind.STOP:
            self.wants_sample = True

    def ended(self, reason: str) -> None:
        """Only the source ends a run."""
        raise InvariantError("a worker ended the run")

    def after_sample(self, now: float) -> Event | None:
        """No event. Without rank 0 there is no ledger, and nobody to end the run."""
        if SOURCE in self._post.endpoint.failed:
            raise MdibenchError("the process of rank 0 is gone")
        return None


class SourceHooks:
    """The hooks of rank 0."""

    def __init__(
        self,
        post: PostOffice,
        node: Node,
        writer: RunWriter,
        background: BackgroundErrors,
        progress: Progress,
    ) -> None:
        self.finished = False
        self.writer = writer
        self._post = post
        self._node = node
        self._background = background
        self._progress = progress
        self._log = (Path(writer.folder) / "log.txt").open("a", encoding="utf-8")
        self._expected = dict.fromkeys(range(1, post.endpoint.size), math.inf)
        """Telemetry messages of each rank in all: known from its FINAL message."""
        self._received = dict.fromkeys(self._expected, 0)
        self._failed: set[int] = set()
        self._stopping = False
        self.reason = ""
        """Why the run ended early; empty otherwise."""
        self._deadline_s = float("inf")

    def record(self, rows: list[Row], now: float) -> None:
        """Append the rows to the run's files."""
        self.keep([*rows, *self._background.take()])

    def keep(self, rows: list[Row]) -> None:
        """Append the rows; after an error too."""
        for row in rows:
            self.writer.append(row)
            if isinstance(row, EventRow):
                self._log.write(log_line(row))

    def mail(self, mail: Mail, now: float) -> None:
        """Rows of other ranks, the number of their messages, or the failure of one."""
        if mail.kind is MessageKind.TELEMETRY:
            self._received[mail.sender] += 1
            try:
                self.record(unpack_rows(mail.payload), now)
            except WireError as error:
                self._post.traffic.refused += 1
                log.warning("telemetry of rank %d refused: %s", mail.sender, error)
        elif mail.kind is MessageKind.FINAL:
            self._expected[mail.sender] = mail.rank
        elif mail.kind is MessageKind.FAILURE:
            raise RemoteFailure(mail.sender, mail.rank, mail.payload.decode(errors="replace"))

    @property
    def wants_sample(self) -> bool:
        """Whether all telemetry has arrived, or the time for it is over."""
        return self._stopping and (not self._missing() or time.perf_counter() > self._deadline_s)

    def _missing(self) -> list[int]:
        """Ranks with telemetry under way: a short FINAL can overtake long telemetry messages."""
        return [
            rank
            for rank, count in self._expected.items()
            if self._received[rank] < count and rank not in self._post.endpoint.failed
        ]

    def ended(self, reason: str) -> None:
        """Tell all ranks to send their last rows and stop."""
        self._stopping, self.reason = True, reason
        self._deadline_s = time.perf_counter() + TELEMETRY_TIMEOUT_S
        for rank in self._expected:
            self._post.control(rank, MessageKind.STOP)

    def after_sample(self, now: float) -> Event | None:
        """Flush, show progress, check for a request to stop, and finish when all rows are here.

        Raises MdibenchError if the last rows of a rank do not arrive in time.
        """
        self.writer.flush()
        with self.writer.recording():
            self._log.flush()
        source = self._node.source
        assert source is not None
        self._progress.show(source, now)
        self._note_failed(now)
        if self.wants_sample:
            if missing := self._missing():  # a barrier with these ranks would never end
                gone = ", ".join(f"rank {rank}" for rank in missing)
                timeout = f"{TELEMETRY_TIMEOUT_S:g} s"
                raise MdibenchError(f"{gone}: telemetry incomplete {timeout} after the end")
            self.finished = True
        elif source.phase == "admitting" and (self.writer.folder / STOP).exists():
            return StopRequested(self._who_asked())
        return None

    def _who_asked(self) -> str:
        """The text in the file that asks the run to end; the monitor's is empty."""
        try:
            text = (self.writer.folder / STOP).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        return text[:80] or "asked by the monitor"

    def _note_failed(self, now: float) -> None:
        """Record ranks whose processes are gone, once."""
        for rank in sorted(self._post.endpoint.failed - self._failed):
            self._failed.add(rank)
            text = f"rank {rank}: its process is gone; the others go on without it"
            self.keep([EventRow(now, rank, "error", "gone", text)])
            self.writer.update(warnings=[*self.writer.warnings, text])

    def close(self) -> None:
        """Close the log."""
        self._progress.clear()
        with suppress(OSError):  # a full disk: said already
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
