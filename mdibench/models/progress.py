"""How a training shows that it lives: a bar on a terminal, a line per epoch elsewhere (stderr)."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mdibench.models.training import EpochReport


class TrainingProgress(Progress):
    """Give ``step`` and ``epoch`` to ``training.train``, inside a ``with`` block."""

    def __init__(self, name: str, epochs: int) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        super().__init__(
            TextColumn(f"training {name}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._done = 0
        self._task = self.add_task(name, total=float(epochs))

    def step(self, step: int, steps: int) -> None:
        """``step`` of the epoch's ``steps`` is done."""
        self.update(self._task, completed=self._done + step / steps)

    def epoch(self, report: EpochReport) -> None:
        """An epoch is done: one line with its loss and accuracies."""
        self._done = report.epoch
        accuracy = " ".join(f"{value:.3f}" for value in report.train_accuracy)
        self.console.print(
            f"epoch {report.epoch}/{report.epochs}: loss {report.loss:.3f}, "
            f"training accuracy by exit {accuracy}, {report.seconds:.0f} s"
        )
