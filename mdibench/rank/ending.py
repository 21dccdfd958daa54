"""How a job ends: complete, or with all ranks stopped, the files closed and the error shown.

An uncaught error on one rank must end all of them, since MPI would otherwise wait for ever. A
failed worker reports to rank 0, which closes the run's files, shows the error and ends the job.
Writing the files of a long run takes time, so a worker gives rank 0 ``CLOSE_TIMEOUT_S`` before it
ends the job itself. If its report does not reach rank 0 within ``REPORT_TIMEOUT_S``, the worker
shows the error itself.

A step of the set-up that can fail because of the user's input ends in an agreement of all ranks
instead (``together``, ``from_source``): the user gets one message, and no rank waits for another
that has left.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from mdibench.core.records import SOURCE
from mdibench.errors import (
    INTERNAL_ERROR,
    INTERRUPTED,
    MdibenchError,
    Problem,
    UserError,
    interruption,
    say,
)
from mdibench.rank.guard import BY_INTERRUPT, BY_SIGTERM
from mdibench.record.run_folder import RunWriter

if TYPE_CHECKING:
    from mdibench.rank.hooks import SourceHooks
    from mdibench.transport.mpi import RankGroup
    from mdibench.transport.post_office import PostOffice

T = TypeVar("T")
REPORT_TIMEOUT_S = 3.0
CLOSE_TIMEOUT_S = 60.0
_LONGEST_TEXT = 16_000
"""Bytes, for the story of an ``InvariantError``; every message has room for more."""


class Ending:
    """Context manager around the work of a rank. SIGUSR1 prints the rank's stacks."""

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self._writer: RunWriter | None = None
        self._outcome: Callable[[], dict[str, Any]] = dict
        self._hooks: SourceHooks | None = None
        self._post: PostOffice | None = None

    def keep(
        self, writer: RunWriter, outcome: Callable[[], dict[str, Any]], hooks: SourceHooks
    ) -> None:
        """Rank 0: close the run's files at the end, after an error too."""
        self._writer, self._outcome, self._hooks = writer, outcome, hooks

    @property
    def folder(self) -> Path | None:
        """The run's folder, on rank 0."""
        return self._writer.folder if self._writer else None

    def report_through(self, post: PostOffice) -> None:
        """Other ranks: report a failure to rank 0 through ``post``."""
        self._post = post

    def __enter__(self) -> Ending:
        signal.signal(signal.SIGTERM, _terminated)
        faulthandler.register(signal.SIGUSR1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, UserError) and self._writer is None:
            return
        if error is None:
            self._finish("complete", self._hooks.reason if self._hooks is not None else "")
        else:
            self._fail(error)

    def _finish(self, status: str, reason: str) -> None:
        if self._hooks is not None:
            self._hooks.close()
        if self._writer is not None:
            self._writer.finish(status, reason, **self._outcome())

    def _fail(self, error: BaseException) -> None:
        """End all ranks because of ``error``. Does not return."""
        status, text = _verdict(error)
        try:
            if self._group.rank == SOURCE:
                self._close_failed(error, text)
            else:
                time.sleep(self._tell_source(status, text))
        finally:
            sys.stdout.flush()
            self._group.abort(status)

    def _close_failed(self, error: BaseException, text: str) -> None:
        say(text)
        if self._writer is None:
            return
        with (
            suppress(OSError),  # a full disk, or a folder that is gone: said already
            (self._writer.folder / "log.txt").open("a", encoding="utf-8") as log,
        ):
            log.write("".join(traceback.format_exception(error)))
        status = "failed" if interruption(error) is None else "aborted"
        self._finish(status, text.partition("\n")[0])
        if self._writer.folder.is_dir():
            say(f"the rows recorded so far are in {self._writer.folder}")

    def _tell_source(self, status: int, text: str) -> float:
        """Report to rank 0, else to the user; return the seconds that rank 0 has to end the job."""
        post, for_all = self._post, status == INTERRUPTED  # rank 0 is interrupted too, most likely
        if post is not None and SOURCE in post.endpoint.failed:
            say(f"rank {self._group.rank}: {text}")
            return 0.0
        reported = post is not None and post.fail(
            text.encode()[:_LONGEST_TEXT], status, REPORT_TIMEOUT_S
        )
        if not reported and not for_all:
            say(f"rank {self._group.rank}: {text}")
        if post is None:  # the run has no files yet
            return REPORT_TIMEOUT_S if for_all else 0.0
        return CLOSE_TIMEOUT_S


def _verdict(error: BaseException) -> tuple[int, str]:
    """The job's exit status and the reason in one line."""
    if (cause := interruption(error)) is not None:
        return INTERRUPTED, str(cause) or BY_INTERRUPT
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else INTERNAL_ERROR
        return status, f"SystemExit({error.code})"
    if isinstance(error, MdibenchError):
        return error.status, str(error)
    place = traceback.extract_tb(error.__traceback__)
    where = f" ({place[-1].filename}:{place[-1].lineno})" if place else ""
    return INTERNAL_ERROR, f"{type(error).__name__}: {error}{where}"


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(BY_SIGTERM)


# --- agreement -----------------------------------------------------------------------------------


def together(group: RankGroup, step: Callable[[], T]) -> T:
    """Run ``step`` on every rank; if it raises UserError on any, all ranks raise the problems."""
    result, problems = _attempt(step)
    shared = group.share(problems)
    _raise([problem for of_rank in shared for problem in of_rank])
    return result[0]


def from_source(group: RankGroup, step: Callable[[], Any]) -> Any:
    """Run ``step`` on rank 0; every rank returns its (JSON-able) result or raises its UserError."""
    message = None
    if group.rank == SOURCE:
        message = json.dumps(_attempt(step)).encode()
    result, problems = json.loads(group.broadcast(message))
    _raise(problems)
    return result[0]


def _attempt(step: Callable[[], T]) -> tuple[list[T], list[Sequence[str]]]:
    """The result in a list and no problems, or an empty list and the problems."""
    try:
        return [step()], []
    except UserError as error:
        return [], [(p.what, p.where, p.remedy) for p in error.problems]


def _raise(problems: Sequence[Sequence[str]]) -> None:
    distinct = dict.fromkeys(tuple(problem) for problem in problems)
    if distinct:
        raise UserError(*(Problem(*parts) for parts in distinct))
