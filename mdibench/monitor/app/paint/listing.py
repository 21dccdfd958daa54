"""The browser's lines: the list of runs, the cells of a sweep, and two runs on one time line."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdibench.analysis.formatting import (
    accuracy,
    bare_milliseconds,
    clock,
    count,
    milliseconds,
    percent,
    rate,
    whole_percent,
)
from mdibench.monitor.app.paint.charts import ChartAxis, Curve, line_chart, whole
from mdibench.monitor.app.paint.drawing import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    GOOD,
    HEAD,
    HEADS,
    PLAIN,
    STRONG,
    WARN,
    Line,
    Options,
    bar,
    columns,
    cut,
    ellipsis,
    justified,
    padded,
)
from mdibench.monitor.runs import CellEntry, RunEntry, SweepEntry, age_text
from mdibench.monitor.snapshot import History, Snapshot

STATES = {"complete": GOOD, "running": ACCENT, "aborted": BAD, "failed": BAD, "damaged": BAD}
TITLE_LEAST = 12


@dataclass(frozen=True, slots=True)
class ListView:
    """What the list shows besides its entries."""

    cursor: int = 0
    first: int = 0
    """The first entry on the screen."""
    sort: str = "age"
    reverse: bool = False
    marked: Collection[Path] = ()
    now_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Column:
    key: str
    title: str
    width: int
    priority: int
    show: Callable[[RunEntry, ListView], tuple[str, str]]
    left: bool = False


def _state(entry: RunEntry, view: ListView) -> tuple[str, str]:
    return entry.state or "…", STATES.get(entry.state, DIM)


def _figure(value: float, show: Callable[[float], str], entry: RunEntry) -> tuple[str, str]:
    if not entry.evaluated:
        return ("…" if entry.state in ("", "complete", "aborted", "failed") else "", DIM)
    return show(value), PLAIN


def _verdict(entry: RunEntry, view: ListView) -> tuple[str, str]:
    if not entry.evaluated:
        return "", DIM
    warned = f" ▲{entry.warnings}" if entry.warnings else ""
    role = GOOD if entry.verdict == "VALID" and not warned else WARN
    return entry.verdict + warned, role if entry.verdict == "VALID" else BAD


_COLUMNS = (
    _Column("state", "state", 8, 2, _state, left=True),
    _Column("name", "run", 0, 1, lambda e, v: (e.title, PLAIN), left=True),
    _Column("scheme", "scheme", 19, 5, lambda e, v: (e.scheme, PLAIN), left=True),
    _Column("kind", "kind", 9, 7, lambda e, v: (e.kind, DIM), left=True),
    _Column("ranks", "ranks", 5, 8, lambda e, v: (count(e.ranks) if e.ranks else "", DIM)),
    _Column("rate", "rate /s", 8, 3, lambda e, v: _figure(e.rate_per_s, rate, e)),
    _Column("accuracy", "accuracy", 9, 4, lambda e, v: _figure(e.accuracy, percent, e)),
    _Column("verdict", "verdict", 11, 6, _verdict, left=True),
    _Column("age", "age", 6, 3, lambda e, v: (age_text(e.started_s, v.now_s), DIM)),
)


def _chosen(width: int) -> list[tuple[_Column, int]]:
    """The columns that fit, by priority; the name takes the rest."""
    room = width - TITLE_LEAST - 3
    kept = {"name"}
    for column in sorted(_COLUMNS, key=lambda c: c.priority):
        if column.width and column.width + 1 <= room:
            kept.add(column.key)
            room -= column.width + 1
    used = sum(c.width + 1 for c in _COLUMNS if c.key in kept and c.width)
    rest = max(1, width - 2 - used - 1)
    return [(c, c.width or rest) for c in _COLUMNS if c.key in kept]


def list_lines(entries: Sequence[RunEntry], width: int, height: int, view: ListView) -> list[Line]:
    """Heading and entries in ``width`` by ``height`` cells."""
    chosen = _chosen(width)
    lines = [_list_heading(chosen, view, width)]
    for place in range(view.first, min(len(entries), view.first + max(0, height - 1))):
        lines.append(_entry(entries[place], chosen, view, place == view.cursor, width))
    return lines


def _list_heading(chosen: Sequence[tuple[_Column, int]], view: ListView, width: int) -> Line:
    line: Line = [("  ", HEAD)]
    for column, size in chosen:
        here = column.key == view.sort
        title = ellipsis(column.title + (("↑" if view.reverse else "↓") if here else ""), size)
        placed = title.ljust(size) if column.left else title.rjust(size)
        line += [(placed, HEADS if here else HEAD), (" ", HEAD)]
    return padded(line, width)


def _entry(
    entry: RunEntry, chosen: Sequence[tuple[_Column, int]], view: ListView, here: bool, width: int
) -> Line:
    mark = "✓" if entry.folder in view.marked else " "
    line: Line = [("▸" if here else " ", ACCENT), (mark, ACCENT)]
    for column, size in chosen:
        text, role = column.show(entry, view)
        text = ellipsis(text, size)
        placed = text.ljust(size) if column.left else text.rjust(size)
        line += [(placed, STRONG if here and column.key == "name" else role), (" ", PLAIN)]
    if entry.state == "gone":
        line = [(text, FAINT) for text, _ in line]
    return padded(line, width)


def reason_line(entry: RunEntry, width: int) -> Line:
    """The folder of the selected run, or why it ended."""
    where = str(entry.folder)
    if entry.reason:
        return [(" " + ellipsis(f"{entry.reason}  ({where})", width - 2), BAD)]
    return [(" " + ellipsis(where, width - 2), DIM)]


# --- a sweep --------------------------------------------------------------------------------------


def sweep_lines(sweep: SweepEntry, width: int) -> list[Line]:
    """Progress, time left and the best cell so far."""
    share = sweep.done / sweep.total if sweep.total else 0.0
    over = sweep.done + sweep.failed >= sweep.total
    left = "done" if over else _left_text(sweep.left_s)
    room = max(0, min(30, width - 90))
    full, rest = bar(share, room, Options().glyphs)
    head: Line = [
        (f" sweep {ellipsis(sweep.name, 20)}  ", STRONG),
        (full, ACCENT),
        (rest, FAINT),
        (f"  {sweep.done} of {sweep.total} runs done", PLAIN),
        (f"   {sweep.failed} failed", BAD if sweep.failed else DIM),
        (f"   {sweep.running} running", ACCENT if sweep.running else DIM),
        (f"   {left}", DIM),
    ]
    if sweep.best is None:
        return [cut(head, width), [(" best so far: no VALID run evaluated yet", DIM)]]
    best = sweep.best
    text = f"{best.label}: {rate(best.rate_per_s)} /s at accuracy {percent(best.accuracy)}"
    tail: Line = [(" highest rate so far: ", DIM), (ellipsis(text, width - 22), PLAIN)]
    return [cut(head, width), tail]


def _left_text(left_s: float) -> str:
    if math.isnan(left_s):
        return "time left not known yet"
    minutes = left_s / 60
    return f"about {left_s:.0f} s left" if minutes < 2 else f"about {minutes:.0f} min left"


def cell_lines(
    cells: Sequence[CellEntry], width: int, height: int, cursor: int, first: int
) -> list[Line]:
    """One line per cell of a sweep."""
    rest = max(TITLE_LEAST, width - 62) if width >= 74 else max(TITLE_LEAST, width - 30)
    wide = width >= 74
    heads = f"  {'cell':<{rest}} {'done':>7} {'failed':>6} {'rate /s':>8}"
    heads += f" {'accuracy':>9} {'ranks':>5} {'running':>7}  verdict" if wide else ""
    lines: list[Line] = [padded([(ellipsis(heads, width), HEAD)], width)]
    for place in range(first, min(len(cells), first + max(0, height - 1))):
        lines.append(_cell_line(cells[place], rest, wide, place == cursor, width))
    return lines


def _cell_line(cell: CellEntry, rest: int, wide: bool, here: bool, width: int) -> Line:
    line: Line = [
        ("▸ " if here else "  ", ACCENT),
        (ellipsis(cell.label, rest).ljust(rest), STRONG if here else PLAIN),
        (f" {f'{cell.done}/{cell.repeats}':>7}", GOOD if cell.done >= cell.repeats else PLAIN),
        (f" {cell.failed or '':>6}", BAD),
        (f" {rate(cell.rate_per_s):>8}", PLAIN),
    ]
    if wide:
        line += [
            (f" {percent(cell.accuracy):>9}", PLAIN),
            (f" {cell.ranks:>5}", DIM),
            (f" {cell.running or '':>7}", ACCENT),
            (f"  {cell.verdict}", GOOD if cell.verdict == "VALID" else WARN),
        ]
    return padded(line, width)


# --- two runs on one time line --------------------------------------------------------------------

ROLES = ("rank0", "rank1")
NAMES = ("A", "B")


def compare_lines(
    snapshots: Sequence[Snapshot],
    histories: Sequence[History],
    width: int,
    height: int,
    options: Options,
) -> list[Line]:
    """Both runs' figures at one moment side by side, then each chart with a curve per run."""
    lines = _compared_figures(snapshots, width)
    room = height - len(lines)
    shown = [chart for chart in _CHARTS if not _is_empty(chart, histories)]
    fitting = max(1, min(len(shown), room // 7))
    for title, pick, axis in shown[:fitting]:
        curves = [
            Curve(name, role, pick(history))
            for name, role, history in zip(NAMES, ROLES, histories, strict=True)
        ]
        size = (width, max(3, room // fitting - 1))
        lines.append([(ellipsis(f" {title}", width), DIM)])
        lines += line_chart(curves, histories[0].edges_s, size, axis, options.glyphs)
    return lines[:height]


def _is_empty(chart: _Chart, histories: Sequence[History]) -> bool:
    return all(math.isnan(v) for history in histories for v in chart[1](history))


def _compared_figures(snapshots: Sequence[Snapshot], width: int) -> list[Line]:
    cells: list[list[Line]] = []
    for name, role, snapshot in zip(NAMES, ROLES, snapshots, strict=True):
        facts, flow = snapshot.facts, snapshot.flow
        label = f" · {facts.label}" if facts.label else ""
        share, end = width // 2 - 2, clock(snapshot.end_s)
        cells.append(
            [
                [(f" {name} ", role), (ellipsis(f"{facts.name}{label}", share - 3), STRONG)],
                [(ellipsis(f"   {facts.setting}", share), DIM)],
                [(f"   {snapshot.state.word}  {clock(snapshot.t_s)} / {end}", DIM)],
                [
                    ("   ", PLAIN),
                    (f"{rate(flow.completed_per_s)} /s", STRONG),
                    (f"   mean {rate(flow.mean_per_s)}   done {count(flow.completed)}", PLAIN),
                ],
                [
                    (f"   accuracy {accuracy(snapshot.quality.run)}", PLAIN),
                    (f"   p95 {milliseconds(snapshot.recent_latency.p95)}", PLAIN),
                    (f"   lost {count(flow.dropped + flow.lost)}", PLAIN),
                ],
            ]
        )
    return [padded(columns(width, *pair), width) for pair in zip(*cells, strict=True)]


def _source_queue(history: History) -> tuple[float, ...]:
    pairs = zip(history.input_queue[0], history.output_queue[0], strict=True)
    return tuple(inside + outside for inside, outside in pairs)


_Chart = tuple[str, Callable[[History], tuple[float, ...]], ChartAxis]
_CHARTS: tuple[_Chart, ...] = (
    ("completed, items/s", lambda h: h.completed_per_s, ChartAxis(rate)),
    ("accuracy", lambda h: h.accuracy, ChartAxis(whole_percent, bottom=0.5, top=1.0)),
    ("latency p95, ms", lambda h: h.p95_s, ChartAxis(bare_milliseconds, least_top=0.001)),
    ("queue of the source |I_0|+|O_0|", _source_queue, ChartAxis(whole, least_top=4.0)),
)


def compare_heading(t_s: float, end_s: float, width: int) -> Line:
    """The time line's place."""
    left: Line = [(" mdibench  two runs on one time line", STRONG)]
    right: Line = [(f"{clock(t_s)} / {clock(end_s)} ", PLAIN)]
    return justified(left, right, width)


def browser_heading(path: Path, shown: int, total: int, scanned: bool, width: int) -> Line:
    """The folder and how many of its runs are shown."""
    counted = (
        f"{count(shown)} of {count(total)} runs " if shown != total else f"{count(total)} runs "
    )
    right: Line = [(counted if scanned else "looking for runs … ", PLAIN)]
    room = max(0, width - len(right[0][0]) - 12)
    return justified([(" mdibench  ", STRONG), (ellipsis(str(path), room), DIM)], right, width)
