"""The panels of exits, links, topology and events as lines."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence

from mdibench.analysis.formatting import accuracy, count, figure, margin, rate, whole_percent
from mdibench.monitor.app.paint.drawing import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    HEAD,
    PLAIN,
    WARN,
    Canvas,
    Glyphs,
    Line,
    Options,
    bar,
    heat_role,
    matches,
    padded,
    rank_role,
    shade,
    width_of,
)
from mdibench.monitor.snapshot import EventLine, ExitView, RankView, Snapshot

# --- exits ----------------------------------------------------------------------------------------


def exit_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """Share and accuracy of every exit, with a bar."""
    most = max((e.share for e in snapshot.exits), default=0.0) or 1.0
    lines = [_exit(e, most, width, options.glyphs) for e in snapshot.exits]
    if len(lines) > height > 0:
        left_out = sum(e.left for e in snapshot.exits[height - 1 :])
        rest = f"{len(lines) - height + 1} deeper exits: {count(left_out)} items"
        lines = [*lines[: height - 1], [(rest, DIM)]]
    return lines


def _exit(view: ExitView, most: float, width: int, glyphs: Glyphs) -> Line:
    right: Line = [
        (whole_percent(view.share).rjust(5), PLAIN if view.left else DIM),
        (accuracy(view.accuracy).rjust(8), PLAIN if not view.accuracy.few else DIM),
    ]
    if width >= 34:
        right.append((margin(view.accuracy).rjust(6), DIM))
    if width >= 44:
        right.append((count(view.left).rjust(9), DIM))
    room = max(0, width - width_of(right) - 3)
    name = f"{view.exit:>2} "
    full, rest = bar(view.share / most, room, glyphs)
    return [(name, DIM), (full, ACCENT), (rest, FAINT), *right]


# --- links ----------------------------------------------------------------------------------------

LINK_CELL = 6
"""Width of a figure in the matrix of links."""


def link_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """Tasks per second from row to column: figures where they fit, else shades.

    Wide panels also have bytes per second and hop delays.
    """
    links, size = snapshot.links, len(snapshot.links.tasks_per_s)
    if size < 2:
        return [[("one rank: nobody to send to", DIM)]]
    one = 4 + LINK_CELL * size
    if one > width or size >= height:
        return _shades(links.tasks_per_s, width, height, options.glyphs)
    tables = [
        ("tasks/s", _figures(links.tasks_per_s, rate)),
        ("KB/s", _figures(_scaled(links.bytes_per_s, 1e-3), figure)),
        ("hop ms", _figures(_scaled(links.hop_delay_s, 1e3), figure)),
    ]
    fitting = max(1, (width + 4) // (one + 4))
    if fitting == 1 or size + 2 > height:
        return tables[0][1]
    lines: list[Line] = [[] for _ in range(size + 2)]
    for name, table in tables[:fitting]:
        for line, part in zip(lines, [[(name.rjust(one), HEAD)], *table], strict=True):
            line += [*padded(part, one), ("    ", PLAIN)]
    return lines


def _scaled(rows: Sequence[Sequence[float]], factor: float) -> list[list[float]]:
    return [[value * factor for value in row] for row in rows]


def _figures(rows: Sequence[Sequence[float]], show: Callable[[float], str]) -> list[Line]:
    most = max((v for row in rows for v in row if not math.isnan(v)), default=0.0)
    head: Line = [("to →", DIM)]
    head += [(str(m).rjust(LINK_CELL), rank_role(m)) for m in range(len(rows))]
    return [head, *(_figure_row(n, row, most, show) for n, row in enumerate(rows))]


def _figure_row(n: int, row: Sequence[float], most: float, show: Callable[[float], str]) -> Line:
    line: Line = [(f"{n:>3} ", rank_role(n))]
    for m, value in enumerate(row):
        if m == n or math.isnan(value):
            line.append(("·".rjust(LINK_CELL), FAINT))
        else:
            line.append((show(value).rjust(LINK_CELL), _weight(value, most)))
    return line


def _weight(value: float, most: float) -> str:
    """The role of a figure: larger ones are more prominent."""
    if not value:
        return FAINT
    return ACCENT if value > 0.66 * most else PLAIN if value > 0.2 * most else DIM


def _shades(rows: Sequence[Sequence[float]], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """One square per pair of ranks, or per pair of groups where there are too many ranks."""
    size = len(rows)
    group = max(1, math.ceil(size / max(1, height - 2)), math.ceil(size / max(1, width - 5)))
    sums = _grouped(rows, group)
    cell = 2 if 5 + 2 * len(sums) <= width else 1
    most = max((v for row in sums for v in row), default=0.0)
    lines: list[Line] = [[(f"rows send to columns, most {rate(most)}/s", DIM)]]
    for place, row in enumerate(sums):
        line: Line = [(f"{place * group:>4} ", rank_role(place) if group == 1 else DIM)]
        for value in row:
            share = value / most if most > 0 else 0.0
            line.append((shade(share, glyphs) * cell, heat_role(share)))
        lines.append(line)
    if group > 1:
        lines.append([(f"{group} ranks to a square", DIM)])
    return lines


def _grouped(rows: Sequence[Sequence[float]], group: int) -> list[list[float]]:
    starts = range(0, len(rows), group)
    return [
        [
            sum(v for row in rows[a : a + group] for v in row[b : b + group] if not math.isnan(v))
            for b in starts
        ]
        for a in starts
    ]


# --- topology -------------------------------------------------------------------------------------

Position = tuple[float, float]
"""Place in the unit square, x to the right and y down."""
NAMED_NODES = 16
"""With more nodes than this, only the source and silent nodes have names."""


def topology_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """Nodes with their load, links with their traffic."""
    if width < 16 or height < 5:
        return [[("too small a panel to draw in", DIM)]]
    canvas = Canvas(width, height, options.glyphs)
    places = _places(snapshot, width, height)
    _draw_links(canvas, snapshot, places)
    draw = _draw_node if len(snapshot.ranks) <= NAMED_NODES else _draw_dot
    for view in snapshot.ranks:
        if view.rank in places:
            draw(canvas, view, view.stale and not snapshot.over, places[view.rank])
    return canvas.lines()


def _places(snapshot: Snapshot, width: int, height: int) -> dict[int, tuple[int, int]]:
    """Cell of every node's centre, with room for its two lines of text."""
    spots = positions(snapshot.facts.neighbours)
    across, down = max(1, width - 12), max(1, height - 3)
    return {
        n: (6 + round(x * (across - 1)), 1 + round(y * (down - 1))) for n, (x, y) in spots.items()
    }


def _draw_links(canvas: Canvas, snapshot: Snapshot, places: dict[int, tuple[int, int]]) -> None:
    rows = snapshot.links.tasks_per_s
    most = max((v for row in rows for v in row if not math.isnan(v)), default=0.0)
    edges = {
        (min(n, m), max(n, m)) for n, each in enumerate(snapshot.facts.neighbours) for m in each
    }
    loads = {(n, m): max(rows[n][m], rows[m][n]) for n, m in edges if n in places and m in places}
    if len(snapshot.ranks) > NAMED_NODES:
        loads = {pair: load for pair, load in loads.items() if load > 0}
    for (n, m), load in sorted(loads.items(), key=lambda item: (item[1], item[0])):
        share = load / most if most > 0 and load > 0 else 0.0
        role = heat_role(share) if share else FAINT
        _draw_edge(canvas, places[n], places[m], role, 1 if share > 0.33 else 2 if share else 4)


def _draw_edge(
    canvas: Canvas, start: tuple[int, int], end: tuple[int, int], role: str, every: int
) -> None:
    across, down = canvas.glyphs.across, canvas.glyphs.down
    ends = [(x * across + across // 2, y * down + down // 2) for x, y in (start, end)]
    canvas.line(*ends[0], *ends[1], role, every)


def _draw_node(canvas: Canvas, view: RankView, silent: bool, place: tuple[int, int]) -> None:
    """The name; below it, queues and busy share."""
    column, row = place
    name = f"[{view.rank}{' S' if view.rank == 0 else ''}]"
    canvas.text(column - len(name) // 2, row, name, BAD if silent else rank_role(view.rank))
    load = f"I {count(view.input_queue)} O {count(view.output_queue)}"
    busy = "" if math.isnan(view.busy) else f" {whole_percent(view.busy)}"
    below = "silent" if silent else load + busy
    role = BAD if silent else WARN if view.busy >= 0.95 else PLAIN
    canvas.text(column - len(below) // 2, row + 1, below, role)


def _draw_dot(canvas: Canvas, view: RankView, silent: bool, place: tuple[int, int]) -> None:
    """A dot coloured by busy share; a name for the source and silent nodes."""
    column, row = place
    if silent or view.rank == 0:
        name = f"[{view.rank}{' S' if view.rank == 0 else ''}]"
        canvas.text(column - len(name) // 2, row, name, BAD if silent else rank_role(0))
        return
    busy = 0.0 if math.isnan(view.busy) else view.busy
    canvas.text(column, row, canvas.glyphs.states["running"], heat_role(busy))


def positions(neighbours: Sequence[Sequence[int]]) -> dict[int, Position]:
    """Position of every rank, the same for the same plan.

    A line becomes a line, a star its hub with a circle, every other topology a circle with the
    source at the top.
    """
    count = len(neighbours)
    if count == 1:
        return {0: (0.5, 0.5)}
    line = _line(neighbours)
    if line:
        return {rank: (place / (count - 1), 0.5) for place, rank in enumerate(line)}
    hub = _hub(neighbours)
    if hub is not None:
        around = _circle([rank for rank in range(count) if rank != hub])
        return {hub: (0.5, 0.5), **around}
    return _circle(list(range(count)))


def _circle(ranks: Sequence[int]) -> dict[int, Position]:
    step = 2 * math.pi / len(ranks)
    return {
        rank: (0.5 + 0.5 * math.sin(place * step), 0.5 - 0.5 * math.cos(place * step))
        for place, rank in enumerate(ranks)
    }


def _line(neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Ranks from one end of the line to the other; empty if the topology is no line."""
    ends = [rank for rank, each in enumerate(neighbours) if len(each) == 1]
    if len(ends) != 2 or any(len(each) > 2 for each in neighbours):
        return []
    order, before = [ends[0]], -1
    while True:
        onward = [rank for rank in neighbours[order[-1]] if rank != before]
        if not onward:
            return order if len(order) == len(neighbours) else []
        before = order[-1]
        order.append(onward[0])


def _hub(neighbours: Sequence[Sequence[int]]) -> int | None:
    """The hub of a star: all other ranks are connected to it and to no other; else None."""
    hubs = [rank for rank, each in enumerate(neighbours) if len(each) == len(neighbours) - 1]
    leaves = sum(len(each) == 1 for each in neighbours)
    if len(neighbours) >= 4 and len(hubs) == 1 and leaves == len(neighbours) - 1:
        return hubs[0]
    return None


# --- events ---------------------------------------------------------------------------------------

LEVEL_ROLES = {"info": DIM, "warning": WARN, "error": BAD}


def event_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """The event log, newest first, then the warnings of the plan."""
    shown = [e for e in reversed(snapshot.events) if matches(options.filter, _searchable(e))]
    lines = [line for event in shown for line in _event(event, width, options.glyphs)]
    for text in snapshot.facts.warnings:
        lines += _warning(text, width, options.glyphs)
    if not lines:
        lines = [[("nothing happened yet", DIM)]]
    return lines[options.offset : options.offset + height]


def _searchable(event: EventLine) -> str:
    return f"rank{event.rank} {event.level} {event.kind} {event.text}"


def _event(event: EventLine, width: int, glyphs: Glyphs) -> list[Line]:
    role = LEVEL_ROLES.get(event.level, PLAIN)
    start: Line = [
        (f"{event.t_s:6.1f} ", DIM),
        (f"{glyphs.states.get(event.level, ' ')} ", role),
        (f"{event.rank} ", rank_role(event.rank)),
    ]
    return _wrapped(start, event.text, PLAIN if event.level == "info" else role, width)


def _warning(text: str, width: int, glyphs: Glyphs) -> list[Line]:
    start: Line = [("  plan ", DIM), (f"{glyphs.states['warning']} ", WARN)]
    return _wrapped(start, text, WARN, width)


def _wrapped(start: Line, text: str, role: str, width: int) -> list[Line]:
    """``start`` and ``text``, wrapped."""
    indent = width_of(start)
    parts = textwrap.wrap(text, max(8, width - indent)) or [""]
    rest: list[Line] = [[(" " * indent, PLAIN), (part, role)] for part in parts[1:]]
    return [[*start, (parts[0], role)], *rest]
