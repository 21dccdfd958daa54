"""Dialogs over the panels: help, a question, an item's story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from mdibench.errors import MdibenchError
from mdibench.monitor.app.keys import HELP
from mdibench.monitor.app.paint.lines import ACCENT, DIM, PLAIN, STRONG, WARN, Line
from mdibench.monitor.app.paint.stories import story_lines
from mdibench.monitor.app.pane import Lines
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
