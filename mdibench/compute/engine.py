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
