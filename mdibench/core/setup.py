"""What the state machines are told before a run.

``assembly.state_machines`` makes these from a config.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Literal

from mdibench.policy.algorithms import Gains, Generator
from mdibench.policy.pressure import PressureParameters
from mdibench.policy.schemes import Scheme

NO_LIMIT = 2**62
"""More items than any run has."""
Mode = Literal["adapt-rate", "adapt-threshold", "fixed-rate", "offline", "single-stream"]


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """All that worker ``rank`` must know before the run; see ``network.plan.Plan`` for the ways."""

    rank: int
    blocks: frozenset[int]
    neighbours: tuple[int, ...]
    next_hops: Mapping[int, tuple[int, ...]]
    toward_source: tuple[int, ...]
    scheme: Scheme
    early_exit: bool
    thresholds: tuple[float, ...]
    offers_raw: bool = False
    output_limit: int = 50
    max_batch: int = 1
    last_block: Mapping[int, int] = field(default_factory=dict)
    """Block -> last block of the call that begins with it, where that is a later one: blocks that
    follow each other here with no decision between them are computed together."""
    lookahead: int = 1
    """Batches that the engine gets in advance, so that it need not wait for the next decision."""
    patience: bool = False
    gossip_s: float = 0.02
    link_window: int = 2
    suspect_after_s: float = 1.0
    smoothing: float = 0.2
    trace: float = 0.0
    max_in_flight: int = 1000
    attempts: int = 3
    outgoing: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Neighbours that tasks and results may be sent to, with the blocks that they host."""
    pressure: PressureParameters = field(default_factory=PressureParameters)

    @property
    def queue_capacity(self) -> int:
        """More tasks than this cannot exist at once: the source caps the items in flight."""
        return self.max_in_flight * self.attempts

    @property
    def heartbeat_s(self) -> float:
        """Three heartbeats fit into the silence that raises suspicion."""
        return self.suspect_after_s / 3 or float("inf")


Figure = Literal["rate", "latency", "latency p95", "accuracy"]


@dataclass(frozen=True, slots=True)
class Until:
    """Which figure a run shall know, and to which share of its value (half the 95 % interval)."""

    figure: Figure
    share: float


@dataclass(frozen=True, slots=True)
class SourceSetup:
    """How the source admits, adapts and ends.

    ``order`` are the samples to send, repeated in turn; ``labels`` their classes by sample;
    ``fetch(sample)`` gives the raw item and its bytes. ``gaps`` is a schedule of ``arrivals``.
    """

    mode: Mode
    interarrival_s: float
    gaps: Iterator[float]
    order: Sequence[int]
    labels: Sequence[int]
    fetch: Callable[[int], tuple[Any, int]]
    thresholds: tuple[float, ...]
    warmup_s: float
    duration_s: float
    drain_s: float
    items: int | None = None
    until: Until | None = None
    max_in_flight: int = 1000
    period_s: float = 0.5
    gains: Gains = field(default_factory=Gains)
    threshold_min: float = 0.05
    exits_together: bool = True
    """Whether algorithm 4 moves all exits along one curve, or each by itself."""
    rerun: bool = True
    attempts: int = 3


# --- arrivals ----------------------------------------------------------------------------------
# When items arrive: schedules made from their own seed, whatever the system does with them.
#
# A schedule is an endless iterator of gaps in units of μ, so that a controller may change μ while
# it is being used. A trace gives its own gaps in seconds and is used with μ = 1.


def constant() -> Iterator[float]:
    """Equal gaps."""
    return repeat(1.0)


def poisson(generator: Generator) -> Iterator[float]:
    """Exponential gaps with mean 1: a Poisson process of rate 1 / μ."""
    while True:
        yield -math.log(1.0 - generator.random())


def traced_arrivals(times_s: Sequence[float]) -> Iterator[float]:
    """Gaps of recorded arrival times (ascending, seconds), repeated when they run out."""
    gaps = [later - earlier for earlier, later in zip((0.0, *times_s), times_s, strict=False)]
    while True:
        yield from gaps
