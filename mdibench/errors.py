"""Every failure that mdibench raises on purpose, and the exit status it ends with.

A ``Problem`` is something that a user can mend: one line that says what, where and the remedy.
Commands collect problems and raise them together, so that five mistakes are reported in one go.
``say`` is the one way to write a line to the person at the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

OK = 0
INTERNAL_ERROR = 1
USAGE_ERROR = 2
CRITERIA_FAILED = 3
INCOMPARABLE = 4
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: ``where`` is a file with line, a key, or an option."""

    what: str
    where: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return in_one_line(f"{place}{self.what}{remedy}")


def in_one_line(text: str) -> str:
    """``text`` with line ends as spaces, and what else moves a terminal's cursor as its code."""
    joined = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)


class MdibenchError(Exception):
    """Root of the tree. ``status`` is the exit status of a command that ends with it."""

    status = INTERNAL_ERROR


class UserError(MdibenchError):
    """Bad input: a config, a file, an option or an environment that the user can mend."""

    status = USAGE_ERROR

    def __init__(self, *problems: Problem | str) -> None:
        self.problems: Sequence[Problem] = [
            p if isinstance(p, Problem) else Problem(p) for p in problems
        ]
        super().__init__("\n".join(str(p) for p in self.problems))


class CriteriaFailed(MdibenchError):
    """The command worked, and what it was asked to check does not hold."""

    status = CRITERIA_FAILED


class IncomparableRuns(MdibenchError):
    """Two runs that no honest comparison can put side by side."""

    status = INCOMPARABLE


class WireError(MdibenchError):
    """A message that does not follow the wire format: counted, logged and refused."""


class InvariantError(MdibenchError):
    """The state machines contradict themselves: a bug in mdibench, never the user's fault.

    ``item`` is the item that it is about, if any. Whoever knows more adds its ``story``, so that
    the text alone is enough to find the fault.
    """

    def __init__(self, what: str, item: int | None = None) -> None:
        self.what, self.item = what, item
        self.story: list[str] = []
        super().__init__(what)

    def tell(self, lines: Iterable[str]) -> None:
        """Add lines of a machine's story."""
        self.story += lines

    def __str__(self) -> str:
        return "\n  ".join([self.what, *self.story])


def say(line: str) -> None:
    """One line on stderr, so that results on stdout stay clean.

    It is one write, so that the lines of several ranks do not interleave.
    """
    write_stderr(f"mdibench: {line}\n")


def write_stderr(text: str) -> None:
    """``text`` to the person at the terminal, who may have closed it: then nobody reads it."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def interruption(error: BaseException | None) -> KeyboardInterrupt | None:
    """The signal that is the cause; the import of a C extension makes an ImportError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error
