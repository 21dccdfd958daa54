"""Figures of single runs: queues over time, how workers and items spent their time, offloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mdibench.analysis import workers
from mdibench.analysis.explain import LATENCY_PARTS, Breakdown, Decisions
from mdibench.analysis.formatting import format_one
from mdibench.analysis.run_groups import Run
from mdibench.analysis.shares import Numbers
from mdibench.analysis.workers import STATES
from mdibench.report.drawing import (
    COLUMN_IN,
    GRID,
    IDLE_STYLE,
    INK,
    MOST_SERIES,
    ON_DARK,
    ON_LIGHT,
    PAGE_IN,
    SHADE,
    area_style,
    label_rows,
    legend_above,
    legend_columns,
    percent_axis,
    row_heights,
    series_style,
    sheet,
    styled,
    tip,
)

POINTS = 600
"""Points of a line over time: more could not be distinguished."""


@styled
def queue_figure(run: Run) -> Figure:
    """Items in flight and each rank's queues over the whole run; below, the adapted quantity."""
    samples = workers.telemetry(
        run.reader, ("input_queue", "output_queue", "in_flight", "threshold", "interarrival_s")
    )
    figure, (top, bottom) = sheet(PAGE_IN, 2.7, 2, 1, sharex=True, height_ratios=(2, 1))
    for at, (rank, series) in enumerate(list(samples.items())[:MOST_SERIES]):
        style = series_style(at)
        total = series.columns["input_queue"] + series.columns["output_queue"]
        (line,) = top.plot(
            *thinned(series.t_s, total), color=style.colour, linestyle=style.line,
            label=f"rank {rank}",
        )  # fmt: skip
        tip(line, f"rank {rank}: tasks in its queues, at most {np.nanmax(total):.0f}")
    source = samples.get(0)
    if source is not None:
        flight = source.columns["in_flight"]
        (area,) = top.plot(
            *thinned(source.t_s, flight), color=INK, linewidth=0.6, label="in flight"
        )
        tip(area, f"items in flight, at most {np.nanmax(flight, initial=0):.0f}")
        _adapted(bottom, source, run.summary.identity.mode)
    for axis in (top, bottom):
        _shade_outside(axis, run.summary.window)
    top.set_ylabel("tasks, items")
    top.set_ylim(bottom=0)
    legend_above(figure, top, 9)
    bottom.set_xlabel("time since the start (s); shaded: outside the measured window")
    return figure


def thinned(t_s: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    """At most ``POINTS`` points that keep every peak: the maximum of each span."""
    if values.size <= POINTS:
        return t_s, values
    starts = np.linspace(0, values.size, POINTS, endpoint=False).astype(np.int64)
    return t_s[starts], np.maximum.reduceat(np.nan_to_num(values), starts)


def _adapted(axis: Axes, source: workers.Series, mode: str) -> None:
    if mode == "adapt-threshold":
        axis.plot(source.t_s, source.columns["threshold"], color=series_style(1).colour)
        axis.set_ylabel("threshold")
    else:
        with np.errstate(divide="ignore"):
            axis.plot(
                source.t_s, 1 / source.columns["interarrival_s"], color=series_style(1).colour
            )
        axis.set_ylabel("1/μ (items/s)")
    axis.set_ylim(bottom=0)


def _shade_outside(axis: Axes, window: tuple[float, float]) -> None:
    left, right = axis.get_xlim()
    for start, end in ((left, window[0]), (window[1], right)):
        if end > start:
            axis.axvspan(start, end, color=SHADE, zorder=0, linewidth=0)
    axis.set_xlim(left, right)


@styled
def time_split_figure(runs: Mapping[str, Run]) -> Figure:
    """How every worker spent its time."""
    rows = [(name, row) for name, run in runs.items() for row in run.summary.ranks][:24]
    names = [f"{name} · {row.rank}" if len(runs) > 1 else f"rank {row.rank}" for name, row in rows]
    figure, (axis,) = sheet(PAGE_IN, 0.75 + max(0.4, sum(row_heights(names))))
    for at, (name, row) in enumerate(rows):
        start = 0.0
        for n, state in enumerate(STATES):
            share = row.split[state]
            if not share > 0:
                continue
            (bar,) = axis.barh(
                at,
                share,
                left=start,
                height=0.7,
                **(IDLE_STYLE if state == "idle" else area_style(n)),
            )
            tip(bar, f"{name}, rank {row.rank}: {state} {share:.1%}")
            start += share
    label_rows(axis, names)
    axis.set_xlim(0, 1)
    percent_axis(axis.xaxis)
    axis.set_xlabel("share of the measured window")
    axis.grid(visible=False)
    _legend(figure, axis, STATES)
    return figure


def _legend(figure: Figure, axis: Axes, names: Sequence[str]) -> None:
    width_in = 0.8 * figure.get_figwidth()  # beside it are the labels of the rows
    handles = [
        Patch(label=name, **(IDLE_STYLE if name == "idle" else area_style(n)))
        for n, name in enumerate(names)
    ]
    axis.legend(
        handles=handles,
        ncols=min(len(names), legend_columns(width_in, names)),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
    )


@styled
def offload_figure(decisions: Decisions) -> Figure:
    """Who sent how many tasks to whom."""
    matrix = decisions.matrix[:16, :16]
    side = min(COLUMN_IN, 1.3 + 0.22 * len(matrix))
    figure, (axis,) = sheet(side, side - 0.15)
    axis.pcolormesh(
        matrix, cmap="Greys", vmin=0, vmax=max(1, matrix.max() * 1.4), edgecolors=GRID,
        linewidth=0.5,
    )  # fmt: skip
    for source, target in zip(*np.nonzero(matrix), strict=True):
        count = matrix[source, target]
        ink = ON_DARK if count > matrix.max() * 0.7 else ON_LIGHT
        axis.text(
            target + 0.5, source + 0.5, f"{count:,}", ha="center", va="center", color=ink,
            fontsize=6.5 if len(matrix) < 7 else 4.5,
        )  # fmt: skip
    middles, ranks = np.arange(len(matrix)) + 0.5, [str(rank) for rank in range(len(matrix))]
    axis.set_xticks(middles, ranks)
    axis.set_yticks(middles, ranks)
    axis.invert_yaxis()
    axis.set_aspect("equal")
    axis.set_xlabel("to rank")
    axis.set_ylabel("from rank")
    axis.grid(visible=False)
    return figure


@styled
def item_time_figure(breakdowns: Mapping[str, Breakdown]) -> Figure:
    """Where the time of an average item went."""
    rows = [(name, b.times[0]) for name, b in breakdowns.items() if b.times][:MOST_SERIES]
    labels = [f"{name}: {format_one('seconds', time.latency_s)}" for name, time in rows]
    figure, (axis,) = sheet(PAGE_IN, 0.8 + max(0.5, sum(row_heights(labels))))
    for at, (name, time) in enumerate(rows):
        start = 0.0
        for n, part in enumerate(LATENCY_PARTS):
            share = time.parts[part] / time.latency_s if time.latency_s else 0.0
            (bar,) = axis.barh(at, share, left=start, height=0.7, **area_style(n))
            tip(bar, f"{name}: {part} {format_one('seconds', time.parts[part])} ({share:.0%})")
            start += share
    label_rows(axis, labels)
    axis.set_xlim(0, 1)
    percent_axis(axis.xaxis)
    axis.set_xlabel("share of the mean latency of an item")
    axis.grid(visible=False)
    _legend(figure, axis, LATENCY_PARTS)
    return figure
