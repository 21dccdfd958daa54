"""When items arrive: schedules made from their own seed, whatever the system does with them.

A schedule is an endless iterator of gaps in units of μ, so that a controller may change μ while
it is being used. A trace gives its own gaps in seconds and is used with μ = 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import repeat

from mdibench.policy.views import Generator


def constant() -> Iterator[float]:
    """Equal gaps."""
    return repeat(1.0)


def poisson(generator: Generator) -> Iterator[float]:
    """Exponential gaps with mean 1: a Poisson process of rate 1 / μ."""
    while True:
        yield -math.log(1.0 - generator.random())


def trace(times_s: Sequence[float]) -> Iterator[float]:
    """Gaps of recorded arrival times (ascending, seconds), repeated when they run out."""
    gaps = [later - earlier for earlier, later in zip((0.0, *times_s), times_s, strict=False)]
    while True:
        yield from gaps
