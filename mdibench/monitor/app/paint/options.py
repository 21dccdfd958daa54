"""What the person in front of the screen has chosen: the same snapshot, seen differently."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mdibench.monitor.app.paint.canvas import BRAILLE, Glyphs


@dataclass(frozen=True, slots=True)
class Options:
    """Choices that painting depends on. ``coloured`` is false where colours tell nothing."""

    glyphs: Glyphs = BRAILLE
    coloured: bool = True
    sort: str = "rank"
    reverse: bool = False
    filter: str = ""
    selected: int = 0
    """The rank under the cursor."""
    chart: str = "queues"
    log: bool = False
    paused: bool = False
    replay: bool = False
    speed: float = 1.0
    following: bool = True
    """Whether the newest moment is shown, not one that was sought."""
    offset: int = 0
    """Lines scrolled down."""


def matches(pattern: str, text: str) -> bool:
    """Whether a filter lets ``text`` pass: a regular expression, ``!`` in front turns it round.

    What is no valid expression (yet) is looked for literally; an empty filter passes everything.
    """
    inverse, pattern = pattern.startswith("!"), pattern.removeprefix("!")
    if not pattern:
        return True
    try:
        found = re.search(pattern, text, re.IGNORECASE) is not None
    except re.error:
        found = pattern.lower() in text.lower()
    return found != inverse
