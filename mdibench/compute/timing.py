"""Timing of short calls, and of an engine's blocks.

Medians come with intervals that need no assumption about the noise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.compute.engine import Engine
from mdibench.core.records import Task

WARMUP_CALLS = 5
Z = 1.96
"""Two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Median:
    """A median with its 95 % interval, seconds, and the spread of single calls.

    ``deciles_s`` are the shortest time, the 10 %, 20 %, ... quantiles, and the longest.
    """

    median_s: float
    low_s: float
    high_s: float
    repeats: int
    deciles_s: tuple[float, ...] = ()


def median_interval(durations: Sequence[float]) -> Median:
    """Median and order-statistics interval: the ranks n/2 +- 1.96 sqrt(n)/2 (binomial, normal)."""
    ordered = sorted(durations)
    count = len(ordered)
    half = Z * math.sqrt(count) / 2
    low = max(0, math.floor((count - 1) / 2 - half))
    high = min(count - 1, math.ceil((count - 1) / 2 + half))
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    deciles = tuple(ordered[round(tenth * (count - 1) / 10)] for tenth in range(11))
    return Median(middle, ordered[low], ordered[high], count, deciles)


def time_calls(
    call: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Median:
    """The time of ``call()``, after ``WARMUP_CALLS`` untimed calls."""
    for _ in range(WARMUP_CALLS):
        call()
    durations = []
    for _ in range(repeats):
        started = clock()
        call()
        durations.append(clock() - started)
    return median_interval(durations)


def block_seconds(engine: Engine, item: NDArray[np.uint8], repeats: int = 30) -> list[float]:
    """Median seconds of one task of each block, in order, at batch 1 on this machine.

    ``item`` is one raw item ``[C, H, W]``; ``engine`` holds every block as a call of its own.
    """
    medians: list[float] = []
    payload: Any = item
    while payload is not None:
        tasks = [Task(0, len(medians) + 1, payload)]
        medians.append(time_calls(lambda tasks=tasks: engine.compute(tasks), repeats).median_s)  # type: ignore[misc]
        payload = engine.compute(tasks)[0].payload
    return medians
