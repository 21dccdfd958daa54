"""The action of every key. ``app`` has the rest of the app."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual.app import App
from textual.widgets import Input

from mdibench.errors import UserError
from mdibench.monitor.app import export
from mdibench.monitor.app.dialogs import Help, ItemStory, Question
from mdibench.monitor.app.paint import charts
from mdibench.monitor.app.paint.drawing import Options
from mdibench.monitor.app.paint.ranks import SORT_KEYS, visible
from mdibench.monitor.app.pane import PANELS, Pane, RankPane
from mdibench.monitor.app.themes import THEME_CYCLE
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.history import Playhead
from mdibench.monitor.snapshot import Snapshot
from mdibench.monitor.snapshot_view import ViewRequest

PACES_S = (0.1, 0.25, 0.5, 1.0, 2.0)
SPANS_S: tuple[float | None, ...] = (None, 60.0, 10.0)


class Actions(App[Snapshot]):
    """One method per action; names are those of ``keys``."""

    options: Options
    playhead: Playhead
    request: ViewRequest
    pace_s: float
    snapshot: Snapshot | None
    alone: str | None
    bare: bool
    last_picture: str

    @property
    def feed(self) -> RunFeed:
        """The source of rows."""
        raise NotImplementedError

    def show_moment(self, all_panes: bool = True) -> None:
        """Show the moment under the playhead."""
        raise NotImplementedError

    def show(self, snapshot: Snapshot, all_panes: bool = True) -> None:
        """Put a snapshot on the screen."""
        raise NotImplementedError

    def arrange_panels(self) -> None:
        """Lay the panels out for the current size, run and selection."""
        raise NotImplementedError

    def change_options(self, **changes: Any) -> None:
        """Change options and show the result at once."""
        self.options = replace(self.options, **changes)
        if self.snapshot is not None:
            snapshot, self.snapshot = self.snapshot, None
            self.show(snapshot)

    # --- what is shown ----------------------------------------------------------------------------

    def action_panel(self, panel: str) -> None:
        """Show one panel alone; the same panel again, or none, shows the overview."""
        self.alone = panel if panel and panel != self.alone else None
        self.bare = False
        self._rearrange()

    def action_maximise(self) -> None:
        """Show the focused panel without the figures above it; again, the overview."""
        focused = self.focused
        names = [node.id for node in focused.ancestors_with_self] if focused else []
        panel = next((name for name in names if name in PANELS), self.alone or "ranks")
        self.bare = not self.bare
        self.alone = panel if self.bare else None
        self._rearrange()

    def _rearrange(self) -> None:
        self.arrange_panels()
        if self.alone and self.alone != "charts":
            self.query_one(f"#{self.alone}", Pane).focus()
        self.call_after_refresh(self.change_options)

    def action_chart(self, by: int) -> None:
        """The next chart."""
        place = charts.CHARTS.index(self.options.chart) + by
        self.change_options(chart=charts.CHARTS[place % len(charts.CHARTS)])

    def action_log(self) -> None:
        """A logarithmic latency axis, or a linear one."""
        self.change_options(log=not self.options.log)

    def action_span(self) -> None:
        """Change the time span of the charts."""
        place = SPANS_S.index(self.request.span_s) + 1
        span_s = SPANS_S[place % len(SPANS_S)]
        self.request = replace(self.request, span_s=span_s)
        self.show_moment()
        self.notify("the whole run" if span_s is None else f"the last {span_s:.0f} s", timeout=2)

    def action_theme(self) -> None:
        """Switch to the next theme."""
        place = THEME_CYCLE.index(self.theme) + 1 if self.theme in THEME_CYCLE else 0
        self.theme = THEME_CYCLE[place % len(THEME_CYCLE)]
        self.notify(self.theme, timeout=2)

    def action_pace(self, by: int) -> None:
        """Refresh more or less often."""
        nearest = min(range(len(PACES_S)), key=lambda i: abs(PACES_S[i] - self.pace_s))
        self.pace_s = PACES_S[min(len(PACES_S) - 1, max(0, nearest - by))]
        self.notify(f"every {self.pace_s:g} s", timeout=2)

    def action_help(self) -> None:
        """All keys."""
        self.push_screen(Help())

    async def action_back(self) -> None:
        """Undo one step: filter, panel, focus, selected moment."""
        if self.query_one("#filter", Input).has_class("asked"):
            self.close_filter(keep=False)
        elif self.options.filter:
            self.change_options(filter="")
        elif self.alone:
            self.action_panel("")
        elif self.focused is not None:
            self.set_focus(None)
        else:
            self.action_to_end()

    # --- ranks ------------------------------------------------------------------------------------

    def action_rank(self, by: int) -> None:
        """Select another rank, in the order shown."""
        if self.snapshot is None:
            return
        shown = [rank.rank for rank in visible(self.snapshot, self.options)]
        if not shown:
            return
        here = shown.index(self.options.selected) if self.options.selected in shown else 0
        place = min(len(shown) - 1, max(0, here + by))
        self.query_one("#ranks", RankPane).reveal(place, len(shown))
        self.change_options(selected=shown[place])

    def action_scroll(self, by: int) -> None:
        """Scroll the focused panel, or the table of ranks."""
        pane = self.focused if isinstance(self.focused, Pane) else self.query_one("#ranks", Pane)
        pane.scroll_lines(by)

    def action_sort(self, by: int) -> None:
        """Sort by the next column, or reverse the order."""
        if not by:
            self.change_options(reverse=not self.options.reverse)
            return
        place = SORT_KEYS.index(self.options.sort) + by
        key = SORT_KEYS[place % len(SORT_KEYS)]
        self.change_options(sort=key, reverse=key not in ("rank", "host"))

    def action_filter(self) -> None:
        """Open the filter field."""
        field = self.query_one("#filter", Input)
        field.add_class("asked")
        field.focus()
        self.change_options()

    def close_filter(self, keep: bool) -> None:
        """Hide the filter field, and clear the filter unless ``keep``."""
        field = self.query_one("#filter", Input)
        field.remove_class("asked")
        if not keep:
            field.clear()
        self.set_focus(None)
        self.change_options(filter=field.value if keep else "")

    def action_story(self) -> None:
        """Open the story of an item."""
        if self.snapshot is not None:
            self.push_screen(ItemStory(self.snapshot.slowest, self.feed.story))

    # --- time -------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Pause, or continue."""
        self.playhead = self.playhead.toggled(self.feed.now_s(), not self.feed.over)
        self.show_moment()

    def action_seek(self, steps: int) -> None:
        """Move by a hundredth of the run per step."""
        end_s = self.feed.now_s()
        stride_s = max(self.feed.facts.sample_s, end_s / 100)
        self.playhead = self.playhead.shifted(steps * stride_s, end_s)
        self.show_moment()

    def action_speed(self, steps: int) -> None:
        """Play faster or slower."""
        self.playhead = self.playhead.faster(steps)
        self.show_moment()
        self.notify(f"speed {self.playhead.speed:g}×", timeout=2)

    def action_to_start(self) -> None:
        """The first moment."""
        self.playhead = self.playhead.at_start()
        self.show_moment()

    def action_to_end(self) -> None:
        """The newest moment."""
        self.playhead = self.playhead.at_end()
        self.show_moment()

    # --- export, end of the run -------------------------------------------------------------------

    def action_export(self) -> None:
        """Export the tables of this moment as CSV."""
        if self.snapshot is None:
            return
        try:
            files = export.export_tables(self.snapshot, self.feed.folder)
        except UserError as failure:
            self.notify(str(failure), severity="error")
            return
        self.notify(f"{len(files)} tables in the run's folder {export.EXPORT_FOLDER}/", timeout=3)

    def action_picture(self) -> None:
        """Export the screen of this moment as SVG."""
        if self.snapshot is None:
            return
        try:
            svg = self.export_screenshot(title=f"mdibench · {self.snapshot.facts.name}")
            path = export.export_picture(svg, self.snapshot, self.feed.folder)
        except UserError as failure:
            self.notify(str(failure), severity="error")
            return
        self.notify(f"picture {export.EXPORT_FOLDER}/{path.name}", timeout=3)

    def action_end_run(self) -> None:
        """Ask for confirmation, then ask the run to end."""
        question = Question(
            "End this run now?",
            "It admits nothing more, drains what is in flight and writes its files.",
        )
        self.push_screen(question, self._end_if)

    def _end_if(self, agreed: bool | None) -> None:
        if not agreed:
            return
        try:
            self.feed.request_stop()
        except UserError as failure:
            self.notify(str(failure), severity="error")
            return
        self.notify("asked the run to end; it drains now")

    def action_leave(self) -> None:
        """Leave the monitor; a live run goes on."""
        strips = self.screen_stack[0]._compositor.render_strips()
        self.last_picture = "\n".join(strip.text.rstrip() for strip in strips)
        self.exit(self.snapshot)
