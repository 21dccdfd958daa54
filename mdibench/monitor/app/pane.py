"""The widgets of the screen: lines of pieces, painted from a snapshot.

A pane paints when it gets a new snapshot, and redraws only the lines that changed: a run without
news costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from mdibench.monitor.app.paint.canvas import Options
from mdibench.monitor.app.paint.lines import PLAIN, Line
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
