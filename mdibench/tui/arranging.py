"""Puts an arrangement into effect on the screen of panels: classes, sizes, charts and titles."""

from __future__ import annotations

from textual.screen import Screen
from textual.widget import Widget

from mdibench.tui.layout import PANELS, Arrangement
from mdibench.tui.paint import plots
from mdibench.tui.paint.options import Options
from mdibench.tui.pane import Pane


def apply(screen: Screen[object], arrangement: Arrangement) -> None:
    """Classes that ``monitor.tcss`` lays out by, and the sizes that it cannot know."""
    for name in ("line", "tiny", "narrow", "wide", "huge"):
        screen.set_class(arrangement.name == name, name)
    screen.set_class(arrangement.alone is not None, "alone")
    screen.set_class(arrangement.bare, "bare")
    screen.set_class(arrangement.grid, "grid")
    for panel in PANELS:
        screen.query_one(f"#{panel}").set_class(panel == arrangement.alone, "has")
    for holder in screen.query(".holder").results(Widget):
        holder.set_class(len(holder.query(".has")) > 0, "has")
    _apply_sizes(screen, arrangement)


def _apply_sizes(screen: Screen[object], arrangement: Arrangement) -> None:
    find, alone = screen.query_one, arrangement.alone is not None
    roomy = arrangement.name in ("wide", "huge") and not alone
    narrow = arrangement.name == "narrow" and not alone
    find("#middle").styles.height = arrangement.middle_height if roomy else "1fr"
    find("#ranks").styles.height = arrangement.ranks_height if narrow else "1fr"
    find("#net").styles.width = "1fr" if alone else arrangement.links_width
    find("#links").styles.height = arrangement.links_height if roomy else "1fr"
    find("#topology").set_class(arrangement.net, "fits")


def show_charts(screen: Screen[object], arrangement: Arrangement, options: Options) -> None:
    """The chosen chart and as many after it as there is room for."""
    first = plots.CHARTS.index(options.chart)
    order = [*plots.CHARTS[first:], *plots.CHARTS[:first]]
    stacked = order if arrangement.grid else order[: arrangement.charts]
    for chart in plots.CHARTS:
        left_out = chart == "control" and arrangement.grid and arrangement.alone != "charts"
        screen.query_one(f"#chart-{chart}").display = chart in stacked and not left_out


def name_panels(screen: Screen[object], options: Options) -> None:
    """Titles: the filter where it is at work, the scale of charts."""
    filtered = f"  /{options.filter}" if options.filter else ""
    for panel, title in (("ranks", "¹ranks"), ("events", "⁶events")):
        screen.query_one(f"#{panel}", Pane).entitle(title + filtered)
    for chart in plots.CHARTS:
        screen.query_one(f"#chart-{chart}", Pane).entitle(f"³{plots.title(chart, options)}")
