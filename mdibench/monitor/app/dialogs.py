"""Screens over the panels: help, a question, an item's story, two runs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input

from mdibench.errors import MdibenchError
from mdibench.monitor.app.keys import HELP
from mdibench.monitor.app.paint import listing
from mdibench.monitor.app.paint.drawing import ACCENT, BAD, DIM, PLAIN, STRONG, WARN, Line, Options
from mdibench.monitor.app.paint.stories import story_lines
from mdibench.monitor.app.pane import Lines
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.history import PercentileCache, Span, edges_of, history_of
from mdibench.monitor.story import Story


class Dialog(ModalScreen[bool]):
    """A box over the panels that Esc closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "close"),
    ]

    def action_close(self) -> None:
        """Leave without an answer."""
        self.dismiss(False)


class Help(Dialog):
    """Every key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,h,f1,escape,q,enter,space", "close", "close"),
    ]

    def compose(self) -> ComposeResult:
        """A box of lines, which the arrow keys scroll where they do not fit."""
        with VerticalScroll() as box:
            box.border_title = "keys"
            yield Lines(id="help")

    def on_mount(self) -> None:
        """Fill in the keys."""
        lines: list[Line] = []
        for heading, keys in HELP:
            lines.append([(heading, STRONG)])
            lines += [[(f"  {key:<12}", ACCENT), (meaning, PLAIN)] for key, meaning in keys]
        pane = self.query_one("#help", Lines)
        pane.styles.height = len(lines)
        pane.put(lines)
        self.query_one(VerticalScroll).focus()


class Question(Dialog):
    """A question: ``y`` agrees, every other bound key declines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "agree", "yes"),
        Binding("n,escape,q,enter,space", "close", "no"),
    ]

    def __init__(self, question: str, explanation: str) -> None:
        super().__init__()
        self.question, self.explanation = question, explanation

    def compose(self) -> ComposeResult:
        """A box of lines."""
        with Vertical():
            yield Lines(id="question")

    def on_mount(self) -> None:
        """Ask."""
        pane = self.query_one("#question", Lines)
        pane.styles.height = 5
        keys: Line = [("y", ACCENT), (" yes    ", PLAIN), ("n", ACCENT), (" no", PLAIN)]
        pane.put([[(self.question, WARN)], [], [(self.explanation, DIM)], [], keys])

    def action_agree(self) -> None:
        """Yes."""
        self.dismiss(True)


class ItemStory(Dialog):
    """The story of the item with the typed number, or of the slow items in turn."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close"),
        Binding("up,shift+tab", "slow(-1)", "slower item"),
        Binding("down,tab", "slow(1)", "next slow item"),
        Binding("pageup", "scroll(-10)", "up"),
        Binding("pagedown", "scroll(10)", "down"),
    ]

    def __init__(self, slowest: Sequence[int], read_story: Callable[[int], Story]) -> None:
        super().__init__(classes="large")
        self.slowest, self.read_story = slowest, read_story
        self._place = 0
        self._first_line = 0
        self._story: Story | None = None

    def compose(self) -> ComposeResult:
        """A field for the number, and the story below."""
        with Vertical() as box:
            box.border_title = "item story"
            box.border_subtitle = "number + Enter · ↑ ↓ slow items · Page keys scroll · Esc"
            yield Input(placeholder="item number", type="integer", id="item")
            yield Lines(id="story")

    def on_mount(self) -> None:
        """Start with the slowest item of the last seconds."""
        self.query_one("#item", Input).focus()
        if self.slowest:
            self._open(self.slowest[0])
        else:
            self._say("no item has ended in the last seconds: type a number")

    @on(Input.Submitted)
    def ask(self, event: Input.Submitted) -> None:
        """Show the item that was typed."""
        if event.value.strip().isdigit():
            self._open(int(event.value))
            event.input.clear()

    def action_slow(self, by: int) -> None:
        """Show the next or the previous slow item."""
        if self.slowest:
            self._place = (self._place + by) % len(self.slowest)
            self._open(self.slowest[self._place])

    def action_scroll(self, by: int) -> None:
        """Scroll a long story."""
        self._first_line = max(0, self._first_line + by)
        self._draw()

    def on_resize(self) -> None:
        """Draw the story for the new width."""
        self._draw()

    def _open(self, item: int) -> None:
        self._first_line = 0
        self.run_worker(self._read(item), exclusive=True)

    async def _read(self, item: int) -> None:
        """Read in a thread: an old item of a long run is read from the run's files."""
        try:
            self._story = await asyncio.to_thread(self.read_story, item)
        except MdibenchError as failure:
            self._story = None
            self._say(str(failure))
        self._draw()

    def _draw(self) -> None:
        pane = self.query_one("#story", Lines)
        if self._story is not None:
            width = pane.size.width or self.app.size.width - 10
            pane.put(story_lines(self._story, width)[self._first_line :])

    def _say(self, text: str) -> None:
        self.query_one("#story", Lines).put([[(text, DIM)]])


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
