"""The progress line of a run on stderr: rewritten in place on a terminal, else a plain line."""

from __future__ import annotations

import math
import os
import sys

from mdibench.core.source import Source
from mdibench.errors import write_stderr

TERMINAL_VARIABLE = "MDIBENCH_TERMINAL"
"""Set by ``run --ranks`` on a terminal: ranks under a launcher cannot detect it."""
_TERMINAL_PERIOD_S = 0.5
_PLAIN_PERIOD_S = 5.0
_WIDTH = 79


class Progress:
    """Shows the source's progress on stderr; ``end_s`` is when the clock ends admission."""

    def __init__(self, end_s: float, quiet: bool = False) -> None:
        self._end = f" of {end_s:.1f}" if math.isfinite(end_s) else ""
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() or TERMINAL_VARIABLE in os.environ
        self._next_s = 0.0

    def show(self, source: Source, now: float) -> None:
        """Write the line, at most once per period."""
        if self._quiet or now < self._next_s:
            return
        self._next_s = now + (_TERMINAL_PERIOD_S if self._terminal else _PLAIN_PERIOD_S)
        line = self._line(source, now)
        write_stderr(f"\r{line[:_WIDTH]:<{_WIDTH}}" if self._terminal else line + "\n")

    def clear(self) -> None:
        """Remove the line from the terminal."""
        if self._terminal and not self._quiet:
            write_stderr("\r" + " " * _WIDTH + "\r")

    def _line(self, source: Source, now: float) -> str:
        totals = source.totals
        accuracy = f"{totals.correct / totals.ok:.3f}" if totals.ok else "-"
        return (
            f"{now:6.1f}{self._end} s  {source.phase}  offered {totals.offered}  "
            f"ok {totals.ok}  in flight {source.in_flight}  dropped {totals.dropped}  "
            f"accuracy {accuracy}"
        )
