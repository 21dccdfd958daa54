"""Talk to the person at the terminal: on stderr, so that results on stdout stay clean."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """One line, in one write, so that the lines of several ranks do not interleave."""
    sys.stderr.write(f"mdibench: {line}\n")
    sys.stderr.flush()
