"""What a job tells the command that launched it: its stages, its folder, and how it ended.

``mdibench run --ranks N`` makes a FIFO and names it in ``TALK_VARIABLE``. Rank 0, its monitor and
its guard write lines of ``WORD TEXT`` into it; each holds it open for as long as the command has to
wait. The command shows the stages, and can ask the run to drain.
"""

from __future__ import annotations

import os
import select
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mdibench.errors import say
from mdibench.rank.guard import TALK_VARIABLE
from mdibench.record.run_folder import STOP

if TYPE_CHECKING:
    from rich.progress import Progress

STAGES = ("starting", "loading", "measuring", "opening")
"""The words of a run's beginning, in their order."""
LAST_WORDS_S = 25.0
"""Longest wait for the guard, which waits for rank 0; a monitor is waited for without end."""
BY_CTRL_C = "asked by Ctrl-C"


def tell(word: str, text: str = "") -> None:
    """Write a line to the launching command, if there is one. Called by rank 0."""
    descriptor = open_talk()
    if descriptor is not None:
        with suppress(OSError):
            os.write(descriptor, f"{word} {text}\n".encode())
        os.close(descriptor)


def open_talk() -> int | None:
    """A descriptor of the FIFO: the launching command waits until it is closed."""
    path = os.environ.get(TALK_VARIABLE)
    if path:
        with suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    return None


class Launching:
    """The launching command's side, as a context around the job."""

    def __init__(self, ranks: int, shows: bool, monitored: bool) -> None:
        self.folder: Path | None = None
        self.stopping = False
        """Whether the user has asked this command to end the run."""
        self._ranks = ranks
        self._shows = shows
        self._progress: Progress | None = None
        self._opens_monitor = monitored
        self._monitored = False
        self._last_words = ""
        self._held = -1
        self._buffer = b""
        self._thread = threading.Thread(target=self._listen, name="launching", daemon=True)
        self._over = threading.Event()

    def __enter__(self) -> Launching:
        self._place = tempfile.TemporaryDirectory(prefix="mdibench-")
        path = Path(self._place.name) / "talk"
        os.mkfifo(path, 0o600)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._held = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # no end while the job goes on
        os.environ[TALK_VARIABLE] = str(path)
        if self._shows:
            self._show(STAGES[0], f"{self._ranks} ranks")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._held)
        self._over.set()
        if error is None:
            self._thread.join()
        self._hide()
        os.environ.pop(TALK_VARIABLE, None)
        self._place.cleanup()

    def interrupt(self) -> bool:
        """Ask the run to drain; false where it cannot be asked, or was asked before."""
        if self.folder is None or self.stopping:
            return False
        self.stopping = True
        with suppress(OSError):
            (self.folder / STOP).write_text(BY_CTRL_C, encoding="utf-8")
            say("the run drains and writes its files; Ctrl-C again aborts it")
            return True
        return False

    def say_end(self) -> None:
        """After the job: say how it ended, where the job itself could not."""
        if self._last_words and not self.stopping:
            say(self._last_words)

    # --- listening --------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take lines until every writer is gone."""
        deadline_s = None
        while True:
            if self._over.is_set() and deadline_s is None:
                deadline_s = time.monotonic() + LAST_WORDS_S
            if deadline_s and time.monotonic() > deadline_s and not self._monitored:
                return
            if not select.select([self._reader], [], [], 0.1)[0]:
                continue
            data = os.read(self._reader, 4096)
            if not data:
                return
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                word, _, text = line.decode(errors="replace").partition(" ")
                self._take(word, text)

    def _take(self, word: str, text: str) -> None:
        if word in STAGES and self._shows:
            self._show(word, text)
        elif word == "folder":
            self.folder = Path(text)
            if not self._opens_monitor:
                self._hide()
        elif word == "monitor":
            self._monitored = True
            self._hide()
        elif word == "end":
            self._last_words = text

    # --- progress ---------------------------------------------------------------------------------

    def _show(self, word: str, text: str) -> None:
        """A bar with one step per stage, on a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        if self._progress is None:
            console = Console(stderr=True, highlight=False)
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(20),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self._progress.add_task("", total=len(STAGES))
            self._progress.start()
        done = STAGES.index(word)
        self._progress.update(
            self._progress.task_ids[0], description=f"{word} {text}".strip(), completed=done
        )

    def _hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._shows = None, False
