"""The user's choices that painting depends on, and the filter's rule."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mdibench.monitor.app.paint.canvas import BRAILLE, Glyphs


@dataclass(frozen=True, slots=True)
class Options:
    """The user's choices. ``coloured`` is false where the terminal has no colours."""

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
    """Whether the newest moment is shown, not a selected one."""
    offset: int = 0
    """Lines scrolled down."""


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` passes a filter: a regular expression; a leading ``!`` inverts it.

    An invalid expression (one still being typed) is matched literally; an empty one passes all.
    """
    inverse, pattern = pattern.startswith("!"), pattern.removeprefix("!")
    if not pattern:
        return True
    try:
        found = re.search(pattern, text, re.IGNORECASE) is not None
    except re.error:
        found = pattern.lower() in text.lower()
    return found != inverse
