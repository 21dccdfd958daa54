"""The charts of the monitor: which curves each one draws."""

from __future__ import annotations

import math

from mdibench.tui.paint.charts import Axis, Curve, heat_map, line_chart
from mdibench.tui.paint.lines import ACCENT, BAD, DIM, GOOD, WARN, Line, rank_role
from mdibench.tui.paint.options import Options
from mdibench.view.snapshot import Floats, Snapshot
from mdibench.view.text import bare_milliseconds, count, figure, rate, whole_percent

CHARTS = ("queues", "rate", "accuracy", "latency", "control")
LINES_UP_TO = 6
"""More ranks than this are a heat map; so is anything where colours tell nothing."""
TITLES = {
    "queues": "queues |I|+|O|",
    "rate": "rate, items/s",
    "accuracy": "accuracy",
    "latency": "latency, ms",
    "control": "control: T_e and μ",
}


def title(chart: str, options: Options) -> str:
    """A chart's name, with its scale where that is chosen."""
    return TITLES[chart] + (" (log)" if options.log and chart == "latency" else "")


def plot(chart: str, snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
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
    return line_chart(curves, edges_s, size, Axis(whole, least_top=4.0), options.glyphs)


def whole(value: float) -> str:
    """A queue length: whole where it is one."""
    return f"{value:.1f}" if value % 1 > 0 and value < 9.95 else count(value)


def _rate(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    history = snapshot.history
    curves = [
        Curve("offered", DIM, history.offered_per_s),
        Curve("completed", ACCENT, history.completed_per_s),
    ]
    return line_chart(curves, history.edges_s, size, Axis(rate), options.glyphs)


def _accuracy(snapshot: Snapshot, size: tuple[int, int], options: Options) -> list[Line]:
    history = snapshot.history
    worst = min([0.9, *(v for v in history.accuracy if not math.isnan(v))])
    axis = Axis(whole_percent, bottom=math.floor(worst * 10) / 10, top=1.0)
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
    axis = Axis(bare_milliseconds, least_top=0.001, log=options.log)
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
        curves, history.edges_s, size, Axis(figure, bottom=0.0, top=1.0), options.glyphs
    )


_PAINTERS = {
    "queues": _queues,
    "rate": _rate,
    "accuracy": _accuracy,
    "latency": _latency,
    "control": _control,
}
