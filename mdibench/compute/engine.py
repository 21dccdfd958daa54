"""The interface of engines, and two engines without a network: recorded outcomes, null block.

An engine computes the blocks that its rank hosts and is used by one thread. ``RecordedEngine`` is
for simulations; with ``NullEngine`` a run shows the overhead of the harness. The engine of real
networks is in ``torch_engine``.
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


class RecordedEngine:
    """Returns the recorded outcomes of a real network for each sample at each exit.

    ``predictions[k-1][sample]`` and ``confidences[k-1][sample]``; ``output_bytes[k-1]`` is the
    size of the feature map after block k and ``flops[k-1]`` the FLOPs of block and head k.
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
    """Passes every payload on unchanged; item d has confidence 1 from exit 1 + d mod K on.

    So each exit is taken equally often at any threshold above 0, without a network.
    """

    def __init__(self, exits: int) -> None:
        self._exits = exits

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Class 0 for every task, with confidence 1 or 0."""
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
        """Always 0."""
        return 0
