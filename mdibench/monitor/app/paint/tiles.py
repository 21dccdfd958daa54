"""The headline figures (throughput, accuracy, latency, control) as tiles or as single lines."""

from __future__ import annotations

import math

from mdibench.analysis.formatting import (
    UNKNOWN_TEXT,
    accuracy,
    bare_milliseconds,
    count,
    margin,
    milliseconds,
    rate,
)
from mdibench.monitor.app.paint.drawing import (
    BAD,
    DIM,
    GOOD,
    PLAIN,
    SOFT,
    SOFT_GOOD,
    SOFT_WARN,
    STRONG,
    WARN,
    Line,
    Options,
    cut_whole,
    justified,
    resample,
    sparkline,
)
from mdibench.monitor.snapshot import Floats, Snapshot

TILES = ("throughput", "accuracy", "latency", "control")


def tile_lines(
    name: str, snapshot: Snapshot, width: int, height: int, options: Options
) -> list[Line]:
    """The content of one tile: its figures, and a sparkline if there is a line left."""
    lines = _FIGURES[name](snapshot, width)[:height]
    if len(lines) < height and width >= 8:
        trend, role = _TRENDS[name](snapshot)
        lines.append([(spark(trend, width, options, shares=name == "accuracy"), role)])
    return lines


def spark(values: Floats, width: int, options: Options, shares: bool = False) -> str:
    """A whole history as a sparkline of ``width`` cells.

    Heights start at zero; those of ``shares`` start below the smallest one and end at one.
    """
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return ""
    bottom = max(0.0, math.floor(min(known) * 10 - 0.5) / 10) if shares else 0.0
    top = 1.0 if shares else 1.15 * max(known)
    squeezed = resample(values, width)
    stretched = [squeezed[place * len(squeezed) // width] for place in range(width)]
    return sparkline(stretched, top, options.glyphs, width, bottom)


def figure_lines(snapshot: Snapshot, width: int, height: int, options: Options) -> list[Line]:
    """The four tiles as one line each, for small screens: the most important figures first."""
    rows = (
        ("rate", _rate_line(snapshot)),
        ("accuracy", _accuracy_line(snapshot)),
        ("latency", _latency_line(snapshot)),
        ("control", _control_line(snapshot)),
    )
    return [cut_whole([(name.ljust(10), DIM), *line], width) for name, line in rows][:height]


def _labelled(name: str, shown: str, role: str = PLAIN) -> Line:
    """A figure with its label."""
    return [("   " + name, DIM), (" " + shown, role)]


def _rate_line(snapshot: Snapshot) -> Line:
    flow = snapshot.flow
    return [
        (rate(flow.completed_per_s), STRONG),
        (" /s", PLAIN),
        *_labelled("offered", rate(flow.offered_per_s)),
        *_labelled("done", count(flow.completed)),
        *_labelled("in flight", count(flow.in_flight)),
        *_labelled("dropped", count(flow.dropped), BAD if flow.dropped else PLAIN),
        *_labelled("lost", count(flow.lost), BAD if flow.lost else PLAIN),
    ]


def _accuracy_line(snapshot: Snapshot) -> Line:
    quality = snapshot.quality
    return [
        (accuracy(quality.run), STRONG),
        (f" {margin(quality.run)}", DIM),
        *_labelled("last 5 s", accuracy(quality.recent)),
        *_labelled("of offered", accuracy(quality.of_offered)),
        *_labelled("n", count(quality.run.count)),
    ]


def _latency_line(snapshot: Snapshot) -> Line:
    recent, run = snapshot.recent_latency, snapshot.latency
    return [
        (bare_milliseconds(recent.p50), STRONG),
        (" ms p50", PLAIN),
        *_labelled("p95", bare_milliseconds(recent.p95)),
        *_labelled("p99", bare_milliseconds(recent.p99)),
        *_labelled("run p50", bare_milliseconds(run.p50)),
        *_labelled("p99", bare_milliseconds(run.p99)),
    ]


def _control_line(snapshot: Snapshot) -> Line:
    control = snapshot.control
    return [
        ("T_e ", PLAIN),
        (_threshold(snapshot), STRONG),
        *_labelled("μ", milliseconds(control.interarrival_s)),
        ("   ", PLAIN),
        *_queue_gauge(snapshot, 0),
        ("   " + MODE_NAMES.get(control.mode, control.mode), DIM),
    ]


MODE_NAMES = {"adapt-rate": "adapting μ", "adapt-threshold": "adapting T_e"}


def _threshold(snapshot: Snapshot) -> str:
    threshold = snapshot.control.threshold
    return UNKNOWN_TEXT if math.isnan(threshold) else f"{threshold:.3f}"


# --- throughput -----------------------------------------------------------------------------------


def _throughput(snapshot: Snapshot, width: int) -> list[Line]:
    flow = snapshot.flow
    behind = flow.offered_per_s > 0 and flow.completed_per_s < 0.9 * flow.offered_per_s
    return [
        justified(
            [(rate(flow.completed_per_s), STRONG), (" /s", PLAIN)],
            [("offered ", DIM), (rate(flow.offered_per_s), WARN if behind else PLAIN)],
            width,
        ),
        justified(
            [(count(flow.completed), PLAIN), (" done", DIM)],
            _mean(snapshot)
            if snapshot.over
            else [("in flight ", DIM), (count(flow.in_flight), PLAIN)],
            width,
        ),
        justified(
            [("dropped ", DIM), (count(flow.dropped), BAD if flow.dropped else PLAIN)],
            [("lost ", DIM), (count(flow.lost), BAD if flow.lost else PLAIN)],
            width,
        ),
    ]


def _mean(snapshot: Snapshot) -> Line:
    return [("mean ", DIM), (rate(snapshot.flow.mean_per_s), PLAIN)]


# --- accuracy -------------------------------------------------------------------------------------


def _accuracy(snapshot: Snapshot, width: int) -> list[Line]:
    quality = snapshot.quality
    lines = [
        justified(
            [(accuracy(quality.run), STRONG), (f"  {margin(quality.run)}", DIM)],
            [("n ", DIM), (count(quality.run.count), PLAIN)],
            width,
        ),
        justified(
            [(accuracy(quality.recent), PLAIN), (f"  {margin(quality.recent)}", DIM)],
            [("last 5 s", DIM)],
            width,
        ),
    ]
    style = WARN if snapshot.flow.dropped else PLAIN
    lines.append(justified([(accuracy(quality.of_offered), style)], [("of offered", DIM)], width))
    return lines


# --- latency --------------------------------------------------------------------------------------


def _latency(snapshot: Snapshot, width: int) -> list[Line]:
    recent, run = snapshot.recent_latency, snapshot.latency
    return [
        justified(
            [(bare_milliseconds(recent.p50), STRONG), (" ms", PLAIN), ("  p50", DIM)],
            [("p95 ", DIM), (bare_milliseconds(recent.p95), PLAIN)],
            width,
        ),
        justified(
            [("last 5 s", DIM)],
            [("p99 ", DIM), (bare_milliseconds(recent.p99), PLAIN)],
            width,
        ),
        justified(
            [("run p50 ", DIM), (bare_milliseconds(run.p50), PLAIN)],
            [("p99 ", DIM), (bare_milliseconds(run.p99), PLAIN)],
            width,
        ),
    ]


# --- control --------------------------------------------------------------------------------------


def _control(snapshot: Snapshot, width: int) -> list[Line]:
    control = snapshot.control
    mode = MODE_NAMES.get(control.mode, control.mode)
    pace = 1 / control.interarrival_s if control.interarrival_s > 0 else math.nan
    return [
        justified([("T_e ", DIM), (_threshold(snapshot), STRONG)], [(mode, DIM)], width),
        justified(
            [("μ ", DIM), (milliseconds(control.interarrival_s), PLAIN)],
            [(rate(pace), PLAIN), (" /s", DIM)],
            width,
        ),
        _queue_gauge(snapshot, width),
    ]


def _queue_gauge(snapshot: Snapshot, width: int) -> Line:
    """|I_0| + |O_0| against the controller's two limits; without padding for width 0."""
    control = snapshot.control
    low, high, queue = control.queue_low, control.queue_high, control.queue
    limits = f"limits {low}, {high}" if high else ""
    role = GOOD
    if queue is not None and high:
        role = BAD if queue >= high else WARN if queue >= low else GOOD
    left: Line = [("queue ", DIM), (count(queue), role)]
    if not width:
        return [*left, (f" {limits}", DIM)]
    return justified(left, [(limits, DIM)], width)


_FIGURES = {
    "throughput": _throughput,
    "accuracy": _accuracy,
    "latency": _latency,
    "control": _control,
}


def _rate_trend(snapshot: Snapshot) -> tuple[Floats, str]:
    return snapshot.history.completed_per_s, SOFT


def _accuracy_trend(snapshot: Snapshot) -> tuple[Floats, str]:
    return snapshot.history.accuracy, SOFT_GOOD


def _latency_trend(snapshot: Snapshot) -> tuple[Floats, str]:
    return snapshot.history.p95_s, SOFT_WARN


def _control_trend(snapshot: Snapshot) -> tuple[Floats, str]:
    if snapshot.control.mode == "adapt-threshold":
        return snapshot.history.threshold, SOFT
    pace = tuple(1 / v if v > 0 else math.nan for v in snapshot.history.interarrival_s)
    return pace, SOFT


_TRENDS = {
    "throughput": _rate_trend,
    "accuracy": _accuracy_trend,
    "latency": _latency_trend,
    "control": _control_trend,
}
