"""What a worker needs of an engine, whoever computes.

An engine is used by one thread of one rank. It holds only the blocks that its rank hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mdibench.core.records import Outcome, Task


class Engine(Protocol):
    """Runs blocks with their exit heads."""

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block."""
        ...

    def flops(self, task: Task) -> int:
        """FLOPs of ``task``, its head included; 0 where unknown. Counted once for each block."""
        ...


# --- recorded ----------------------------------------------------------------------------------
# Engines without a network: recorded outcomes for simulation, and the null block.
#
# With the null block every task takes no time at all, so that a run shows what the harness itself
# costs.


class RecordedEngine:
    """Answers with what a real network said about each sample at each exit.

    ``predictions[k-1][sample]`` and ``confidences[k-1][sample]``; ``output_bytes[k-1]`` is the
    size of the feature map behind block k and ``flops[k-1]`` what block and head k cost.
    """

    def __init__(
        self,
        predictions: Sequence[Sequence[int]],
        confidences: Sequence[Sequence[float]],
        output_bytes: Sequence[int],
        flops: Sequence[int],
    ) -> None:
        self._predictions = predictions
        self._confidences = confidences
        self._output_bytes = output_bytes
        self._flops = flops

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The recorded outcomes; payloads are empty."""
        row = tasks[0].block - 1
        predictions, confidences = self._predictions[row], self._confidences[row]
        size = self._output_bytes[row]
        return [
            Outcome(predictions[task.sample], confidences[task.sample], None, size)
            for task in tasks
        ]

    def flops(self, task: Task) -> int:
        """FLOPs of ``task``."""
        return self._flops[task.block - 1]


class NullEngine:
    """Hands every payload on untouched; item d is sure of itself at exit 1 + d mod K.

    So each exit is taken equally often at any threshold below 1, without a network.
    """

    def __init__(self, exits: int) -> None:
        self._exits = exits

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Class 0 for everything, with confidence 1 or 0."""
        return [
            Outcome(
                0,
                1.0 if task.block > task.item % self._exits else 0.0,
                task.payload,
                task.payload_bytes,
            )
            for task in tasks
        ]

    def flops(self, task: Task) -> int:
        """Nothing."""
        return 0
