"""Ranks that stand still: nothing is lost or counted twice, and nobody else is accused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdibench.core.events import (
    Arrived,
    Cancel,
    Cancelled,
    Delivered,
    LinkFree,
    Presence,
    Refused,
    ReportSuspect,
    Send,
    Suspected,
    Tick,
)
from mdibench.core.node import Node
from mdibench.core.records import Result, State, Task
from tests.core.test_conservation import specs
from tests.worlds import Ran, Spec, Stall, build, full, run

EVERYWHERE = frozenset({1, 2, 3})
SUSPECT_AFTER_S = 1.0


@st.composite
def stalls(draw: st.DrawFn, ranks: int) -> list[Stall]:
    """Up to two stalls, of any ranks, one after the other."""
    found, at_s = [], 0.0
    for _ in range(draw(st.integers(1, 2))):
        at_s += draw(st.floats(0.05, 1.5))
        seconds = draw(st.floats(0.2, 4.0))
        found.append(Stall(draw(st.integers(0, ranks - 1)), at_s, seconds))
        at_s += seconds
    return found


def accused(ran: Ran) -> set[int]:
    """Ranks that somebody suspected."""
    events = ran.table("events")
    return {int(str(row["text"]).split()[1]) for row in events if row["kind"] == "suspect"}


def check_ledger(ran: Ran) -> None:
    """Every offered item has one end, and none is lost."""
    totals = ran.source.totals
    ends = Counter(row["item"] for row in ran.table("items"))
    assert ends == dict.fromkeys(range(totals.offered), 1)
    assert totals.offered == totals.ok + totals.dropped
    assert totals.lost == ran.source.in_flight == 0


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(specs(), st.data())
def test_a_stall_loses_nothing_and_accuses_nobody_else(spec: Spec, data: st.DataObject) -> None:
    spec = replace(
        spec,
        source={**spec.source, "items": None, "duration_s": 4.0, "interarrival_s": 0.02,
                "attempts": 9},
        worker={**spec.worker, "suspect_after_s": SUSPECT_AFTER_S, "attempts": 9},
    )  # fmt: skip
    stalled = data.draw(stalls(len(spec.hosts)))
    ran = run(spec, stalled)
    check_ledger(ran)
    assert accused(ran) <= {stall.rank for stall in stalled}


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("rerun", [True, False])
def test_an_own_stall_accuses_nobody(rank: int, rerun: bool) -> None:
    """Whatever rank it is that stands still; only a stopped worker's items may be lost."""
    spec = Spec([EVERYWHERE] * 3, full(3), source={"duration_s": 6.0, "rerun": rerun})
    ran = run(spec, [Stall(rank, 1.0, 3.0)])
    assert accused(ran) == {rank}
    assert ran.source.totals.lost == 0 or not (rerun or rank == 0)


def test_copies_of_finished_items_are_not_computed() -> None:
    """A rank that wakes with a long queue throws away what others have done meanwhile."""
    spec = Spec(
        [frozenset({1}), EVERYWHERE, EVERYWHERE],
        full(3),
        scheme="round-robin",
        block_s=0.05,
        source={"interarrival_s": 0.03, "duration_s": 6.0},
    )
    ran = run(spec, [Stall(2, 1.0, 3.0)])
    totals = ran.source.totals
    assert totals.reruns > 0
    assert totals.lost == 0
    assert totals.duplicates <= 2  # at most what the engine had when it was stopped


# --- one worker, one event -----------------------------------------------------------------------


def node(rank: int = 1, **worker: object) -> Node:
    """A rank of a full world of three."""
    spec = Spec([EVERYWHERE] * 3, full(3), worker={"suspect_after_s": 1.5, **worker})
    return build(spec)[0].parts.nodes[rank]


def test_a_late_tick_starts_the_silence_anew() -> None:
    worker = node().worker
    said = worker.handle(Tick(), 3.0)
    assert not [s for s in said if isinstance(s, ReportSuspect)]
    for beat in range(1, 4):
        worker.handle(Tick(), 3.0 + beat * 0.5)
    assert not worker.neighbours[0].suspected
    worker.handle(Tick(), 5.0)
    assert worker.neighbours[0].suspected


def test_a_suspect_gets_heartbeats_and_no_news() -> None:
    worker = node().worker
    for beat in range(1, 5):
        worker.handle(Arrived(0, State(0, 0.0)), beat * 0.5)
        worker.handle(Tick(), beat * 0.5)
    assert worker.neighbours[2].suspected
    said = worker.handle(Arrived(0, State(0, 0.0), Task(1, 1)), 2.01)
    said += worker.handle(Tick(), 2.05)
    assert 2 not in [s.target for s in said if isinstance(s, Send)]
    said = worker.handle(Tick(), 2.5)
    assert 2 in [s.target for s in said if isinstance(s, Send)]


def test_a_rank_that_starts_anew_gets_nothing_before_it_speaks() -> None:
    """It may still throw away what it gets, and nobody would ever suspect it of having that."""
    worker = node().worker
    worker.handle(Presence(2, here=True, fresh=True), 0.1)
    assert worker.neighbours[2].suspected
    worker.handle(Arrived(2, State(0, 0.0)), 0.2)
    assert not worker.neighbours[2].suspected


def test_a_refused_task_counts_as_received_and_its_item_runs_again() -> None:
    worker = node().worker
    said = worker.handle(Refused(2, (7, 0)), 0.1)
    assert ReportSuspect(1, ((7, 0),)) in said
    assert worker.neighbours[2].received == 1
    said = worker.handle(Tick(), 0.2)
    assert Send(2, State(0, 0.0, 1)) in said


def test_a_belief_heals_when_tasks_never_count_over_there() -> None:
    worker = node().worker
    neighbour = worker.neighbours[2]
    neighbour.note_sent((1, 0))
    worker._under_way += 1
    worker.handle(LinkFree(2), 0.1)
    worker.handle(Delivered(2, 0.01), 0.1)
    assert neighbour.input_queue == 1
    for beat in range(1, 8):
        worker.handle(Arrived(2, State(0, 0.0, 0)), 0.1 + beat * 0.5)
    assert neighbour.input_queue == 0
    worker.handle(Arrived(2, State(0, 0.0, 1)), 9.0)  # it was only very slow
    assert neighbour.input_queue == 0


def test_what_is_cancelled_leaves_the_queues_and_is_not_taken_in_again() -> None:
    worker = node().worker
    for item in range(5):
        worker.handle(Arrived(2, State(0, 0.0), Task(item, 1)), 0.1)
    worker.handle(Cancelled((3, 4)), 0.2)
    assert [entry.task.item for entry in worker.input_queue.entries] == [2]
    worker.handle(Arrived(2, State(0, 0.0), Task(4, 1, attempt=1)), 0.3)
    assert [entry.task.item for entry in worker.input_queue.entries] == [2]
    assert worker.neighbours[2].received == 6


def test_the_first_of_several_copies_cancels_the_others() -> None:
    source = node(0).source
    assert source is not None
    source.tick(0.1, 0)
    source.suspect(Suspected(2, ((0, 0), (1, 0))), 0.2)
    _, said = source.finish(Result(0, 1, 0, 0.9, 0.5), 0.3)
    assert Cancel((0,)) in said
    _, said = source.finish(Result(2, 1, 0, 0.9, 0.5), 0.3)
    assert not [s for s in said if isinstance(s, Cancel)]


def test_a_suspect_s_list_names_every_copy_that_can_be_about() -> None:
    """More than ``max_in_flight`` where items run several times, each copy once."""
    neighbour = node(max_in_flight=4, attempts=3).worker.neighbours[2]
    for item in range(12):
        neighbour.note_sent((item, 0))
        neighbour.note_passed((item, 0))
    assert neighbour.give_up() == tuple((item, 0) for item in range(12))
