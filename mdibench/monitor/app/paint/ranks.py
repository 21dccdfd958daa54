"""The table of workers as lines: as many columns as fit.

Not a general table widget: every figure changes four times a second, and drawing 64 rows of 12
cells must take about a millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mdibench.analysis.formatting import UNKNOWN_TEXT, bytes_of, count, figure, rate, whole_percent
from mdibench.monitor.app.paint.drawing import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    HEAD,
    HEADS,
    PLAIN,
    WARN,
    Line,
    Options,
    Piece,
    bar,
    ellipsis,
    matches,
    padded,
    rank_role,
    sparkline,
    width_of,
)
from mdibench.monitor.snapshot import RankView, Snapshot

SPARK_WIDTH = 6
BAR_WIDTH = 6
MOST_CELLS = 14
"""Names and lists of blocks are cut to this many cells."""


@dataclass(frozen=True, slots=True)
class RankColumn:
    """A column: its content, its width, and its priority (1 is dropped last)."""

    key: str
    title: str
    width: Callable[[Snapshot], int]
    priority: int
    cell: Callable[[RankView, CellContext], Line]
    order: Callable[[RankView], float | str]
    left: bool = False


@dataclass(frozen=True, slots=True)
class CellContext:
    """The input of cells besides their own rank: common scales and options."""

    options: Options
    longest_input: float
    longest_output: float
    over: bool
    exits: int


def visible(snapshot: Snapshot, options: Options) -> list[RankView]:
    """The ranks that pass the filter, in the selected order; equal ones in rank order."""
    ranks = [rank for rank in snapshot.ranks if matches(options.filter, _searchable(rank))]
    column = next((c for c in RANK_COLUMNS if c.key == options.sort), RANK_COLUMNS[0])
    return sorted(ranks, key=lambda rank: _sortable(column.order(rank)), reverse=options.reverse)


def _searchable(rank: RankView) -> str:
    blocks = " ".join(f"block{block}" for block in rank.blocks)
    state = "stale" if rank.stale else "fresh"
    return f"rank{rank.rank} {rank.rank} {rank.host} {rank.device} {blocks} {state}"


def _sortable(value: float | str) -> tuple[int, float, str]:
    if isinstance(value, str):
        return 0, 0.0, value
    return (1, 0.0, "") if math.isnan(value) else (0, value, "")


def chosen_columns(width: int, snapshot: Snapshot) -> list[PlacedColumn]:
    """The columns of highest priority that fit into ``width`` cells, in their own order.

    A column of width 0 has no content in this run.
    """
    kept: dict[str, int] = {}
    room = width
    for column in sorted(RANK_COLUMNS, key=lambda c: c.priority):
        size = column.width(snapshot)
        if 0 < size < room:
            kept[column.key] = size
            room -= size + 1
    return [(column, kept[column.key]) for column in RANK_COLUMNS if column.key in kept]


def rank_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """Heading and rows in ``width`` by ``height`` cells, from row ``options.offset`` on."""
    ranks = visible(snapshot, options)
    columns = chosen_columns(width - 1, snapshot)
    context = _context(snapshot, options)
    lines = [_heading(columns, options, width)]
    for rank in ranks[options.offset : options.offset + max(0, height - 1)]:
        lines.append(_row(rank, columns, context, width))
    if not ranks:
        lines.append([(" no rank matches the filter", DIM)])
    return lines


def column_at(x: int, width: int, snapshot: Snapshot) -> str | None:
    """The key of the column whose heading is at cell ``x``."""
    end = 1
    for column, size in chosen_columns(width - 1, snapshot):
        end += size + 1
        if x < end:
            return column.key
    return None


def _context(snapshot: Snapshot, options: Options) -> CellContext:
    def longest(rows: Sequence[Sequence[float]]) -> float:
        return max([4.0, *(v for row in rows for v in row if not math.isnan(v))])

    return CellContext(
        options=options,
        longest_input=longest([rank.input_history for rank in snapshot.ranks]),
        longest_output=longest([rank.output_history for rank in snapshot.ranks]),
        over=snapshot.over or options.replay,
        exits=snapshot.facts.exits,
    )


def _heading(columns: Sequence[PlacedColumn], options: Options, width: int) -> Line:
    line: Line = [(" ", HEAD)]
    for column, size in columns:
        sorted_by = column.key == options.sort and (options.sort != "rank" or options.reverse)
        mark = ("↓" if options.reverse else "↑") if sorted_by else ""
        title = ellipsis(column.title + mark, size)
        placed = title.ljust(size) if column.left else title.rjust(size)
        line += [(placed, HEADS if sorted_by else HEAD), (" ", HEAD)]
    return padded(line, width)


def _row(rank: RankView, columns: Sequence[PlacedColumn], context: CellContext, width: int) -> Line:
    here = rank.rank == context.options.selected
    line: Line = [(context.options.glyphs.states["cursor"] if here else " ", ACCENT)]
    for column, size in columns:
        line += [*_placed(column.cell(rank, context), size, column.left), (" ", PLAIN)]
    if rank.stale and not context.over:
        line = [(text, DIM if role != BAD else BAD) for text, role in line]
    return padded(line, width)


def _placed(cell: Line, size: int, left: bool) -> Line:
    blank = (" " * max(0, size - width_of(cell)), PLAIN)
    return padded([*cell, blank] if left else [blank, *cell], size)


# --- cells ----------------------------------------------------------------------------------------


def _name(rank: RankView, context: CellContext) -> Line:
    return [(f"{rank.rank}", rank_role(rank.rank)), (" S" if rank.rank == 0 else "  ", DIM)]


def _host(rank: RankView, context: CellContext) -> Line:
    return [(ellipsis(rank.host or UNKNOWN_TEXT, MOST_CELLS), PLAIN)]


def _device(rank: RankView, context: CellContext) -> Line:
    return [(ellipsis(rank.device or UNKNOWN_TEXT, MOST_CELLS), DIM)]


def _blocks(rank: RankView, context: CellContext) -> Line:
    return [(ellipsis(ranges(rank.blocks), MOST_CELLS), PLAIN)]


def ranges(numbers: Sequence[int]) -> str:
    """``1 2 4``, with ``1-4`` for three or more consecutive numbers."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    named = [f"{p[0]}-{p[-1]}" if len(p) > 2 else " ".join(map(str, p)) for p in parts]
    return " ".join(named) or UNKNOWN_TEXT


def _input(rank: RankView, context: CellContext) -> Line:
    return _queue(rank, rank.input_queue, rank.input_history, context.longest_input, context)


def _output(rank: RankView, context: CellContext) -> Line:
    return _queue(rank, rank.output_queue, rank.output_history, context.longest_output, context)


def _queue(
    rank: RankView, length: int, history: Sequence[float], longest: float, context: CellContext
) -> Line:
    if not rank.reported:
        return [(UNKNOWN_TEXT, DIM), (" " * (SPARK_WIDTH + 1), PLAIN)]
    trend = sparkline(history, longest, context.options.glyphs, SPARK_WIDTH)
    return [(count(length), PLAIN if length else DIM), (f" {trend}", rank_role(rank.rank))]


def _busy(rank: RankView, context: CellContext) -> Line:
    if math.isnan(rank.busy):
        return [(UNKNOWN_TEXT, DIM)]
    full, rest = bar(rank.busy, BAR_WIDTH, context.options.glyphs)
    role = WARN if rank.busy >= 0.95 else ACCENT
    return [(full, role), (rest, FAINT), (whole_percent(rank.busy).rjust(6), PLAIN)]


def _figure(value: float, show: Callable[[float], str]) -> Line:
    shown = show(value)
    return [(shown, DIM if shown in (UNKNOWN_TEXT, "0", "0.0", "0.00", "0 B") else PLAIN)]


def _gamma(rank: RankView, context: CellContext) -> Line:
    return _figure(rank.gamma_s * 1e3, figure)


def _tasks(rank: RankView, context: CellContext) -> Line:
    return _figure(rank.tasks_per_s, rate)


def _sent(rank: RankView, context: CellContext) -> Line:
    return _figure(rank.sent_per_s / 1e3, figure)


def _received(rank: RankView, context: CellContext) -> Line:
    return _figure(rank.received_per_s / 1e3, figure)


def _exits(rank: RankView, context: CellContext) -> Line:
    total = sum(rank.exits)
    if not total:
        return [(UNKNOWN_TEXT, FAINT)]
    picture = sparkline(rank.exits, max(rank.exits), context.options.glyphs, len(rank.exits[:8]))
    return [(count(total), PLAIN), (" ", PLAIN), (picture, DIM)]


def _memory(rank: RankView, context: CellContext) -> Line:
    return _figure(rank.rss_bytes, bytes_of)


def _cpu(rank: RankView, context: CellContext) -> Line:
    return _figure(rank.cpu, figure)


def _heat_text(rank: RankView) -> str:
    """Temperature and clock of the host; empty where it tells neither."""
    if math.isnan(rank.temperature_c) and math.isnan(rank.clock_hz):
        return "throttled" if rank.throttled else ""
    degrees = UNKNOWN_TEXT if math.isnan(rank.temperature_c) else f"{rank.temperature_c:.0f}°C"
    clock = "" if math.isnan(rank.clock_hz) else f" {rank.clock_hz / 1e9:.1f}GHz"
    return f"{degrees}{clock}{' throttled' if rank.throttled else ''}"


def _heat(rank: RankView, context: CellContext) -> Line:
    text = _heat_text(rank)
    return [(text or "n/a", BAD if rank.throttled else PLAIN if text else FAINT)]


def _age(rank: RankView, context: CellContext) -> Line:
    if context.over:
        return []
    if not rank.reported:
        return [("none", DIM)]
    if rank.stale:
        return [(f"{context.options.glyphs.states['warning']}{rank.age_s:.1f} s", BAD)]
    return [(f"{max(0.0, rank.age_s):.1f} s", DIM)]


def _trouble(rank: RankView, context: CellContext) -> Line:
    """Overruns of the emulated device and refused messages, where there are any."""
    parts: list[Piece] = []
    if rank.overruns:
        parts.append((f"{count(rank.overruns)} late", WARN))
    if rank.refused:
        parts.append((f" {count(rank.refused)} refused", BAD))
    return parts


PlacedColumn: TypeAlias = tuple[RankColumn, int]
"""A column with its width in cells."""


def _cells(size: int) -> Callable[[Snapshot], int]:
    return lambda snapshot: size


def _longest(title: str, text: Callable[[RankView], str]) -> Callable[[Snapshot], int]:
    """As wide as the longest text; 0 where all are empty."""

    def width(snapshot: Snapshot) -> int:
        longest = max(len(text(rank)) for rank in snapshot.ranks)
        return min(MOST_CELLS, max(len(title) + 1, longest)) if longest else 0

    return width


def _queue_width(snapshot: Snapshot) -> int:
    longest = max(max(rank.input_queue, rank.output_queue) for rank in snapshot.ranks)
    return max(3, len(count(longest))) + 1 + SPARK_WIDTH


def _heat_width(snapshot: Snapshot) -> int:
    """No column where no host tells anything."""
    longest = max(len(_heat_text(rank)) for rank in snapshot.ranks)
    return max(len("heat") + 1, longest) if longest else 0


def _age_width(snapshot: Snapshot) -> int:
    return 0 if snapshot.over else 7


def _trouble_width(snapshot: Snapshot) -> int:
    return 14 if any(rank.overruns or rank.refused for rank in snapshot.ranks) else 0


_QUEUE_TITLE = "{}" + " " * (SPARK_WIDTH + 1)
RANK_COLUMNS: tuple[RankColumn, ...] = (
    RankColumn("rank", "rank", _cells(4), 1, _name, lambda r: r.rank, left=True),
    RankColumn(
        "host", "host", _longest("host", lambda r: r.host), 6, _host, lambda r: r.host, True
    ),
    RankColumn(
        "device", "device", _longest("device", lambda r: r.device), 13, _device,
        lambda r: r.device, True,
    ),
    RankColumn(
        "blocks", "blocks", _longest("blocks", lambda r: ranges(r.blocks)), 7, _blocks,
        lambda r: float(len(r.blocks)), True,
    ),
    RankColumn(
        "input", _QUEUE_TITLE.format("I_n"), _queue_width, 2, _input, lambda r: r.input_queue
    ),
    RankColumn(
        "output", _QUEUE_TITLE.format("O_n"), _queue_width, 3, _output, lambda r: r.output_queue
    ),
    RankColumn("busy", "busy", _cells(BAR_WIDTH + 6), 4, _busy, lambda r: r.busy),
    RankColumn("gamma", "Γ ms", _cells(5), 8, _gamma, lambda r: r.gamma_s),
    RankColumn("tasks", "tasks/s", _cells(7), 9, _tasks, lambda r: r.tasks_per_s),
    RankColumn("sent", "out KB/s", _cells(8), 10, _sent, lambda r: r.sent_per_s),
    RankColumn("received", "in KB/s", _cells(7), 11, _received, lambda r: r.received_per_s),
    RankColumn("exits", "exits", _cells(14), 12, _exits, lambda r: float(sum(r.exits))),
    RankColumn("memory", "memory", _cells(7), 14, _memory, lambda r: r.rss_bytes),
    RankColumn("cpu", "cores", _cells(5), 15, _cpu, lambda r: r.cpu),
    RankColumn("heat", "heat", _heat_width, 17, _heat, lambda r: r.temperature_c),
    RankColumn("age", "report", _age_width, 5, _age, lambda r: r.age_s),
    RankColumn(
        "trouble", "", _trouble_width, 16, _trouble, lambda r: float(r.overruns + r.refused)
    ),
)  # fmt: skip
SORT_KEYS = tuple(column.key for column in RANK_COLUMNS if column.title.strip())
