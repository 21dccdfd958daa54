"""What workers believe of each other: gossip goes on until it is true, and then falls silent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings

from mdibench.core.events import Arrived, Computed, Send, Tick
from mdibench.core.records import Outcome, State, Task
from mdibench.core.setup import WorkerSetup
from mdibench.core.worker import Worker
from mdibench.errors import InvariantError
from mdibench.policy.schemes import SCHEMES
from tests.core.test_conservation import specs
from tests.worlds import Spec, build


@settings(max_examples=60)
@given(specs())
def test_beliefs_become_true_and_gossip_falls_silent(spec: Spec) -> None:
    """Without heartbeats, a world whose run is over goes on until all has been told."""
    world, _ = build(spec)
    assert world.run(until_s=1000.0)
    world._ended = False
    with pytest.raises(InvariantError, match="no event is left"):
        world.run(until_s=2000.0)
    workers = [node.worker for node in world.parts.nodes]
    for worker in workers:
        for neighbour in worker.neighbours.values():
            assert neighbour.input_queue == workers[neighbour.rank].waiting


def test_a_task_done_between_two_ticks_is_told() -> None:
    """The queue is as short as when n last spoke, but the sender still counts its task in it."""
    setup = WorkerSetup(
        rank=1,
        blocks=frozenset({2}),
        neighbours=(0,),
        next_hops={},
        toward_source=(0,),
        scheme=SCHEMES["mdi-exit"],
        early_exit=True,
        thresholds=(0.8, 0.8),
    )
    worker = Worker(setup, random.Random(1))
    worker.handle(Arrived(0, State(0, 0.0), Task(7, 2, None, 4)), 0.1)
    (result,) = worker.handle(Computed((Outcome(3, 0.9, None, 0),), 0.02), 0.12)
    assert isinstance(result, Send)
    assert worker.handle(Tick(), 0.14) == []  # the result told all there is to tell

    worker.handle(Arrived(0, State(0, 0.0), Task(8, 1, None, 4)), 0.2)  # not its block: to relay
    assert worker.handle(Tick(), 0.22) == [Send(0, State(0, 0.02, received=2))]
    assert worker.handle(Tick(), 0.24) == []
