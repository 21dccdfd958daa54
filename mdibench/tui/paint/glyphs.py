"""The characters that pictures are made of: braille, blocks, or nothing beyond ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


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
SETS = {glyphs.name: glyphs for glyphs in (BRAILLE, BLOCK, ASCII)}


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
    """A horizontal bar of ``share`` of ``width`` cells, and the empty rest of them."""
    share = 0.0 if math.isnan(share) else min(1.0, max(0.0, share))
    halves = round(share * width * 2)
    if share > 0 and halves == 0:
        halves = 1
    drawn = glyphs.bar[0] * (halves // 2) + glyphs.bar[1] * (halves % 2)
    return drawn, glyphs.bar[2] * (width - len(drawn))


def shade(share: float, glyphs: Glyphs) -> str:
    """A character as dark as ``share``: nothing only for zero."""
    if math.isnan(share) or share <= 0:
        return glyphs.shades[0]
    last = len(glyphs.shades) - 1
    return glyphs.shades[min(last, 1 + int(share * last))]
