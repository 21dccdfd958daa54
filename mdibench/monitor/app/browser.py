"""The browser of runs: a list, the cells of a sweep, and two runs on one time line.

A thread finds the runs and reads what is on the screen first; the list never waits for it. The
app's result is the run to open, and ``browse`` comes back to the list when the user has left it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from mdibench.errors import MdibenchError
from mdibench.monitor.app.dialogs import Compare
from mdibench.monitor.app.paint import listing
from mdibench.monitor.app.paint.drawing import Options, matches
from mdibench.monitor.app.paint.listing import ListView
from mdibench.monitor.app.pane import Lines
from mdibench.monitor.app.themes import DEFAULT_THEME, THEMES, WITHOUT_COLOUR, styles_of
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.runs import (
    SORTS,
    Catalogue,
    RunEntry,
    SweepEntry,
    read_sweep,
    sorted_entries,
)
from mdibench.record.run_folder import SWEEP_RECORD

READ_EVERY_S = 0.25
RESCAN_EVERY_S = 3.0
"""Searching ten thousand folders takes about half a second of a core."""


@dataclass
class BrowserState:
    """What the browser shows; it outlives the app while a run is open."""

    view: ListView = field(default_factory=ListView)
    filter: str = ""
    cells: bool = True
    """Whether a sweep's cells are shown, not its runs."""
    cell: str = ""
    """The only cell whose runs are listed; empty for all."""


class BrowserApp(App[Path]):
    """The list of the runs below ``path``."""

    TITLE = "mdibench"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    CSS_PATH = "browser.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("space", "mark", "mark", key_display="space"),
        Binding("b", "compare", "both marked"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("s", "sort(1)", "sort"),
        Binding("S", "sort(0)", "reverse"),
        Binding("c", "cells", "cells or runs"),
        Binding("q", "leave", "quit"),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "move(-1000000)", "first", show=False),
        Binding("end,G", "move(1000000)", "last", show=False),
        Binding("escape", "back", "back", show=False),
        Binding("ctrl+c", "leave", "quit", show=False, priority=True),
    ]

    def __init__(
        self,
        catalogue: Catalogue,
        state: BrowserState | None = None,
        *,
        theme: str = DEFAULT_THEME,
        options: Options | None = None,
        reads: bool = True,
    ) -> None:
        super().__init__()
        for own in THEMES:
            self.register_theme(own)
        self.catalogue, self.state = catalogue, state or BrowserState()
        self.options = options or Options()
        self.styles_of_roles: dict[str, Style] = {}
        self.sweep: SweepEntry | None = None
        self.shown: list[RunEntry] = []
        self._reads = reads
        self._rescanned_s = -1e9
        self._problem = ""
        self.theme = WITHOUT_COLOUR if self.no_color else theme
        self.styles_of_roles = styles_of(self.current_theme)

    def compose(self) -> ComposeResult:
        """The list with its heading."""
        yield Lines(id="heading")
        yield Lines(id="sweep")
        yield Static("", id="problem", markup=False)
        yield Lines(id="list")
        yield Lines(id="where")
        yield Input(placeholder="filter: Enter keeps it, Esc clears it", id="filter")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show the list, and fill it."""
        self.set_focus(None)
        self.show()
        if self._reads:
            self.run_worker(self._follow(), name="follow", exclusive=True)

    async def _follow(self) -> None:
        while True:
            more = await asyncio.to_thread(self.read_some)
            try:
                self.show()
            except NoMatches:  # the app is closing
                return
            await asyncio.sleep(0.0 if more else READ_EVERY_S)

    def read_some(self) -> bool:
        """Find and read runs for a short while; whether more can be read at once."""
        now_s = time.monotonic()
        if now_s - self._rescanned_s > RESCAN_EVERY_S:
            self.catalogue.rescan()
            self.catalogue.refresh_running()
            self._rescanned_s = time.monotonic()
            return True
        wanted = self._on_screen()
        if self.catalogue.read_some(wanted):
            return True
        everything = wanted if self.sweep is None else [*wanted, *self.catalogue.entries]
        return self.catalogue.evaluate(everything)

    def _on_screen(self) -> list[Path]:
        first = self.state.view.first
        return [entry.folder for entry in self.shown[first : first + max(10, self.size.height)]]

    # --- showing ----------------------------------------------------------------------------------

    def show(self) -> None:
        """Put the present state on the screen."""
        entries = list(self.catalogue.entries.values())
        if (self.catalogue.path / SWEEP_RECORD).exists():
            self.sweep = read_sweep(self.catalogue.path, entries)
        state, screen = self.state, self.screen_stack[0]
        chosen = self._of_cell(entries)
        passed = [e for e in chosen if matches(state.filter, e.text)]
        selected = self.selected
        self.shown = sorted_entries(passed, state.view.sort, state.view.reverse)
        self._keep_cursor(selected)
        width = self.size.width
        heading = listing.browser_heading(
            self.catalogue.path, len(self.shown), len(entries), self.catalogue.scanned, width
        )
        screen.query_one("#heading", Lines).put([heading])
        panel = screen.query_one("#sweep", Lines)
        panel.set_class(self.sweep is not None, "shown")
        if self.sweep is not None:
            panel.put(listing.sweep_lines(self.sweep, width))
        self._show_list(screen, width)

    def _show_list(self, screen: Screen[object], width: int) -> None:
        view = replace(self.state.view, now_s=time.time())
        pane = screen.query_one("#list", Lines)
        height = pane.size.height
        where = screen.query_one("#where", Lines)
        if self.by_cell and self.sweep is not None:
            pane.put(listing.cell_lines(self.sweep.cells, width, height, view.cursor, view.first))
            where.put([])
            return
        lines = listing.list_lines(self.shown, width, height, view)
        if not self.shown and self.catalogue.scanned:
            lines.append(
                [("  no run passes the filter" if self.state.filter else "  no runs", "dim")]
            )
        pane.put(lines)
        selected = self.selected
        where.put([listing.reason_line(selected, width)] if selected else [])

    def _of_cell(self, entries: Sequence[RunEntry]) -> list[RunEntry]:
        if self.sweep is None or not self.state.cell:
            return list(entries)
        cell = next((c for c in self.sweep.cells if c.label == self.state.cell), None)
        inside = set(cell.runs) if cell else set()
        return [entry for entry in entries if entry.folder in inside]

    @property
    def by_cell(self) -> bool:
        """Whether the cells of a sweep are listed."""
        return self.sweep is not None and self.state.cells

    @property
    def selected(self) -> RunEntry | None:
        """The run under the cursor."""
        place = self.state.view.cursor
        return self.shown[place] if not self.by_cell and 0 <= place < len(self.shown) else None

    def _length(self) -> int:
        return len(self.sweep.cells) if self.by_cell and self.sweep else len(self.shown)

    def _keep_cursor(self, selected: RunEntry | None) -> None:
        """Stay on the same run when the list changes, and on the screen."""
        view = self.state.view
        place = view.cursor
        if selected is not None and view.cursor > 0:
            folders = [entry.folder for entry in self.shown]
            place = folders.index(selected.folder) if selected.folder in folders else view.cursor
        self._set_cursor(place)

    def _set_cursor(self, place: int) -> None:
        length = self._length()
        height = max(1, self.screen_stack[0].query_one("#list", Lines).size.height - 1)
        place = max(0, min(place, length - 1))
        first = min(max(self.state.view.first, place - height + 1), place)
        first = max(0, min(first, length - height))
        self.state.view = replace(self.state.view, cursor=place, first=first)

    def on_resize(self) -> None:
        """Lay the list out for the new size."""
        self.call_after_refresh(self.show)

    def say_problem(self, text: str) -> None:
        """Show one line in the list's problem strip; empty hides it."""
        panel = self.screen_stack[0].query_one("#problem", Static)
        panel.set_class(bool(text), "shown")
        panel.update(text)
        self.call_after_refresh(self.show)

    # --- keys -------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is possible now is in the footer."""
        if len(self.screen_stack) > 1:
            return action == "leave"
        if action == "cells":
            return self.sweep is not None
        if action == "compare":
            return len(self.state.view.marked) == 2
        return not (action in ("mark", "sort") and self.by_cell)

    def action_move(self, by: int) -> None:
        """Select another line."""
        self._set_cursor(self.state.view.cursor + by)
        self.show()

    def action_page(self, by: int) -> None:
        """A screen up or down."""
        self.action_move(by * max(1, self.query_one("#list", Lines).size.height - 2))

    def action_open(self) -> None:
        """Open the run, or list the runs of the cell."""
        if self.by_cell and self.sweep is not None and self.sweep.cells:
            self.state.cell = self.sweep.cells[self.state.view.cursor].label
            self.state.cells = False
            self.state.view = replace(self.state.view, cursor=0, first=0)
            self.show()
            self.refresh_bindings()
            return
        entry = self.selected
        if entry is None:
            return
        if not entry.folder.is_dir():
            self.say_problem(f"{entry.folder.name}: the run was removed while it was shown")
            self._rescanned_s = -1e9
            return
        self.exit(entry.folder)

    def action_mark(self) -> None:
        """Mark a run to compare, at most two; the oldest mark goes."""
        entry = self.selected
        if entry is None:
            return
        marked = [p for p in self.state.view.marked if p != entry.folder]
        if len(marked) == len(self.state.view.marked):
            marked = [*marked, entry.folder][-2:]
        self.state.view = replace(self.state.view, marked=tuple(marked))
        self.refresh_bindings()
        if len(marked) == 2:
            self.action_compare()
        self.action_move(1)

    def action_compare(self) -> None:
        """The two marked runs side by side on one time line."""
        try:
            feeds = [RunFeed(path) for path in self.state.view.marked]
        except MdibenchError as failure:
            self.say_problem(str(failure))
            return
        self.push_screen(Compare(feeds, self.options))

    def action_sort(self, by: int) -> None:
        """Sort by the next column, or reverse."""
        view, keys = self.state.view, list(SORTS)
        if by:
            key = keys[(keys.index(view.sort) + by) % len(keys)]
            self.state.view = replace(view, sort=key, reverse=False)
        else:
            self.state.view = replace(view, reverse=not view.reverse)
        self.show()

    def action_cells(self) -> None:
        """The cells of a sweep, or all its runs."""
        self.state.cells = not self.state.cells
        self.state.cell = ""
        self.state.view = replace(self.state.view, cursor=0, first=0)
        self.refresh_bindings()
        self.show()

    def action_filter(self) -> None:
        """Open the filter field."""
        field = self.query_one("#filter", Input)
        field.add_class("asked")
        field.focus()

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Apply the filter while it is typed."""
        self.state.filter = event.value
        self.show()

    @on(Input.Submitted, "#filter")
    def filter_done(self) -> None:
        """Keep the filter."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).remove_class("asked")
        self.set_focus(None)

    async def action_back(self) -> None:
        """Undo one step: the filter, the problem, the cell, the marks."""
        field = self.query_one("#filter", Input)
        if field.has_class("asked") or self.state.filter:
            field.clear()
            self.state.filter = ""
            self._close_filter()
        elif self.query_one("#problem").has_class("shown"):
            self.say_problem("")
        elif self.state.cell:
            self.action_cells()
        else:
            self.state.view = replace(self.state.view, marked=())
        self.refresh_bindings()
        self.show()

    def action_leave(self) -> None:
        """Leave the browser."""
        self.exit(None)


def browse(
    path: Path,
    open_run: Callable[[Path], object],
    *,
    theme: str = DEFAULT_THEME,
    options: Options | None = None,
) -> None:
    """Show the runs below ``path``; ``open_run`` shows the one that the user opens."""
    catalogue, state = Catalogue(path), BrowserState()
    while (chosen := BrowserApp(catalogue, state, theme=theme, options=options).run()) is not None:
        open_run(chosen)
