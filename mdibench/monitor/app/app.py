"""The monitor's app: panes that show snapshots, and keys that select what they show.

The app reads through a feed in a thread, so that a slow disk never blocks the keys, and paints at a
constant interval. It does not change a run, unless the user confirms that the run should end.
Called by ``cli.monitor`` through ``watch``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol

from rich.style import Style
from textual import events, on
from textual.app import ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.driver import Driver
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Input, Static

from mdibench.monitor.app.actions import Actions
from mdibench.monitor.app.keys import BINDINGS, WORDS, named_key
from mdibench.monitor.app.paint import charts, frame, panels, ranks, tiles
from mdibench.monitor.app.paint.drawing import DIM, Line, Options
from mdibench.monitor.app.pane import (
    Arrangement,
    FooterLine,
    Heading,
    Painter,
    Pane,
    RankPane,
    Tile,
    apply_arrangement,
    arrange,
    set_titles,
    show_charts,
)
from mdibench.monitor.app.themes import DEFAULT_THEME, THEMES, WITHOUT_COLOUR, styles_of
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.history import Playhead
from mdibench.monitor.snapshot import Snapshot
from mdibench.monitor.snapshot_view import ViewRequest

CALM_INTERVAL_S = 0.5
"""Charts, links and topology are not drawn more often than this while a run goes on."""
LOOK_EVERY_S = 0.1
"""Interval between two looks for the folder of a run that begins."""
NEED_A_RUN = frozenset(
    {"pause", "seek", "speed", "to_start", "to_end", "end_run", "span", "filter", "back"}
)
"""Actions that do nothing until the run has a folder."""
BEGINNING_KEYS = [("?", "help", "help"), ("q", "quit", "leave"), ("t", "theme", "theme")]
"""The footer until then."""


class LaunchedRun(Protocol):
    """A run that was started just now and has no folder yet."""

    name: str
    ranks: int
    folder: Path | None
    stage: str
    """What it does, in words."""
    done: float
    """How much of the beginning is over, from 0 to 1."""

    @property
    def over(self) -> bool:
        """Whether the job has ended."""


class MonitorApp(Actions):
    """The app; its result is the last snapshot shown.

    Given a ``LaunchedRun``, it shows how far the run is until there is a folder to follow, and ends
    where the job does so without one.
    """

    TITLE = "mdibench"
    CSS_PATH = "monitor.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]
    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        run: RunFeed | LaunchedRun,
        options: Options | None = None,
        *,
        pace_s: float = 0.25,
        theme: str = DEFAULT_THEME,
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(driver_class=driver_class)
        for own in THEMES:
            self.register_theme(own)
        self._feed = run if isinstance(run, RunFeed) else None
        self.launched = None if isinstance(run, RunFeed) else run
        self.options = options or Options()
        self.playhead = Playhead()
        self.request = ViewRequest(0.0, 0.0)
        self.pace_s = pace_s
        self.snapshot: Snapshot | None = None
        self.alone: str | None = None
        self.bare = False
        self.arrangement: Arrangement | None = None
        self.screen_size: Size | None = None
        self.styles_of_roles: dict[str, Style] = {}
        self._stepped_s: float | None = None
        self._steps = -1
        self._reported_problem = ""
        self.last_picture = ""
        """The screen's text when the user left."""
        self.theme = WITHOUT_COLOUR if self.no_color else theme
        if self.no_color:
            self.options = replace(self.options, coloured=False)
        self._take_theme()

    @property
    def feed(self) -> RunFeed:
        """The source of rows; there is none before a launched run has its folder."""
        assert self._feed is not None
        return self._feed

    def close_feed(self) -> None:
        """Release the files of the run."""
        if self._feed is not None:
            self._feed.close()

    def compose(self) -> ComposeResult:
        """All panes; the arrangement decides which are visible."""
        yield Heading(_one(frame.heading), id="heading")
        yield Heading(frame.short_lines, id="line")
        yield Static("", id="problem", markup=False)
        yield Heading(tiles.figure_lines, id="figures")
        with Vertical(id="body"):
            with Horizontal(id="tiles"):
                for name in tiles.TILES:
                    yield Tile(partial(tiles.tile_lines, name), id=f"tile-{name}", title=name)
            with Horizontal(id="middle", classes="holder"):
                yield RankPane(ranks.rank_lines, id="ranks", title="¹ranks", scrolls=True)
                yield Pane(panels.exit_lines, id="exits", title="²exits: share, accuracy")
            with Horizontal(id="lower", classes="holder"):
                with Vertical(id="charts"):
                    for chart in charts.CHARTS:
                        painter = partial(charts.chart_lines, chart)
                        yield Pane(painter, id=f"chart-{chart}", title=chart, calm=True)
                with Vertical(id="net", classes="holder"):
                    yield Pane(
                        panels.link_lines, id="links", title="⁴who sends to whom, /s", calm=True
                    )
                    yield Pane(
                        panels.topology_lines,
                        id="topology",
                        title="⁵topology: I, O, busy",
                        calm=True,
                    )
                yield Pane(panels.event_lines, id="events", title="⁶events", scrolls=True)
        yield Heading(_one(frame.timeline), id="timeline")
        yield Input(placeholder="filter: text or expression, !text for all others", id="filter")
        yield FooterLine(_one(frame.footer), id="footer")

    def on_mount(self) -> None:
        """Start following the run."""
        self.set_focus(None)
        self.theme_changed_signal.subscribe(self, lambda _: self._take_theme())
        self.run_worker(self._follow(), name="follow", exclusive=True)

    async def _follow(self) -> None:
        """Read and show at a constant interval until the app ends."""
        if self.launched is not None and not await self._begin(self.launched):
            return
        reading: list[Line] = [[(f" mdibench  reading {self.feed.facts.name} …", DIM)]]
        self.query_one("#heading", Heading).put(reading)
        while True:
            await asyncio.to_thread(self.feed.read)
            try:
                self.step()
            except NoMatches:  # the app is closing and has removed its panes
                return
            await asyncio.sleep(self.pace_s)

    async def _begin(self, launched: LaunchedRun) -> bool:
        """Show how far the run is until it has a folder; false where the app is to end."""
        start_s = time.monotonic()
        while launched.folder is None and not launched.over:
            try:
                self._show_beginning(launched, time.monotonic() - start_s)
            except NoMatches:  # the app is closing
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        if launched.folder is None:
            self.exit()
            return False
        self._feed = await asyncio.to_thread(RunFeed, launched.folder)
        self.refresh_bindings()
        return True

    def _show_beginning(self, launched: LaunchedRun, passed_s: float) -> None:
        glyphs, screen = self.options.glyphs, self.screen_of_panels
        width = self.size.width
        self.arrange_panels()
        line = frame.beginning_heading(launched.name, launched.stage, passed_s, width, glyphs)
        screen.query_one("#heading", Heading).put([line])
        bar = frame.beginning_timeline(launched.done, width, glyphs)
        screen.query_one("#timeline", Heading).put([bar])
        screen.query_one("#footer", FooterLine).put([frame.keys_line(BEGINNING_KEYS, width)])

    def step(self) -> None:
        """Advance the playhead by the elapsed time, and show its moment."""
        now_s = self.feed.clocks.monotonic()
        passed_s = 0.0 if self._stepped_s is None else now_s - self._stepped_s
        self._stepped_s = now_s
        end_s = self.feed.now_s()
        self.playhead = self.playhead.advanced(passed_s, end_s, not self.feed.over)
        self._steps += 1
        self.show_moment(
            all_panes=self._steps % 2 == 0 or self.pace_s >= CALM_INTERVAL_S or self.feed.over
        )

    def show_moment(self, all_panes: bool = True) -> None:
        """Show the moment under the playhead."""
        moment_s = self.playhead.moment_s(self.feed.now_s())
        self.show(self.feed.snapshot(moment_s, self.request), all_panes)
        self._report_problem()

    def show(self, snapshot: Snapshot, all_panes: bool = True) -> None:
        """Put a snapshot on the screen; the same one again costs nothing.

        Without ``all_panes`` the calm panes are not painted.
        """
        options = replace(
            self.options,
            paused=not self.playhead.playing and self.playhead.at_s is not None,
            following=self.playhead.at_s is None,
            replay=snapshot.over,
            filtering=self.screen_of_panels.query_one("#filter").has_class("asked"),
            speed=self.playhead.speed,
        )
        if (snapshot, options) == (self.snapshot, self.options) and self.arrangement:
            return
        ended = snapshot.over and (self.snapshot is None or not self.snapshot.over)
        self.snapshot, self.options = snapshot, options
        if ended:
            self.refresh_bindings()
        self.arrange_panels()
        with self.batch_update():
            for pane in self.screen_of_panels.query(Pane):
                if all_panes or not pane.calm:
                    pane.show(snapshot, options)

    @property
    def screen_of_panels(self) -> Screen[object]:
        """The screen below all dialogs."""
        return self.screen_stack[0]

    def arrange_panels(self) -> None:
        """Lay the panels out for the current size, run and selection."""
        if self.snapshot is not None:
            ranks, exits = len(self.snapshot.ranks), self.snapshot.facts.exits
        elif self.launched is not None:
            ranks, exits = self.launched.ranks, 0  # nobody knows yet
        else:
            return
        width, height = self.screen_size or self.size
        arrangement = arrange(width, height, ranks, exits, self.alone, self.bare)
        screen = self.screen_of_panels
        set_titles(screen, self.options)
        if arrangement != self.arrangement:
            self.arrangement = arrangement
            apply_arrangement(screen, arrangement)
        show_charts(screen, arrangement, self.options)

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the panels for the new size."""
        self.screen_size = event.size
        self.arrange_panels()

    def _take_theme(self) -> None:
        self.styles_of_roles = styles_of(self.current_theme)

    def _report_problem(self) -> None:
        text = self.feed.problem
        state = self.snapshot.state if self.snapshot else None
        if not text and state is not None and state.over and not state.healthy:
            text = f"{state.reason or 'no reason was recorded'}; run {state.word}"
        if not text and self.feed.damaged:
            text = f"{self.feed.damaged} damaged lines in the stream were left out"
        if text == self._reported_problem:
            return
        self._reported_problem = text
        panel = self.screen_of_panels.query_one("#problem", Static)
        panel.set_class(bool(text), "shown")
        panel.update(text)  # makes Textual lay out the whole screen

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is possible now."""
        if self._feed is None:
            return action not in NEED_A_RUN
        if action == "end_run":
            return not self.feed.over
        if action == "speed":
            return self.feed.over or not self.playhead.following
        return not (action == "pace" and self.feed.over)

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Apply the filter while it is typed."""
        self.change_options(filter=event.value)

    @on(Input.Submitted, "#filter")
    def filter_done(self) -> None:
        """Keep the filter, and return the focus to the panels."""
        self.close_filter(keep=True)

    @on(RankPane.Sorted)
    def heading_clicked(self, event: RankPane.Sorted) -> None:
        """Sort by that column; a second click reverses the order."""
        again = event.key == self.options.sort
        self.change_options(sort=event.key, reverse=not self.options.reverse if again else True)

    @on(RankPane.Selected)
    def row_clicked(self, event: RankPane.Selected) -> None:
        """Select that rank."""
        self.change_options(selected=event.rank)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Textual's commands, and every key of the monitor that does something now, in words."""
        yield from super().get_system_commands(screen)
        for binding in BINDINGS:
            action = binding.action
            if binding.id not in WORDS or not self.check_action(action.partition("(")[0], ()):
                continue
            yield SystemCommand(
                WORDS[binding.id],
                f"key {named_key(binding)}",
                lambda action=action: self.call_later(self.run_action, action),
            )

    async def action_filter_done(self) -> None:
        """Keep the filter, from the footer."""
        self.close_filter(keep=True)


def _one(painter: Callable[[Snapshot, int, Options], Line]) -> Painter:
    """A painter of a single line, as a painter of lines."""
    return lambda snapshot, width, height, options: [painter(snapshot, width, options)]


def watch(
    run: Path | LaunchedRun,
    *,
    theme: str = DEFAULT_THEME,
    options: Options | None = None,
    pace_s: float = 0.25,
    driver_class: type[Driver] | None = None,
) -> tuple[Snapshot | None, str]:
    """Show the run in a folder, or one that begins, until the user leaves.

    Returns the last snapshot shown, and the text of the screen that showed it.
    """
    shown = RunFeed(run) if isinstance(run, Path) else run
    app = MonitorApp(shown, options, theme=theme, pace_s=pace_s, driver_class=driver_class)
    try:
        return app.run(), app.last_picture
    finally:
        app.close_feed()
