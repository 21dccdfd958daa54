"""The interface of engines, and two engines without a network: recorded outcomes, null block.

An engine computes the blocks that its rank hosts and is used by one thread. Payloads are numpy
arrays ``[C, H, W]`` without a batch dimension, in the transport as well, so that only the torch
engine imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mdibench.core.records import Outcome, Task

UNASKED = -1
"""The prediction of an outcome whose exit head was not computed."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """The blocks of an engine, and how it runs them.

    ``last_block[k]`` is the last block of the call that begins with block k: consecutive blocks
    without a decision between them are one call. ``heads`` are the blocks whose exit head is
    computed. ``flops[k-1]`` are the FLOPs of block k, with its head if that is computed.
    """

    last_block: Mapping[int, int]
    heads: frozenset[int]
    flops: Sequence[int] = field(default=())
    temperatures: tuple[float, ...] = ()
    """Divisors of the logits of each exit (calibration); empty: 1."""

    @classmethod
    def every_block(cls, exits: int, temperatures: Sequence[float] = ()) -> Hosted:
        """All K blocks, each a call of its own with its head."""
        blocks = range(1, exits + 1)
        alone = {block: block for block in blocks}
        return cls(alone, frozenset(blocks), (0,) * exits, tuple(temperatures))

    @property
    def blocks(self) -> Collection[int]:
        """All blocks that the engine holds."""
        return self.last_block.keys()

    def flops_of(self, block: int) -> int:
        """FLOPs of one task in the call that begins with ``block``."""
        return sum(self.flops[block - 1 : self.last_block[block]])

    def temperature(self, block: int) -> float:
        """The temperature of the exit of ``block``."""
        return self.temperatures[block - 1] if self.temperatures else 1.0


class Engine(Protocol):
    """Runs blocks, with the exit heads in ``Hosted.heads``."""

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block.

        A payload has memory of its own, and is ``None`` after block K. Without a head, the
        prediction is ``UNASKED`` and the confidence 0.
        """
        ...

    def flops(self, task: Task) -> int:
        """FLOPs of the call that computes ``task``; 0 where unknown."""
        ...


class RecordedEngine:
    """Returns the recorded outcomes of a real network for each sample at each exit.

    ``predictions[k-1][sample]`` and ``confidences[k-1][sample]``; ``output_bytes[k-1]`` is the
    size of the feature map behind block k. ``maps[k-1]``, if given, stands for that feature map: it
    has its shape and element type, so that messages have their true size.
    """

    def __init__(
        self,
        predictions: Sequence[Sequence[Any]],
        confidences: Sequence[Sequence[Any]],
        output_bytes: Sequence[int],
        hosted: Hosted,
        maps: Sequence[Any] = (),
        variant: Callable[[Task], int] | None = None,
    ) -> None:
        """With ``variant``, ``predictions[k-1][variant(task)][sample]``, and so the confidences."""
        self._variant = variant
        self._maps = maps or (None,) * len(output_bytes)
        self._predictions = predictions
        self._confidences = confidences
        self._output_bytes = output_bytes
        self._hosted = hosted

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The recorded outcomes; without ``maps``, payloads are empty."""
        last = self._hosted.last_block[tasks[0].block]
        size, features = self._output_bytes[last - 1], self._maps[last - 1]
        if last not in self._hosted.heads:
            return [Outcome(UNASKED, 0.0, features, size)] * len(tasks)
        predictions, confidences = self._predictions[last - 1], self._confidences[last - 1]
        if self._variant is not None:
            found = [(task.sample, self._variant(task)) for task in tasks]
            return [
                Outcome(predictions[v][sample], confidences[v][sample], features, size)
                for sample, v in found
            ]
        return [
            Outcome(predictions[task.sample], confidences[task.sample], features, size)
            for task in tasks
        ]

    def flops(self, task: Task) -> int:
        """FLOPs of ``task``."""
        return self._hosted.flops_of(task.block)


class NullEngine:
    """Passes every payload on unchanged; item d has confidence 1 from exit 1 + d mod K on.

    So each exit is taken equally often at any threshold above 0, without a network: a run shows
    the overhead of the harness.
    """

    def __init__(self, exits: int, hosted: Hosted | None = None) -> None:
        self._exits = exits
        self._last_block = (hosted or Hosted.every_block(exits)).last_block

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Class 0 for everything, with confidence 1 or 0."""
        last = self._last_block[tasks[0].block]
        return [
            Outcome(
                0,
                1.0 if last > task.item % self._exits else 0.0,
                task.payload,
                task.payload_bytes,
            )
            for task in tasks
        ]

    def flops(self, task: Task) -> int:
        """Always 0."""
        return 0
