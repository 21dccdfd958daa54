"""Figures that compare groups: rate, accuracy, latency, exits and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mdibench.analysis.comparable_sets import ComparableSet
from mdibench.analysis.formatting import choose_scale, format_one
from mdibench.analysis.metrics import CURVE
from mdibench.analysis.run_groups import METRICS, Metric, RunGroup
from mdibench.analysis.shares import Estimate
from mdibench.report.drawing import (
    IDLE_STYLE,
    INK,
    MOST_SERIES,
    ON_DARK,
    ON_LIGHT,
    PAGE_IN,
    PALE_INK,
    PAPER,
    area_style,
    is_narrow,
    label_rows,
    legend_above,
    legend_of_all,
    percent_axis,
    plain_log_axis,
    row_heights,
    series_style,
    sheet,
    styled,
    tip,
)

MOST_ROWS = 3
"""Sets whose latencies are drawn."""
LARGEST_LINEAR_RATIO = 20
"""Latencies that differ more than this get a logarithmic axis."""
LEAST_BIN_ITEMS = 10
"""Items that a bin needs for its accuracy to be shown."""


@styled
def rate_figure(sets: Sequence[ComparableSet]) -> Figure:
    """The rate of every group with its interval, the highest first; one panel for each set."""
    rows = [sorted(of.groups, key=_descending_rate) for of in sets]
    heights = [0.5 + sum(row_heights([g.name for g in groups])) for groups in rows]
    figure, axes = sheet(PAGE_IN, sum(heights), len(sets), 1, height_ratios=heights)
    for axis, of, groups in zip(axes, sets, rows, strict=True):
        for at, group in enumerate(groups):
            _rate_bar(axis, at, group)
        label_rows(axis, [group.name for group in groups])
        axis.set_title(of.label)
        axis.margins(x=1.2 if is_narrow() else 0.25)  # room for the figures beside the bars
        axis.set_xlim(left=0)
        axis.grid(axis="y", visible=False)
    axes[-1].set_xlabel("rate (items/s), with its 95 % interval and the accuracy")
    return figure


def _descending_rate(group: RunGroup) -> float:
    rate = group.estimate(METRICS["throughput"]).value
    return math.inf if math.isnan(rate) else -rate


def _rate_bar(axis: Axes, at: int, group: RunGroup) -> None:
    rate, accuracy = (group.estimate(METRICS[key]) for key in ("throughput", "accuracy"))
    if not rate.known:
        axis.plot(0, at, alpha=0)
        return
    sound = all(run.verdict == "VALID" for run in group.counted)
    style = area_style(0) if sound else IDLE_STYLE
    (bar,) = axis.barh(at, rate.value, height=0.6, **style)
    end = rate.value
    if math.isfinite(rate.low) and math.isfinite(rate.high):
        axis.plot([rate.low, rate.high], [at, at], color=INK, linewidth=1)
        end = max(end, rate.high)
    text = format_one("per_s", rate, "none")
    if accuracy.known:
        text += f" at {format_one('share', accuracy, 'none')}"
    axis.annotate(text + ("" if sound else ", INVALID"), (end, at), (4, 0),
                  textcoords="offset points", va="center")  # fmt: skip
    values = [format_one("per_s", rate), format_one("share", accuracy)]
    tip(bar, f"{group.name}: {' at '.join(values)}")


@styled
def metric_figure(sets: Sequence[ComparableSet]) -> Figure:
    """Rate, accuracy and latencies of every group with their intervals, set by set."""
    metrics = [METRICS[key] for key in ("throughput", "accuracy", "p50", "p99")]
    heights = [0.7 + sum(row_heights([g.name for g in of.groups])) for of in sets]
    figure, axes = sheet(
        PAGE_IN, sum(heights), len(sets), len(metrics), sharey="row", height_ratios=heights
    )
    for row, of in enumerate(sets):
        here = axes[row * len(metrics) : (row + 1) * len(metrics)]
        for axis, metric in zip(here, metrics, strict=True):
            _dots(axis, of.groups, metric)
            label_rows(axis, [group.name for group in of.groups])
        if of.label:
            here[0].set_title(f"{of.label}\n\n{here[0].get_title(loc='left')}")
    return figure


def _dots(axis: Axes, groups: Sequence[RunGroup], metric: Metric) -> None:
    estimates = [group.estimate(metric) for group in groups]
    factor, unit = choose_scale(metric.kind, [e.value for e in estimates])
    for at, (group, estimate) in enumerate(zip(groups, estimates, strict=True)):
        if not math.isfinite(estimate.value):
            told = "∞" if estimate.known else "n/a"
            across = axis.get_yaxis_transform()
            axis.text(0.5, at, told, transform=across, color=PALE_INK, va="center")
            continue
        e = estimate.scaled(1 / factor)
        style = series_style(at)
        if math.isfinite(e.low) and math.isfinite(e.high):
            axis.plot([e.low, e.high], [at, at], color=style.colour, linewidth=1)
        (dot,) = axis.plot(e.value, at, style.marker, color=style.colour)
        tip(dot, f"{group.name}: {metric.title} {format_one(metric.kind, estimate)}")
    axis.set_title(f"{metric.title} ({unit})")
    sizes = [e.value for e in estimates if e.value > 0]
    if metric.kind == "seconds" and sizes and max(sizes) > LARGEST_LINEAR_RATIO * min(sizes):
        axis.set_xscale("log")
        plain_log_axis(axis.xaxis)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.grid(axis="y", visible=False)


@styled
def tradeoff_figure(sets: Sequence[ComparableSet]) -> Figure:
    """Rate against accuracy: one point per group, and the Pareto front of each scheme.

    Groups that cannot be compared have axes of their own.
    """
    rows = math.ceil(len(sets) / 2)
    wide = 1 if len(sets) == 1 else 2
    figure, axes = sheet(PAGE_IN, 2.6 * rows, rows, wide)
    schemes = list(dict.fromkeys(g.first.identity.scheme for of in sets for g in of.groups))
    for axis, of in zip(axes, sets, strict=False):
        for at, scheme in enumerate(schemes):
            members = [g for g in of.groups if g.first.identity.scheme == scheme]
            _scheme_points(axis, at, scheme, members)
        axis.set_title(of.label)
        axis.set_xlabel("rate (items/s)")
        axis.set_ylabel("accuracy")
        percent_axis(axis.yaxis)
        axis.margins(0.12)
    for axis in axes[len(sets) :]:
        axis.set_visible(False)
    legend_of_all(figure, axes[: len(sets)])
    return figure


def _scheme_points(axis: Axes, at: int, scheme: str, groups: Sequence[RunGroup]) -> None:
    style, front = series_style(at), pareto(groups)
    for group in groups:
        rate, accuracy = (group.estimate(METRICS[key]) for key in ("throughput", "accuracy"))
        _cross(axis, rate, accuracy, style.colour)
        (dot,) = axis.plot(
            rate.value, accuracy.value, style.marker, color=style.colour,
            markerfacecolor=style.colour if group in front else PAPER,
            label=scheme if group is groups[0] else None,
        )  # fmt: skip
        values = [format_one("per_s", rate), format_one("share", accuracy)]
        tip(dot, f"{group.name}: {' at '.join(values)}")
    points = [
        tuple(g.estimate(METRICS[k]).value for k in ("throughput", "accuracy")) for g in front
    ]
    if len(points) > 1:
        x, y = zip(*points, strict=True)
        axis.step(x, y, where="pre", color=style.colour, linestyle=style.line, linewidth=0.9)


def _cross(axis: Axes, x: Estimate, y: Estimate, colour: str) -> None:
    for across, along in (((x.low, x.high), (y.value,) * 2), ((x.value,) * 2, (y.low, y.high))):
        if all(map(math.isfinite, (*across, *along))):
            axis.plot(across, along, color=colour, linewidth=0.7, alpha=0.7)


def pareto(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Groups with VALID runs that none beats in both rate and accuracy, by ascending rate."""
    points = [
        (group.estimate(METRICS["throughput"]).value, group.estimate(METRICS["accuracy"]).value, at)
        for at, group in enumerate(groups)
        if group.valid
    ]
    front: list[RunGroup] = []
    best = -math.inf
    for _, accuracy, at in sorted((p for p in points if not math.isnan(p[0])), reverse=True):
        if accuracy > best:
            best = accuracy
            front.append(groups[at])
    return front[::-1]


@styled
def latency_figure(sets: Sequence[ComparableSet]) -> Figure:
    """Distribution of latency: the share of faster items, and the tail on a log scale.

    One row for each set, of the first ``MOST_ROWS``.
    """
    shown = sets[:MOST_ROWS]
    figure, axes = sheet(PAGE_IN, 0.2 + 2.2 * len(shown), len(shown), 2)
    for row, of in enumerate(shown):
        _latencies(of.groups, *axes[2 * row : 2 * row + 2])
        axes[2 * row].set_title(of.label)
    legend_of_all(figure, axes)
    return figure


def _latencies(groups: Sequence[RunGroup], body: Axes, tail: Axes) -> None:
    curves = [(group, _mean_curve(group)) for group in groups]
    known = [(at, g, c) for at, (g, c) in enumerate(curves) if np.isfinite(c).any()]
    usual_s = [float(c[np.isfinite(c)][:51][-1]) for _, _, c in known]  # p50, where it is known
    factor, unit = choose_scale("seconds", usual_s)
    shares = np.array(CURVE)
    for at, group, curve in known[:MOST_SERIES]:
        style = series_style(at)
        marks = {"color": style.colour, "linestyle": style.line, "label": group.name}
        curve = np.where(np.isfinite(curve), curve, np.nan)  # it ends below 1 where items failed
        (line,) = body.plot(curve / factor, shares, **marks)
        (rest,) = tail.plot(curve / factor, 1 - shares, **marks)
        p50, p99 = (format_one("seconds", group.estimate(METRICS[k])) for k in ("p50", "p99"))
        for drawn in (line, rest):
            tip(drawn, f"{group.name}: p50 {p50}, p99 {p99}")
    body.set_ylabel("share of items at most as slow")
    tail.set_ylabel("share of items slower")
    tail.set_yscale("log")
    plain_log_axis(tail.yaxis)
    tail.set_ylim(8e-4, 1)
    for axis in (body, tail):
        axis.set_xlabel(f"latency ({unit})")
        if known:
            axis.set_xscale("log")
            plain_log_axis(axis.xaxis)
    body.set_ylim(0, 1)


def _mean_curve(group: RunGroup) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Quantiles averaged over repeats."""
    curves = [run.summary.measured.latency_curve_s for run in group.counted]
    full = [curve for curve in curves if curve]
    return np.mean(full, axis=0) if full else np.empty(0)


@styled
def exit_figure(groups: Sequence[RunGroup]) -> Figure:
    """Where items left, by depth; and how accurate each exit was."""
    shown = groups[:MOST_SERIES]
    names = [group.name for group in shown]
    figure, (left, right) = sheet(PAGE_IN, max(1.9, 0.7 + sum(row_heights(names))), 1, 2)
    depth = max((len(g.first.exits) for g in shown), default=0)
    for at, group in enumerate(shown):
        start = 0.0
        for row in group.first.exits:
            (bar,) = left.barh(
                at, row.share.value, left=start, height=0.66, color=_shade(row.exit, depth),
                edgecolor=PAPER, linewidth=0.8,
            )  # fmt: skip
            tip(bar, f"{group.name}, exit {row.exit}: {format_one('share', row.share)} of items")
            if row.share.value > 0.06:
                ink = ON_DARK if row.exit > depth / 2 else ON_LIGHT
                middle = start + row.share.value / 2
                left.text(middle, at, str(row.exit), ha="center", va="center", color=ink)
            start += row.share.value
        _exit_accuracy(right, at, group)
    label_rows(left, names)
    left.set_xlim(0, 1)
    left.set_xlabel("share of items by exit taken")
    percent_axis(left.xaxis)
    left.grid(visible=False)
    right.set_xlabel("exit")
    right.set_ylabel("accuracy of the exit")
    percent_axis(right.yaxis)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(figure, right)
    return figure


def _exit_accuracy(axis: Axes, at: int, group: RunGroup) -> None:
    rows = [row for row in group.first.exits if row.items]
    if not rows:
        return
    style, x = series_style(at), np.array([row.exit for row in rows]) + 0.06 * (at % 5 - 2)
    for where, row in zip(x, rows, strict=True):
        bounds = [row.accuracy.low, row.accuracy.high]
        axis.plot([where] * 2, bounds, color=style.colour, linewidth=0.8)
    y = [row.accuracy.value for row in rows]
    (line,) = axis.plot(
        x, y, style.marker, linestyle=style.line, color=style.colour, label=group.name
    )
    accuracies = ", ".join(
        f"exit {row.exit} {format_one('share', row.accuracy, 'none')}" for row in rows
    )
    tip(line, f"{group.name}: {accuracies}")


def _shade(at: int, of: int) -> str:
    """A blue that is darker the deeper the exit, so that the order needs no legend."""
    return to_hex(colormaps["Blues"](0.2 + 0.7 * (at - 1) / max(1, of - 1)))


@styled
def calibration_figure(groups: Sequence[RunGroup]) -> Figure:
    """Confidence against accuracy: above the diagonal the network is underconfident."""
    figure, (axis,) = sheet(PAGE_IN, 2.7)
    axis.plot([0, 1], [0, 1], color=PALE_INK, linewidth=0.8, linestyle=(0, (2, 2)))
    lowest = 1.0
    for at, group in enumerate(groups[:MOST_SERIES]):
        run = group.detailed
        confidence, accuracy, counts = run.summary.measured.bins
        enough = counts >= LEAST_BIN_ITEMS
        confidence, accuracy = confidence[enough], accuracy[enough]
        if not enough.any():
            continue
        lowest = min(lowest, float(confidence.min()), float(accuracy.min()))
        style, error = series_style(at), run.summary.measured.calibration_error
        (line,) = axis.plot(
            confidence, accuracy, style.marker, linestyle=style.line, color=style.colour,
            label=group.name,
        )  # fmt: skip
        tip(line, f"{group.name}: expected calibration error {format_one('share', error)}")
    axis.set_xlim(max(0.0, lowest - 0.05), 1.02)
    axis.set_ylim(max(0.0, lowest - 0.05), 1.02)
    axis.set_xlabel("mean confidence of a bin")
    axis.set_ylabel("accuracy of the bin")
    legend_above(figure, axis)
    return figure
