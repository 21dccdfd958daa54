"""``mdibench report --history``: each metric over the dates of its runs, with change points.

``analysis.history`` finds them; this module makes the document for pages and files, and the text
for a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mdibench.analysis.formatting import Cell, choose_scale, format_one
from mdibench.analysis.history import LEAST_RUNS, TRACKED, Change, Track
from mdibench.report.document import Column, Document, Figure, Lead, ReportSection, Table
from mdibench.report.terminal import bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

SPARKS = 48
"""Runs of a line of block characters, the newest ones."""
METHOD = (
    "A change point is where the ranks of a metric differ most before and after it; of the "
    "histories of a group without a change, at most 5 % show one (permutations, over "
    f"{len(TRACKED)} metrics). "
    f"Histories of fewer than {LEAST_RUNS} VALID runs are not searched; INVALID runs are left out."
)


def history_page(tracks: Sequence[Track]) -> Document:
    """One section for each group."""
    by_group = [(name, list(of)) for name, of in groupby(tracks, lambda track: track.group)]
    number = sum(len(track.changes) for track in tracks)
    return Document(
        title="History",
        subtitle=f"{len(by_group)} groups of runs over time, {number} change points",
        sections=tuple(_section(at, name, of) for at, (name, of) in enumerate(by_group, 1)),
    )


def _section(at: int, name: str, tracks: Sequence[Track]) -> ReportSection:
    told = [sentence(track, change) for track in tracks for change in track.changes]
    lead = Lead("", tuple(told or [_quiet(tracks)]))
    draw = Figure(f"history-{at}", "By date", partial(_figure, tracks))
    tables = (level_table(at, tracks), run_table(at, tracks))
    return ReportSection(f"history-of-{at}", name, (METHOD,), tables, (draw,), (lead,))


def _quiet(tracks: Sequence[Track]) -> str:
    longest = max(len(track.runs) for track in tracks)
    if longest < LEAST_RUNS:
        return f"{longest} VALID runs are too few to tell whether a level changed."
    return f"No level changed over {longest} runs."


def sentence(track: Track, change: Change) -> str:
    """A change point in words."""
    better = (change.after.value > change.before.value) == track.metric.higher_is_better
    before, after = (format_one(track.metric.kind, e) for e in (change.before, change.after))
    text = (
        f"{track.metric.title} became {'better' if better else 'worse'} with {change.run} "
        f"({change.when:%Y-%m-%d}): {before} before, {after} since (p = {change.p_value:.3f})"
    )
    facts = ", ".join(f"{key} {a} → {b}" for key, a, b in change.differs)
    return f"{text}; what changed with it: {facts}." if facts else f"{text}."


def level_table(at: int, tracks: Sequence[Track]) -> Table:
    """Every level of every metric."""
    columns = (
        Column("metric", "metric"), Column("from_run", "from"), Column("date", "date"),
        Column("runs", "runs", "count"), Column("mean", "mean"), Column("change", "change"),
        Column("p_value", "p", "p"),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    for track in tracks:
        for number, (first, behind, mean) in enumerate(track.levels):
            change = track.changes[number - 1] if number else None
            rows.append(
                (track.metric.title, track.runs[first], f"{track.when[first]:%Y-%m-%d %H:%M}",
                 behind - first, format_one(track.metric.kind, mean),
                 f"{change.ratio - 1:+.1%}" if change else "", change.p_value if change else None)
            )  # fmt: skip
    return Table(f"levels_{at}", "Levels", columns, tuple(rows))


def run_table(at: int, tracks: Sequence[Track]) -> Table:
    """The figures of every run, oldest first."""
    values = [dict(zip(track.runs, track.values.tolist(), strict=True)) for track in tracks]
    runs = {run: when for track in tracks for run, when in zip(track.runs, track.when, strict=True)}
    columns = [Column("run", "run"), Column("date", "date")]
    columns += [Column(track.metric.key, track.metric.title, track.metric.kind) for track in tracks]
    rows = [
        (run, f"{when:%Y-%m-%d %H:%M}", *(of.get(run) for of in values))
        for run, when in sorted(runs.items(), key=lambda pair: pair[1])
    ]
    return Table(f"history_{at}", "Runs by date", tuple(columns), tuple(rows))


def _figure(tracks: Sequence[Track]) -> Drawing:
    from mdibench.report.drawing import PAGE_IN, sheet, styled

    @styled
    def draw() -> Drawing:
        figure, axes = sheet(PAGE_IN, 1.35 * len(tracks), len(tracks), 1, sharex=True)
        for axis, track in zip(axes, tracks, strict=True):
            _draw_track(axis, track)
        figure.autofmt_xdate(rotation=0, ha="center")
        return figure

    return draw()


def _draw_track(axis: Axes, track: Track) -> None:
    from matplotlib.dates import date2num

    from mdibench.report.drawing import PALE_INK, series_style, tip

    factor, unit = choose_scale(track.metric.kind, track.values.tolist())
    style, level = series_style(0), series_style(1)
    days = [float(date2num(when)) for when in track.when]  # type: ignore[no-untyped-call]
    for run, day, value in zip(track.runs, days, track.values.tolist(), strict=True):
        (dot,) = axis.plot([day], [value / factor], "o", color=style.colour, markersize=3)
        tip(dot, f"{run}: {track.metric.title} {format_one(track.metric.kind, value)}")
    for first, behind, mean in track.levels:
        height = mean.value / factor
        axis.plot([days[first], days[behind - 1]], [height] * 2, color=level.colour, linewidth=1.4)
    for change in track.changes:
        axis.axvline(days[change.at], color=PALE_INK, linewidth=0.8, linestyle=(0, (2, 2)))
    axis.set_ylabel(f"{track.metric.title}\n({unit})" if unit else track.metric.title)
    axis.xaxis_date()
    axis.margins(y=0.2)


def as_text(tracks: Sequence[Track]) -> str:
    """For a terminal: a line of blocks and the changes of every metric."""
    lines = []
    for name, of in groupby(tracks, lambda track: track.group):
        mine = list(of)
        dates = sorted(when for track in mine for when in track.when)
        lines += [f"{name}: {len(mine[0].runs)} VALID runs, {dates[0]:%Y-%m-%d} to "
                  f"{dates[-1]:%Y-%m-%d}"]  # fmt: skip
        for track in mine:
            if track.values.size:
                lines.append(_line(track))
        changes = [sentence(track, change) for track in mine for change in track.changes]
        lines += [f"  {text}" for text in changes or [_quiet(mine)]] + [""]
    return "\n".join([*lines, METHOD, ""])


def _line(track: Track) -> str:
    newest = track.values[-SPARKS:]
    low, high = float(newest.min()), float(newest.max())
    shown = bars(1 + 7 * (newest - low) / (high - low)) if high > low else "▄" * newest.size
    ends = [format_one(track.metric.kind, value, "none") for value in (low, high)]
    marks = np.full(track.values.size, " ")
    for change in track.changes:
        marks[change.at] = "^"
    under = "".join(marks[-SPARKS:]).rstrip()
    text = f"  {track.metric.title:12} {shown}  {' to '.join(ends)}"
    return f"{text}\n{' ' * 15}{under}" if under else text
