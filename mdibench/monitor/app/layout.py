"""The arrangement of the panels: chosen by size (``arrange``), and applied to the screen.

``arrange`` is pure, so that every size can be tested. The styles of each arrangement are in
``monitor.tcss``; this module selects the arrangement and the sizes that depend on the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.screen import Screen
from textual.widget import Widget

from mdibench.monitor.app.paint import charts
from mdibench.monitor.app.paint.canvas import Options
from mdibench.monitor.app.paint.panels import LINK_CELL
from mdibench.monitor.app.pane import Pane

ArrangementName = Literal["line", "tiny", "narrow", "wide", "huge"]
PANELS = ("ranks", "exits", "charts", "links", "topology", "events")
"""In the order of their number keys."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Sizes in cells. ``alone`` is the only panel shown, if any."""

    name: ArrangementName
    alone: str | None
    bare: bool
    """Whether the figures above the panel are hidden, too."""
    middle_height: int
    ranks_height: int
    links_width: int
    links_height: int | str
    """Its own lines where the topology is below it, else the whole height."""
    charts: int
    """How many charts are stacked, from the chosen one on."""
    net: bool
    """Whether the topology has room below the links."""
    grid: bool
    """Whether all charts are shown, not only the chosen one."""


def arrangement_name(width: int, height: int) -> ArrangementName:
    """The arrangement for a screen of this size."""
    if width < 36 or height < 7:
        return "line"
    if width < 60 or height < 20:
        return "tiny"
    if width < 100 or height < 30:
        return "narrow"
    return "huge" if width >= 160 and height >= 45 else "wide"


def arrange(
    width: int, height: int, ranks: int, exits: int, alone: str | None = None, bare: bool = False
) -> Arrangement:
    """The arrangement for this number of ranks and exits on a screen of this size."""
    name = arrangement_name(width, height)
    roomy = name in ("wide", "huge")
    rows = max(ranks + 1, min(exits, 8), 5) + 2
    share = {"huge": 0.42, "wide": 0.4}.get(name, 0.5)
    links = 4 + LINK_CELL * ranks + 4
    most = width // 4 if name == "huge" else 36
    middle = min(rows, max(8, int(height * share)))
    lower = height - 9 - middle if roomy and alone is None else height - 9
    net = roomy and alone is None and lower - min(ranks + 3, 12) >= 9
    return Arrangement(
        name=name,
        alone=alone if name != "line" else None,
        bare=bare,
        middle_height=middle,
        ranks_height=min(ranks + 3, max(5, height - 8 - min(exits, 5) - 2)),
        links_width=max(30, min(links, most)),
        links_height=min(ranks + 3, max(12, lower // 2)) if net else "1fr",
        charts=max(1, min(3, lower // 9)),
        net=net,
        grid=name == "huge" or (alone == "charts" and width >= 100 and height >= 26),
    )


# --- on the screen --------------------------------------------------------------------------------


def apply_arrangement(screen: Screen[object], arrangement: Arrangement) -> None:
    """Set the classes that ``monitor.tcss`` uses, and the sizes that depend on the run."""
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
    """Show the selected chart and as many after it as fit."""
    first = charts.CHARTS.index(options.chart)
    order = [*charts.CHARTS[first:], *charts.CHARTS[:first]]
    stacked = order if arrangement.grid else order[: arrangement.charts]
    for chart in charts.CHARTS:
        left_out = chart == "control" and arrangement.grid and arrangement.alone != "charts"
        screen.query_one(f"#chart-{chart}").display = chart in stacked and not left_out


def set_titles(screen: Screen[object], options: Options) -> None:
    """Set the titles: with the active filter, and the scale of charts."""
    filtered = f"  /{options.filter}" if options.filter else ""
    for panel, title in (("ranks", "¹ranks"), ("events", "⁶events")):
        screen.query_one(f"#{panel}", Pane).set_title(title + filtered)
    for chart in charts.CHARTS:
        screen.query_one(f"#chart-{chart}", Pane).set_title(f"³{charts.title(chart, options)}")
