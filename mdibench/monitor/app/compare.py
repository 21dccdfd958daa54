"""Two runs side by side on one time line. Pushed by ``browser``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer

from mdibench.monitor.app.paint import listing
from mdibench.monitor.app.paint.canvas import Options
from mdibench.monitor.app.paint.lines import BAD
from mdibench.monitor.app.pane import Lines
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.history import PercentileCache, Span, edges_of, history_of

SEEK_STEPS = 50


class Compare(Screen[None]):
    """Two runs side by side on one time line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "seek(-1)", "earlier", key_display="←"),
        Binding("right", "seek(1)", "later", key_display="→"),
        Binding("home", "seek(-1000)", "start", key_display="Home"),
        Binding("end", "seek(1000)", "end", key_display="End"),
        Binding("escape,q,enter", "close", "back to the list", key_display="Esc"),
    ]

    def __init__(self, feeds: Sequence[RunFeed], options: Options) -> None:
        super().__init__()
        self.feeds, self.options = feeds, options
        self.moment_s: float | None = None

    def compose(self) -> ComposeResult:
        """A heading and the charts."""
        yield Lines(id="heading")
        yield Lines(id="compare")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Read both runs, and go on while one of them is live."""
        self.run_worker(self._follow(), name="compare", exclusive=True)

    async def _follow(self) -> None:
        while self.is_attached:
            for feed in self.feeds:
                await asyncio.to_thread(feed.read)
            self.paint()
            await asyncio.sleep(0.5)

    @property
    def end_s(self) -> float:
        """The later of the two ends."""
        return max(feed.now_s() for feed in self.feeds)

    def paint(self) -> None:
        """Both runs at the moment, with charts up to it."""
        if not self.is_attached:
            return
        pane = self.query_one("#compare", Lines)
        moment_s = self.end_s if self.moment_s is None else self.moment_s
        heading = listing.compare_heading(moment_s, self.end_s, self.size.width)
        self.query_one("#heading", Lines).put([heading])
        problems = [feed.problem for feed in self.feeds if feed.problem]
        if problems:
            pane.put([[(f" {text}", BAD)] for text in problems])
            return
        sample_s = max(feed.facts.sample_s for feed in self.feeds)
        edges = edges_of(Span(0.0, self.end_s), sample_s)
        cache = PercentileCache()
        at = [min(moment_s, feed.now_s()) for feed in self.feeds]
        histories = [
            history_of(feed.tables, edges, t, PercentileCache() if place else cache)
            for place, (feed, t) in enumerate(zip(self.feeds, at, strict=True))
        ]
        snapshots = [feed.snapshot(t) for feed, t in zip(self.feeds, at, strict=True)]
        size = pane.size
        pane.put(listing.compare_lines(snapshots, histories, size.width, size.height, self.options))

    def on_resize(self) -> None:
        """Paint for the new size."""
        self.call_after_refresh(self.paint)

    def action_seek(self, steps: int) -> None:
        """Move by a fiftieth of the longer run."""
        here = self.end_s if self.moment_s is None else self.moment_s
        self.moment_s = min(self.end_s, max(0.0, here + steps * self.end_s / SEEK_STEPS))
        self.paint()

    def action_close(self) -> None:
        """Back to the list."""
        for feed in self.feeds:
            feed.close()
        self.dismiss(None)
