"""Scheme ``pressure``: how long a task waits whose line never gains most."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mdibench.core.pricing import Distances
from mdibench.core.queues import BlockQueue, Entry
from mdibench.core.records import Task
from mdibench.network.plan import Link
from tests.core.test_pressure import line_of_three
from tests.worlds import Spec, build, full

LOOKS = 40


def longest_wait_s(spec: Spec, until_s: float) -> float:
    """The longest that any task was seen to wait, at moments apart by a part of the time."""
    world, _ = build(spec)
    longest_s = 0.0
    for look in range(1, LOOKS + 1):
        world.run(until_s * look / LOOKS)
        workers = [node.worker for node in world.parts.nodes]
        lines = [line for worker in workers for line in (worker.input_queue, worker.output_queue)]
        waited_s = [world.now - entry.since_s for line in lines for entry in line]
        longest_s = max([longest_s, *waited_s])
    return longest_s


@pytest.mark.slow
def test_an_engine_computes_a_rare_task_though_others_gain_more() -> None:
    """One item in a hundred goes on; V tasks of 5 ms take 0.2 s, of which a task waits for 4."""
    base = line_of_three(40, duration_s=4.0)
    spec = replace(
        base,
        hosts=[frozenset({1}), frozenset({1, 2, 3})],
        edges=full(2),
        block_s=0.005,
        samples=400,
        worker={**base.worker, "early_exit": True, "thresholds": (0.01,) * 3},
    )
    assert longest_wait_s(spec, 4.0) <= 1.3  # without that, 3.6 s: until the end


@pytest.mark.slow
def test_a_link_takes_a_long_task_though_short_ones_gain_more() -> None:
    """Raw items fill the link, and block 2 is computed beyond it only.

    Ten feature maps wait there, each of which takes 7 ms; the link gives them a 32nd of its time.
    """
    spec = replace(
        line_of_three(8, duration_s=6.0),
        hosts=[frozenset({1}), frozenset({1, 2, 3})],
        edges=full(2),
        block_s=0.0002,
        link=Link(5e6, 0.0002),
    )
    assert longest_wait_s(spec, 6.0) <= 2.3  # without that, 6 s: until the end


def test_out_of_turn_goes_what_waits_longest_of_what_gains() -> None:
    distances, queue = Distances([True] * 3, [1, 2, 3], at_source=True), BlockQueue(9, 3)
    for block, since_s in ((1, 0.1), (2, 0.3), (3, 0.2)):
        queue.put(Entry(Task(item=block, block=block), since_s, sender=0), to_stay=block == 3)
    prices = [5.0, 4.0, 2.0, 0.0]
    assert distances.oldest_block(queue, prices, before_s=0.1) == (None, 0.0)
    assert distances.oldest_block(queue, prices, before_s=0.4)[0] == 0
    without_gain = [5.0, 14.0, 2.0, 0.0]
    assert distances.oldest_block(queue, without_gain, before_s=0.4)[0] == 2
