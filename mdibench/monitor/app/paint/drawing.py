"""Drawing with characters: lines of pieces with roles, glyphs, a canvas of dots, bars, shades."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size

Piece: TypeAlias = tuple[str, str]
Line: TypeAlias = list[Piece]

PLAIN = ""
DIM = "dim"
STRONG = "strong"
ACCENT = "accent"
GOOD = "good"
WARN = "warn"
BAD = "bad"
FAINT = "faint"
SOFT = "soft"
"""A muted accent, for areas."""
SOFT_GOOD = "softgood"
SOFT_WARN = "softwarn"
HEAD = "head"
HEADS = "heads"
"""The heading that the table is sorted by."""
RANK_COLOURS = 8
HEAT_LEVELS = 6


def rank_role(rank: int) -> str:
    """The role of everything that belongs to ``rank``."""
    return f"rank{rank % RANK_COLOURS}"


def heat_role(share: float) -> str:
    """The role of a load from 0 to 1."""
    level = min(HEAT_LEVELS - 1, max(0, int(share * HEAT_LEVELS)))
    return f"heat{level}"


def width_of(line: Iterable[Piece]) -> int:
    """Cells that a line takes."""
    return sum(cell_len(text) for text, _ in line)


def cut(line: Iterable[Piece], width: int) -> Line:
    """The line in at most ``width`` cells, with ``…`` where something was left out."""
    line, kept = list(line), []
    room = width
    for place, (text, role) in enumerate(line):
        size = cell_len(text)
        more = any(rest.strip() for rest, _ in line[place + 1 :])
        if size > room or (size == room and more and text.strip()):
            if room > 0:
                kept.append((ellipsis(text + " " * more, room), role))
            return kept
        kept.append((text, role))
        room -= size
    return kept


def cut_whole(line: Sequence[Piece], width: int) -> Line:
    """As ``cut``, but a label and its figure are shown whole or not at all."""
    if width_of(line) <= width:
        return list(line)
    kept: Line = []
    for piece in line:
        if width_of(kept) + cell_len(piece[0]) + 2 > width:
            break
        kept.append(piece)
    while kept and kept[-1][1] == DIM:  # a label without its figure
        kept.pop()
    return cut([*kept, (" …", DIM)], width)


def ellipsis(text: str, width: int) -> str:
    """Text in at most ``width`` cells, with ``…`` where something was left out."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def joined(line: Iterable[Piece]) -> Line:
    """The same line with neighbours of one role put together."""
    kept: Line = []
    for text, role in line:
        if kept and kept[-1][1] == role:
            kept[-1] = (kept[-1][0] + text, role)
        else:
            kept.append((text, role))
    return kept


def padded(line: Iterable[Piece], width: int) -> Line:
    """The line in exactly ``width`` cells."""
    kept = cut(line, width)
    blank = width - width_of(kept)
    return [*kept, (" " * blank, PLAIN)] if blank else kept


def justified(left: Sequence[Piece], right: Sequence[Piece], width: int) -> Line:
    """``left`` at the left edge and ``right`` at the right one; ``left`` is cut to fit."""
    room = width - width_of(right)
    return [*padded(left, room), *right] if room >= 0 else cut(right, width)


def columns(width: int, *cells: Sequence[Piece]) -> Line:
    """Cells side by side in equal shares of ``width``."""
    share, line = width // max(1, len(cells)), []
    for cell in cells[:-1]:
        line += padded(cell, share)
    return [*line, *cut(cells[-1], width - share * (len(cells) - 1))] if cells else line


@dataclass(frozen=True, slots=True)
class Glyphs:
    """A set of characters.

    ``cells[bits]`` draws the dots of one cell, bit ``y * across + x`` being the dot at (x, y) from
    the top left. ``levels`` are sparkline heights, ``shades`` loads from nothing to full, ``bar``
    is a full, a half and an empty cell of a bar.
    """

    name: str
    across: int
    down: int
    cells: str
    levels: str
    shades: str
    bar: str
    states: dict[str, str]


def _braille() -> str:
    weights = (0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80)
    return "".join(
        chr(0x2800 + sum(w for place, w in enumerate(weights) if bits >> place & 1))
        for bits in range(256)
    )


_STATES = {
    "starting": "○", "warm-up": "◔", "running": "●", "draining": "◑", "complete": "✓",
    "aborted": "✗", "failed": "✗", "stalled": "▲", "replay": "▶", "paused": "‖",
    "info": "·", "warning": "▲", "error": "✗", "arrow": "→", "cursor": "▸",
}  # fmt: skip
_PLAIN_STATES = {
    "starting": "o", "warm-up": "o", "running": "*", "draining": "~", "complete": "+",
    "aborted": "x", "failed": "x", "stalled": "!", "replay": ">", "paused": "=",
    "info": ".", "warning": "!", "error": "x", "arrow": ">", "cursor": ">",
}  # fmt: skip

BRAILLE = Glyphs("braille", 2, 4, " " + _braille()[1:], "▁▂▃▄▅▆▇█", " ░▒▓█", "━╸─", _STATES)
BLOCK = Glyphs("block", 2, 2, " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█", "▁▂▃▄▅▆▇█", " ░▒▓█", "━╸─", _STATES)
ASCII = Glyphs("ascii", 1, 2, " '.:", "_.-=+*%#", " .:*#", "#= ", _PLAIN_STATES)
GLYPH_SETS = {glyphs.name: glyphs for glyphs in (BRAILLE, BLOCK, ASCII)}


class Canvas:
    """``width`` by ``height`` cells; dots count from the top left corner.

    A cell has the role of its last dot. Text covers dots.
    """

    def __init__(self, width: int, height: int, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.width, self.height = width, height
        self.dots_across, self.dots_down = width * glyphs.across, height * glyphs.down
        self._bits = [[0] * width for _ in range(height)]
        self._roles = [[PLAIN] * width for _ in range(height)]
        self._text: dict[tuple[int, int], tuple[str, str]] = {}

    def dot(self, x: int, y: int, role: str) -> None:
        """Set one dot; dots outside are left out."""
        if not (0 <= x < self.dots_across and 0 <= y < self.dots_down):
            return
        column, dx = divmod(x, self.glyphs.across)
        row, dy = divmod(y, self.glyphs.down)
        self._bits[row][column] |= 1 << (dy * self.glyphs.across + dx)
        self._roles[row][column] = role

    def line(self, x0: int, y0: int, x1: int, y1: int, role: str, every: int = 1) -> None:
        """A straight line (Bresenham's); ``every`` 2 makes it dotted."""
        dx, dy = abs(x1 - x0), -abs(y1 - y0)
        step_x, step_y = (1 if x0 < x1 else -1), (1 if y0 < y1 else -1)
        error, count = dx + dy, 0
        while True:
            if count % every == 0:
                self.dot(x0, y0, role)
            if x0 == x1 and y0 == y1:
                return
            count += 1
            doubled = 2 * error
            if doubled >= dy:
                error, x0 = error + dy, x0 + step_x
            if doubled <= dx:
                error, y0 = error + dx, y0 + step_y

    def text(self, column: int, row: int, text: str, role: str = PLAIN) -> None:
        """Text from a cell on, cut at the right edge."""
        if 0 <= row < self.height:
            for place, character in enumerate(text, column):
                if 0 <= place < self.width:
                    self._text[row, place] = (character, role)

    def lines(self) -> list[Line]:
        """The picture, neighbouring cells of one role joined."""
        return [self._line(row) for row in range(self.height)]

    def _line(self, row: int) -> Line:
        line: Line = []
        for column in range(self.width):
            drawn = (self.glyphs.cells[self._bits[row][column]], self._roles[row][column])
            text, role = self._text.get((row, column), drawn)
            if line and (line[-1][1] == role or text == " "):
                line[-1] = (line[-1][0] + text, line[-1][1])
            else:
                line.append((text, role))
        return line


def sparkline(
    values: Sequence[float], top: float, glyphs: Glyphs, width: int, bottom: float = 0.0
) -> str:
    """The last ``width`` values as heights from ``bottom`` to ``top``; spaces for unknown ones."""
    shown = list(values)[-width:] if width > 0 else []
    return "".join(_level(value, bottom, top, glyphs.levels) for value in shown).rjust(width)


def _level(value: float, bottom: float, top: float, levels: str) -> str:
    if math.isnan(value):
        return " "
    share = (value - bottom) / (top - bottom) if top > bottom else 0.0
    return levels[min(len(levels) - 1, max(0, round(share * (len(levels) - 1))))]


def resample(values: Sequence[float], width: int) -> list[float]:
    """``values`` in at most ``width`` places: means of neighbours, or the values themselves."""
    count = len(values)
    if count <= width or width <= 0:
        return list(values)
    cuts = [place * count // width for place in range(width + 1)]
    return [_mean(values[a:b]) for a, b in pairwise(cuts)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def bar(share: float, width: int, glyphs: Glyphs) -> tuple[str, str]:
    """A horizontal bar of ``share`` of ``width`` cells, and its empty rest."""
    share = 0.0 if math.isnan(share) else min(1.0, max(0.0, share))
    halves = round(share * width * 2)
    if share > 0 and halves == 0:
        halves = 1
    drawn = glyphs.bar[0] * (halves // 2) + glyphs.bar[1] * (halves % 2)
    return drawn, glyphs.bar[2] * (width - len(drawn))


def shade(share: float, glyphs: Glyphs) -> str:
    """A character as dark as ``share``; empty only for zero."""
    if math.isnan(share) or share <= 0:
        return glyphs.shades[0]
    last = len(glyphs.shades) - 1
    return glyphs.shades[min(last, 1 + int(share * last))]


# --- options -------------------------------------------------------------------------------------


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
    filtering: bool = False
    """Whether the filter is being typed."""
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
