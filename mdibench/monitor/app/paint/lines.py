"""Lines of pieces with roles: measure, cut and align them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
