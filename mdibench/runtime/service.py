"""How long batches take in a simulation: as on the emulated device, or as the profile saw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from mdibench.core.records import Task
from mdibench.runtime.assemble import generator
from mdibench.runtime.scenario import Scenario
from mdibench.runtime.world import ServiceTime

if TYPE_CHECKING:
    from mdibench.record.profile import BlockProfile, Timing

Spread = Callable[[int], float]
"""Seconds of a batch of that size, drawn anew at every call."""


def service_times(scenario: Scenario) -> ServiceTime:
    """Seconds of a batch on a rank: an emulated device takes as long for each of its tasks.

    Without a device and with a profile, times are drawn from what was measured.
    """
    block_s, devices = scenario.block_s, scenario.plan.devices
    if scenario.profile is None or all(devices):
        return lambda rank, tasks: block_s[rank][tasks[0].block - 1] * len(tasks)
    uniform = generator(scenario.config, "service").random
    spreads = [spread(block, uniform) for block in scenario.profile.blocks]

    def seconds(rank: int, tasks: Sequence[Task]) -> float:
        block = tasks[0].block - 1
        if devices[rank] is None:
            return spreads[block](len(tasks))
        return block_s[rank][block] * len(tasks)

    return seconds


def spread(block: BlockProfile, uniform: Callable[[], float]) -> Spread:
    """Times of a block as profiled: the median for a batch of that size, times a drawn factor.

    The factor is the spread of single calls at batch 1: a point between two neighbouring deciles.
    """
    alone = next(timing for timing in block.times if timing.batch == 1)
    factors = [decile / alone.median_s for decile in alone.deciles_s] or [1.0]

    def draw(size: int) -> float:
        position = uniform() * (len(factors) - 1)
        below = min(int(position), max(len(factors) - 2, 0))
        above = min(below + 1, len(factors) - 1)
        share = position - below
        factor = factors[below] * (1 - share) + factors[above] * share
        return batch_seconds(block.times, size) * factor

    return draw


def batch_seconds(times: Sequence[Timing], size: int) -> float:
    """Median seconds of a batch: linear between profiled sizes, in proportion beyond them."""
    known = sorted((timing.batch, timing.median_s) for timing in times)
    largest, longest_s = known[-1]
    if size >= largest:
        return longest_s * size / largest
    for (low, low_s), (high, high_s) in pairwise(known):
        if low <= size < high:
            return low_s + (high_s - low_s) * (size - low) / (high - low)
    return known[0][1]
