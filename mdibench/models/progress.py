"""How a training shows that it lives: a bar on a terminal, a line per epoch elsewhere (stderr)."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mdibench.models.training import EpochReport


class TrainingProgress:
    """Give ``step`` and ``epoch`` to ``training.train``, inside a ``with`` block."""

    def __init__(self, name: str, epochs: int) -> None:
        self._epochs = epochs
        self._done = 0
        self._console = Console(file=sys.stderr)
        self._bar = Progress(
            TextColumn(f"training {name}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=float(epochs))

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def step(self, step: int, steps: int) -> None:
        """``step`` of the epoch's ``steps`` is done."""
        self._bar.update(self._task, completed=self._done + step / steps)

    def epoch(self, report: EpochReport) -> None:
        """An epoch is done: one line with its loss and accuracies."""
        self._done = report.epoch
        accuracy = " ".join(f"{value:.3f}" for value in report.train_accuracy)
        self._console.print(
            f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, "
            f"training accuracy by exit {accuracy}, {report.seconds:.0f} s",
            highlight=False,
            soft_wrap=True,
        )
