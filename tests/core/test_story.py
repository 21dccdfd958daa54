"""What breaks an invariant, and that the error tells enough to find the fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from mdibench.core import transitions
from mdibench.core.events import (
    Arrived,
    Computed,
    Delivered,
    Event,
    LinkFree,
    Note,
    Presence,
    StopRequested,
    Suspected,
    ThresholdsSet,
)
from mdibench.core.node import Node
from mdibench.core.records import Outcome, Result, State, Task
from mdibench.core.setup import WorkerSetup
from mdibench.core.source import Source
from mdibench.core.worker import Worker
from mdibench.errors import InvariantError
from mdibench.policy.schemes import SCHEMES
from tests.core.test_conservation import specs
from tests.worlds import Spec, build

IDLE = State(0, 0.0)


def worker(**options: Any) -> Worker:
    """Worker 1, which hosts block 2 of 3 and knows its neighbours 0 and 2."""
    return Worker(WorkerSetup(**{**SETUP, **options}), random.Random(1))


SETUP: dict[str, Any] = {
    "rank": 1,
    "blocks": frozenset({2}),
    "neighbours": (0, 2),
    "next_hops": {3: (2,)},
    "toward_source": (0,),
    "scheme": SCHEMES["mdi-exit"],
    "early_exit": True,
    "thresholds": (0.8, 0.8, 0.8),
}


def busy_worker() -> Worker:
    """It has offloaded item 7 to rank 2 and computes item 8."""
    busy = worker()
    busy.handle(Arrived(0, IDLE, Task(7, 2)), 0.1)
    busy.handle(Computed((Outcome(1, 0.5),), 0.02), 0.12)
    busy.handle(Arrived(0, IDLE, Task(8, 2, attempt=1)), 0.2)
    return busy


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (Suspected(2, ((7, 0),)), "no reaction to Suspected"),
        (StopRequested("for a test"), "no reaction to StopRequested"),
        (Computed((), 0.1), "0 outcomes for 1 tasks"),
        (Computed((Outcome(1, 0.5),) * 2, 0.1), "2 outcomes for 1 tasks"),
        (Arrived(5, IDLE), "no neighbour is rank 5"),
        (LinkFree(0), "the link to rank 0 is free, and was before"),
        (LinkFree(5), "no neighbour is rank 5"),
        (Delivered(5, 0.1), "no neighbour is rank 5"),
        (Presence(5, here=False), "no neighbour is rank 5"),
        (ThresholdsSet((0.5,)), "1 thresholds for 3 exits"),
    ],
)
def test_an_event_that_cannot_be_is_told_with_the_workers_story(event: Event, what: str) -> None:
    with pytest.raises(InvariantError, match=what) as raised:
        busy_worker().handle(event, 0.3)
    text = str(raised.value)
    for line in (
        "worker 1 at 0.300000 s",
        "input queue 0",
        "batches at the engine 1: ['item 8 attempt 1 block 2 since 0.200000 s']",
        "0.100000 s item 7 attempt 0 block 2: elsewhere -> input queue, rank 0 (Arrived",
        "0.120000 s item 7 attempt 0 block 3: engine -> output queue, rank 0 (Computed",
        "0.120000 s item 7 attempt 0 block 3: output queue -> sent, rank 2 (Offload",
        "neighbour 2: 1 under way, 1 sent, 0 received, believed |I_m| 1",
    ):
        assert line in text


def test_a_batch_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(InvariantError, match="1 outcomes for 0 tasks"):
        worker().handle(Computed((Outcome(1, 0.5),), 0.1), 0.3)


def test_the_item_of_a_full_queue_is_marked() -> None:
    small = worker(max_in_flight=1, attempts=1, lookahead=0)
    small.handle(Arrived(0, IDLE, Task(1, 2)), 0.1)
    small.handle(Arrived(0, IDLE, Task(2, 2)), 0.2)
    with pytest.raises(InvariantError, match="beyond its capacity 1") as raised:
        small.handle(Arrived(0, IDLE, Task(3, 2)), 0.3)
    assert raised.value.item == 3
    marked = [line for line in raised.value.story if line.lstrip().startswith("->")]
    assert len(marked) == 1
    assert "item 3 attempt 0 block 2: elsewhere -> input queue" in marked[0]


def test_a_result_without_a_way_home_is_told() -> None:
    lost = worker(toward_source=())
    with pytest.raises(InvariantError, match="no neighbour leads to the source") as raised:
        lost.handle(Arrived(0, IDLE, Result(4, 1, 0, 0.9, 0.8)), 0.1)
    assert raised.value.item == 4


def test_a_decision_of_an_unknown_kind_is_told() -> None:
    odd = worker(scheme=replace(SCHEMES["mdi-exit"], offload=lambda view, generator: None))
    with pytest.raises(InvariantError, match="no answer to the decision NoneType"):
        odd.handle(Arrived(0, IDLE, Task(7, 3)), 0.1)


def test_a_story_holds_no_payload() -> None:
    """A tensor in it would keep a receive buffer from being used again."""
    full = worker()
    payload = object()
    full.handle(Arrived(0, IDLE, Task(7, 2, payload)), 0.1)
    full.handle(Computed((Outcome(1, 0.5, payload),), 0.02), 0.12)
    for moment in full._story._moments:
        parts = [getattr(part, "body", part) for part in moment]
        assert all(getattr(part, "payload", None) is None for part in parts)
        assert not any(isinstance(part, Computed) for part in moment)


# --- the source ----------------------------------------------------------------------------------


def started() -> tuple[Node, Source]:
    """Rank 0 of a world, after its first items."""
    world, _ = build(Spec([frozenset({1, 2, 3})], [], source={"duration_s": 1.0, "attempts": 2}))
    world.run(until_s=0.1)
    node = world.parts.nodes[0]
    assert node.source is not None
    return node, node.source


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda s: s.finish(Result(99, 1, 0, 0.9, 0.8), 0.2), "item 99 attempt 0 was never sent"),
        (lambda s: s.finish(Result(-1, 1, 0, 0.9, 0.8), 0.2), "item -1 attempt 0 was never sent"),
        (
            lambda s: s.finish(Result(0, 1, 0, 0.9, 0.8, attempt=2), 0.2),
            "item 0 attempt 2 was never sent",
        ),
        (lambda s: s.suspect(Suspected(1, ((99, 0),)), 0.2), "item 99 attempt 0 was never sent"),
        (lambda s: s._enter_phase("ended", 0.2), "no move from admitting to ended"),
        (
            lambda s: s.ledger.move(next(iter(s._flights.values())), "dropped", 0.2),
            "no move from in flight to dropped",
        ),
    ],
)
def test_what_cannot_be_is_told_with_the_sources_story(
    ask: Callable[[Source], object], what: str
) -> None:
    _, source = started()
    with pytest.raises(InvariantError, match=what) as raised:
        ask(source)
    text = str(raised.value)
    assert "source at 0.200000 s: admitting, next wake at" in text
    assert f"Totals(offered={source.totals.offered}," in text
    assert f"in flight {source.in_flight}: Flight(item=" in text


def test_a_run_that_loses_an_item_does_not_end() -> None:
    node, source = started()
    source._flights.clear()
    with pytest.raises(InvariantError, match="the run ends, and items are unaccounted for"):
        node.handle(StopRequested("for a test"), 0.2)


def test_a_world_that_stands_still_tells_of_the_nodes_with_work() -> None:
    world, _ = build(Spec([frozenset({1, 2, 3})], [], source={"items": 1}))
    world.run(until_s=0.021)
    world._heap.clear()
    with pytest.raises(InvariantError, match="no event is left") as raised:
        world.run()
    text = str(raised.value)
    assert "simulated world at 0.020000 s" in text
    assert "source at 0.020000 s: draining" in text
    assert "batches at the engine 1: ['item 0 attempt 0 block 1" in text


# --- the tables ----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(specs())
def test_a_task_moves_as_the_table_says(spec: Spec) -> None:
    """Each move starts where the last one of the same attempt at the same item ended."""
    world, _ = build(spec)
    places: dict[tuple[int, int, int], str] = {}
    for node in world.parts.nodes:
        watch(node.worker, places)
    assert world.run(until_s=1000.0)
    assert set(places.values()) <= {"exited", "sent"}


def watch(machine: Worker, places: dict[tuple[int, int, int], str]) -> None:
    """Follow every move on ``machine``; a task in the engine has left the input queue."""

    def follow(moment: tuple[Any, ...]) -> None:
        _, move, *facts = moment
        if not isinstance(move, transitions.Move):
            return
        assert move in transitions.TASK_MOVES
        key = (machine.setup.rank, facts[0], facts[1])
        before = places.get(key, "elsewhere")
        if before == "input queue" and move.before == "engine":
            before = transitions.STARTED.after
        assert move.before == ("elsewhere" if before in ("exited", "sent") else before)
        places[key] = move.after

    machine._remember = follow


def test_a_call_of_joined_blocks_shows_the_threshold_that_it_was_judged_by() -> None:
    """Blocks 1 and 2 are one call: its confidence is exit 2's, and so is its threshold."""
    joined = worker(
        blocks=frozenset({1, 2}), last_block={1: 2}, thresholds=(0.9, 0.4, 0.8), trace=1.0
    )
    joined.handle(Arrived(0, IDLE, Task(7, 1)), 0.1)
    told = joined.handle(Computed((Outcome(1, 0.5),), 0.02), 0.12)
    (row,) = [each.row for each in told if isinstance(each, Note)]
    assert (row.verdict, row.confidence, row.threshold) == ("exit", 0.5, 0.4)
