"""Charts over time as lines of text: curves, and a heat map where there are too many ranks.

First the two kinds of chart, then the curves of each chart of the monitor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mdibench.analysis.formatting import bare_milliseconds, count, figure, rate, whole_percent
from mdibench.monitor.app.paint.drawing import (
    ACCENT,
    BAD,
    DIM,
    FAINT,
    GOOD,
    PLAIN,
    WARN,
    Canvas,
    Glyphs,
    Line,
    Options,
    heat_role,
    joined,
    padded,
    rank_role,
    resample,
    shade,
    width_of,
)
from mdibench.monitor.snapshot import Floats, Snapshot

CHARTS = ("queues", "rate", "accuracy", "latency", "control")
LINES_UP_TO = 6
"""More ranks than this are drawn as a heat map, and all ranks where there are no colours."""
TITLES = {
    "queues": "queues |I|+|O|",
    "rate": "rate, items/s",
    "accuracy": "accuracy",
    "latency": "latency, ms",
    "control": "control: T_e and μ",
}
LEGEND_FROM = 44
"""Charts narrower than this have no legend at their right edge."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of a line chart."""

    label: str
    role: str
    values: Floats


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """The vertical axis: its figures, its least top, and whether it is logarithmic."""

    show: Callable[[float], str] = figure
    bottom: float = 0.0
    least_top: float = 1.0
    top: float | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps a value to a share of the height."""

    bottom: float
    top: float
    log: bool

    def share(self, value: float) -> float:
        if self.log:
            value = max(value, self.bottom)
            return math.log(value / self.bottom) / math.log(self.top / self.bottom)
        return (value - self.bottom) / (self.top - self.bottom)

    def value(self, share: float) -> float:
        if self.log:
            return float(self.bottom * (self.top / self.bottom) ** share)
        return self.bottom + share * (self.top - self.bottom)


def nice(value: float) -> float:
    """The next round number at or above ``value``."""
    if value <= 0 or math.isnan(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value)


def line_chart(
    curves: Sequence[Curve],
    edges_s: Floats,
    size: tuple[int, int],
    axis: ChartAxis,
    glyphs: Glyphs,
) -> list[Line]:
    """Lines over time in ``size`` = (width, height) cells: figures at the left, time below."""
    width, height = size
    if width < 12 or height < 3 or len(edges_s) < 2:
        return []
    scale = _scale(curves, axis)
    marks = (1.0, 0.5, 0.0) if height >= 6 else (1.0, 0.0)
    ticks = {_row(share, height - 1): axis.show(scale.value(share)) for share in marks}
    gutter = max(len(text) for text in ticks.values()) + 1
    legend = _legend(curves, axis, height - 1) if width >= LEGEND_FROM else []
    beside = max((width_of(line) for line in legend), default=-1) + 1
    canvas = Canvas(width - gutter - beside, height - 1, glyphs)
    for share in marks:
        y = _dot_row(canvas, share)
        canvas.line(0, y, canvas.dots_across - 1, y, FAINT, every=2 * canvas.glyphs.across)
    for each in curves:
        _draw(canvas, each, scale, len(edges_s) - 1)
    lines = []
    for row, picture in enumerate(canvas.lines()):
        label = ticks.get(row, "").rjust(gutter - 1) + " "
        line = [(label, DIM), *padded(picture, canvas.width)]
        lines.append([*line, (" ", PLAIN), *legend[row]] if row < len(legend) else line)
    return [*lines, _time_axis(edges_s, gutter, canvas.width)]


def _scale(curves: Sequence[Curve], axis: ChartAxis) -> _Scale:
    known = [v for each in curves for v in each.values if not math.isnan(v)]
    if axis.log:
        positive = [v for v in known if v > 0] or [1.0]
        bottom = 10.0 ** math.floor(math.log10(min(positive)))
        return _Scale(bottom, max(10 * bottom, nice(max(positive))), True)
    top = axis.top if axis.top is not None else nice(max([axis.least_top, *known]))
    bottom = min([axis.bottom, *known]) if axis.top is not None else axis.bottom
    return _Scale(bottom, top if top > bottom else bottom + 1.0, False)


def _row(share: float, height: int) -> int:
    """The row of cells at a share of the height."""
    return min(height - 1, int((1 - share) * height))


def _dot_row(canvas: Canvas, share: float) -> int:
    return round((1 - min(1.0, max(0.0, share))) * (canvas.dots_down - 1))


def _draw(canvas: Canvas, curve: Curve, scale: _Scale, bins: int) -> None:
    """Points at the centres of the bins, joined; a gap where the value is not known."""
    before: tuple[int, int] | None = None
    for place, value in enumerate(curve.values):
        if math.isnan(value):
            before = None
            continue
        x = min(canvas.dots_across - 1, int((place + 0.5) / bins * canvas.dots_across))
        here = x, _dot_row(canvas, scale.share(value))
        canvas.line(*(before or here), *here, curve.role)
        before = here


def newest(values: Floats) -> float:
    """The last known value."""
    return next((value for value in reversed(values) if not math.isnan(value)), math.nan)


def _legend(curves: Sequence[Curve], axis: ChartAxis, height: int) -> list[Line]:
    """Names and newest values, one line each; what does not fit is left out."""
    names = max((len(each.label) for each in curves), default=0)
    shown = [axis.show(newest(each.values)) for each in curves]
    figures = max((len(text) for text in shown), default=0)
    lines = [
        [(each.label.ljust(names), each.role), (" " + text.rjust(max(figures, 4)), PLAIN)]
        for each, text in zip(curves, shown, strict=True)
    ]
    return lines[:height]


def seconds(value: float) -> str:
    """A time on an axis."""
    return f"{value:.0f} s" if value >= 10 or value == int(value) else f"{value:.1f} s"


def _time_axis(edges_s: Floats, gutter: int, width: int) -> Line:
    first, last = seconds(edges_s[0]), seconds(edges_s[-1])
    middle = seconds((edges_s[0] + edges_s[-1]) / 2) if width >= 40 else ""
    left = first.ljust(max(len(first), (width - len(middle)) // 2))
    line = (left + middle).ljust(max(0, width - len(last))) + last
    return [(" " * gutter + line[: max(width, len(first))], DIM)]


def heat_map(
    rows: Sequence[Floats],
    ranks: Sequence[int],
    edges_s: Floats,
    size: tuple[int, int],
    glyphs: Glyphs,
) -> list[Line]:
    """One row per rank, or per group of ranks where there are too many; darker is longer."""
    width, height = size
    if width < 16 or height < 2 or not rows or len(edges_s) < 2:
        return []
    grouped = _grouped(rows, ranks, height - 1)
    gutter = max(len(name) for name, _ in grouped) + 1
    plot = width - gutter - 6
    top = max((v for _, row in grouped for v in row if not math.isnan(v)), default=0.0)
    lines: list[Line] = []
    for place, (name, row) in enumerate(grouped):
        role = rank_role(ranks[place]) if len(grouped) == len(rows) else DIM
        line: Line = [(name.rjust(gutter - 1) + " ", role)]
        line += _heat(row, top, plot, glyphs)
        lines.append([*line, (count(newest(row)).rjust(6), PLAIN)])
    axis = _time_axis(edges_s, gutter, plot)
    return [*lines, [*padded(axis, gutter + plot), (f"≤{count(top)}".rjust(6), DIM)]]


def _grouped(rows: Sequence[Floats], ranks: Sequence[int], places: int) -> list[tuple[str, Floats]]:
    """Rows by name; groups of ranks show their longest queue."""
    size = math.ceil(len(rows) / max(1, places))
    if size == 1:
        return [(str(rank), row) for rank, row in zip(ranks, rows, strict=True)]
    groups = []
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        name = f"{ranks[start]}-{ranks[start + len(some) - 1]}"
        groups.append((name, tuple(_largest(column) for column in zip(*some, strict=True))))
    return groups


def _largest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _heat(row: Floats, top: float, width: int, glyphs: Glyphs) -> Line:
    values = resample(row, width)
    places = [values[place * len(values) // width] for place in range(width)]
    line: Line = []
    for value in places:
        share = value / top if top > 0 else 0.0
        text = "·" if math.isnan(value) else shade(share, glyphs)
        line.append((text, FAINT if math.isnan(value) else heat_role(share)))
    return joined(line)


# --- charts of the monitor ------------------------------------------------------------------------


def title(chart: str, options: Options) -> str:
    """A chart's name, with a logarithmic scale marked."""
    return TITLES[chart] + (" (log)" if options.log and chart == "latency" else "")


def chart_lines(
    chart: str, snapshot: Snapshot, width: int, height: int, options: Options
) -> list[Line]:
    """One chart in ``width`` by ``height`` cells."""
    if not snapshot.history.completed_per_s:
        return []
    return _PAINTERS[chart](snapshot, (width, height), options)


def totals(snapshot: Snapshot) -> list[Floats]:
    """|I_n| + |O_n| of every rank over time."""
    history = snapshot.history
    return [
        tuple(a + b for a, b in zip(inside, outside, strict=True))
        for inside, outside in zip(history.input_queue, history.output_queue, strict=True)
    ]


def _queues(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    rows, ranks = totals(snapshot), [rank.rank for rank in snapshot.ranks]
    edges_s = snapshot.history.edges_s
    if len(rows) > LINES_UP_TO or not options.coloured:
        return heat_map(rows, ranks, edges_s, size, options.glyphs)
    curves = [
        Curve(f"rank {rank}", rank_role(rank), row) for rank, row in zip(ranks, rows, strict=True)
    ]
    return line_chart(curves, edges_s, size, ChartAxis(whole, least_top=4.0), options.glyphs)


def whole(value: float) -> str:
    """A queue length: whole where it is one."""
    return f"{value:.1f}" if value % 1 > 0 and value < 9.95 else count(value)


def _rate(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    history = snapshot.history
    curves = [
        Curve("offered", DIM, history.offered_per_s),
        Curve("completed", ACCENT, history.completed_per_s),
    ]
    return line_chart(curves, history.edges_s, size, ChartAxis(rate), options.glyphs)


def _accuracy(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    history = snapshot.history
    worst = min([0.9, *(v for v in history.accuracy if not math.isnan(v))])
    axis = ChartAxis(whole_percent, bottom=math.floor(worst * 10) / 10, top=1.0)
    return line_chart(
        [Curve("accuracy", GOOD, history.accuracy)], history.edges_s, size, axis, options.glyphs
    )


def _latency(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    history = snapshot.history
    curves = [
        Curve("p99", BAD, history.p99_s),
        Curve("p95", WARN, history.p95_s),
        Curve("p50", ACCENT, history.p50_s),
    ]
    axis = ChartAxis(bare_milliseconds, least_top=0.001, log=options.log)
    return line_chart(curves, history.edges_s, size, axis, options.glyphs)


def _control(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    """T_e on its own scale from 0 to 1, and 1/μ as a share of its largest value."""
    history = snapshot.history
    fastest = max((1 / v for v in history.interarrival_s if v > 0), default=math.nan)
    pace = tuple(1 / v / fastest if v > 0 else math.nan for v in history.interarrival_s)
    curves = [
        Curve("T_e", ACCENT, history.threshold),
        Curve(f"1/μ of {rate(fastest)}/s", WARN, pace),
    ]
    return line_chart(
        curves, history.edges_s, size, ChartAxis(figure, bottom=0.0, top=1.0), options.glyphs
    )


_PAINTERS = {
    "queues": _queues,
    "rate": _rate,
    "accuracy": _accuracy,
    "latency": _latency,
    "control": _control,
}
