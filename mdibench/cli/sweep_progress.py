"""What a person sees of a sweep while it goes: a bar on a terminal, else a line for each run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from mdibench.runtime.sweep_record import Done


def clock(seconds: float) -> str:
    """``1:05 h``, ``12 min`` or ``40 s``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60}:{minutes % 60:02} h"


class SweepProgress(Progress):
    """On stderr. ``total`` runs, of which ``done`` were complete before."""

    def __init__(self, total: int, done: int) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]} left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self.add_task("sweep", total=total, completed=done, left="?")
        self._total, self._done = total, done

    def begin(self, folder: Path, left_s: float) -> None:
        """Say what is going to happen."""
        left = self._total - self._done
        already = f", {self._done} are done already" if self._done else ""
        self._say(f"{left} runs to do in about {clock(left_s)}{already}; results in {folder}")
        self.update(self._task, left=clock(left_s))

    def show(self, done: Done, left_s: float) -> None:
        """One run has ended."""
        self._done += 1
        self.update(self._task, completed=self._done, left=clock(left_s))
        reason = f" ({done.reason})" if done.reason else ""
        self._say(
            f"[{self._done}/{self._total}] {done.cell}, repeat {done.repeat}: {done.status}{reason}"
            f" in {done.wall_s:.1f} s; {clock(left_s)} left"
        )

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False)
