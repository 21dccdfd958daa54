"""The widgets of the screen, and their arrangement by its size.

A pane shows lines of pieces, painted from a snapshot. It paints when it gets a new snapshot, and
redraws only the lines that changed: a run without news costs nothing.

``arrange`` is pure, so that every size can be tested. The styles of each arrangement are in
``monitor.tcss``; this module selects the arrangement and the sizes that depend on the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from mdibench.monitor.app.paint import charts
from mdibench.monitor.app.paint.drawing import PLAIN, Line, Options
from mdibench.monitor.app.paint.panels import LINK_CELL
from mdibench.monitor.snapshot import Snapshot

if TYPE_CHECKING:
    from mdibench.monitor.app.app import MonitorApp

Painter = Callable[[Snapshot, int, int, Options], list[Line]]


class Lines(Widget):
    """A widget that shows lines."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._mixed: dict[str, Style] = {}
        self._mixed_from: dict[str, Style] | None = None
        self._ground = Style()

    def put(self, lines: list[Line]) -> None:
        """Show ``lines``; only what differs from before is drawn again."""
        before, self._lines = self._lines, lines
        width = self.size.width
        changed = [
            Region(0, row, width, 1)
            for row in range(max(len(before), len(lines)))
            if row >= len(before) or row >= len(lines) or before[row] != lines[row]
        ]
        if changed:
            self.refresh(*changed)

    def render_lines(self, crop: Region) -> list[Strip]:
        """All lines of a region, in the styles of the present theme."""
        self._mix_styles()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line; ``render_lines`` has chosen the styles."""
        line = self._lines[y] if y < len(self._lines) else []
        styles, plain = self._mixed, self._mixed[PLAIN]
        return Strip([Segment(text, styles.get(role, plain)) for text, role in line])

    def _mix_styles(self) -> None:
        """Combine the roles' styles with the pane's own, once for each pair."""
        app: MonitorApp = self.app  # type: ignore[assignment]
        ground = self.rich_style
        if self._mixed_from is not app.styles_of_roles or self._ground != ground:
            self._mixed_from, self._ground = app.styles_of_roles, ground
            self._mixed = {role: ground + style for role, style in app.styles_of_roles.items()}

    @property
    def text(self) -> str:
        """The text of the pane, without styles."""
        return "\n".join("".join(text for text, _ in line).rstrip() for line in self._lines)


class Pane(Lines, can_focus=True):
    """The lines that a painter makes of the snapshot. With ``scrolls``, they scroll."""

    def __init__(
        self,
        painter: Painter,
        *,
        id: str,
        title: str = "",
        scrolls: bool = False,
        calm: bool = False,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.painter = painter
        self._title = ""
        self.set_title(title)
        self.scrolls = scrolls
        self.calm = calm
        """Whether the pane is painted at every other refresh only while a run goes on."""
        self.offset_lines = 0
        self._shown: tuple[Snapshot, Options] | None = None

    def set_title(self, title: str) -> None:
        """Put ``title`` into the border, if it changed: Textual then redraws the whole pane."""
        if title != self._title:
            self._title = title
            self.border_title = Content(title)

    def show(self, snapshot: Snapshot, options: Options) -> None:
        """Paint ``snapshot``, or keep it until the pane has a size."""
        self._shown = snapshot, options
        if self.laid_out and self.size.area:
            self._paint()

    def repaint(self) -> None:
        """Paint the last snapshot again."""
        if self._shown is not None and self.size.area:
            self._paint()

    def _paint(self) -> None:
        assert self._shown is not None
        snapshot, options = self._shown
        options = replace(options, offset=self.offset_lines)
        self.put(self.painter(snapshot, self.size.width, self.size.height, options))

    @property
    def laid_out(self) -> bool:
        """Whether the layout shows this pane."""
        return self.display and all(node.display for node in self.ancestors_with_self)

    def scroll_lines(self, by: int) -> None:
        """Scroll, never before the first line."""
        if self.scrolls:
            self.offset_lines = max(0, self.offset_lines + by)
            self.repaint()

    def on_resize(self) -> None:
        """Paint for the new size."""
        self.repaint()

    def on_show(self) -> None:
        """Paint the snapshot that was kept while hidden."""
        self.repaint()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll by the wheel."""
        event.stop()
        self.scroll_lines(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll by the wheel."""
        event.stop()
        self.scroll_lines(-3)


class Heading(Pane, can_focus=False):
    """Lines without a border that take no focus."""


class FooterLine(Heading):
    """The keys that do something now; a click does what its key does."""

    async def on_click(self, event: events.Click) -> None:
        """Perform the action under the pointer."""
        from mdibench.monitor.app.paint.frame import footer_action

        if self._shown is not None:
            action = footer_action(event.x, *self._shown)
            if action:
                await self.app.run_action(action)


class Tile(Pane, can_focus=False):
    """A small panel that takes no focus."""


class RankPane(Pane):
    """The table of workers: a click on a heading sorts, on a row selects."""

    class Sorted(Message):
        """The heading of column ``key`` was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Selected(Message):
        """The row of ``rank`` was clicked."""

        def __init__(self, rank: int) -> None:
            super().__init__()
            self.rank = rank

    BINDINGS: ClassVar = []

    def on_click(self, event: events.Click) -> None:
        """Sort or select."""
        from mdibench.monitor.app.paint.ranks import column_at, visible

        offset = event.get_content_offset(self)
        if offset is None or self._shown is None:
            return
        snapshot, options = self._shown
        if offset.y == 0:
            key = column_at(offset.x, self.size.width, snapshot)
            if key is not None:
                self.post_message(self.Sorted(key))
            return
        ranks = visible(snapshot, options)
        place = self.offset_lines + offset.y - 1
        if place < len(ranks):
            self.post_message(self.Selected(ranks[place].rank))

    def reveal(self, place: int, count: int) -> None:
        """Scroll so that row ``place`` of ``count`` is visible."""
        height = max(1, self.size.height - 1)
        low, high = place - height + 1, place
        self.offset_lines = min(max(self.offset_lines, low, 0), high)
        self.offset_lines = max(0, min(self.offset_lines, max(0, count - height)))


# --- the arrangement -----------------------------------------------------------------------------

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
