"""Rank 0's room: batches reach the engine in the worker's order, and items are admitted in time."""

from __future__ import annotations

import random
from collections import deque

import pytest

from mdibench.core.events import Compute, Computed, EndRun, Instruction, Note, Suspected, Tick
from mdibench.core.node import Node
from mdibench.core.records import Outcome, Task
from mdibench.core.rows import ItemRow
from mdibench.core.setup import SourceSetup, WorkerSetup, constant, poisson
from mdibench.core.source import Source
from mdibench.core.worker import Worker
from mdibench.policy.schemes import SCHEMES
from mdibench.simulation.world import SILENT
from tests.worlds import Spec, build, full, run

BLOCK_S = 0.01


class BusyRank:
    """A rank alone whose loop sees nothing while a batch is computed, as in a real run of one.

    The label of a sample is its number, and every head says the number of the sample it saw.
    """

    def __init__(self, max_batch: int, mode: str = "fixed-rate", **source: object) -> None:
        self.now = 0.0
        self.rows: list[dict[str, object]] = []
        self._batches: deque[tuple[Task, ...]] = deque()
        self._ended = False
        self._rng = random.Random(3)
        worker = WorkerSetup(
            rank=0,
            blocks=frozenset({1, 2}),
            neighbours=(),
            next_hops={},
            toward_source=(),
            scheme=SCHEMES["local"],
            early_exit=True,
            thresholds=(0.8, 0.8),
            max_batch=max_batch,
        )
        options: dict[str, object] = {
            "interarrival_s": 0.02,
            "gaps": poisson(random.Random(1)),
            "order": range(100_000),
            "labels": range(100_000),
            "fetch": lambda sample: (sample, 1),
            "thresholds": (0.8, 0.8),
            "warmup_s": 0.0,
            "duration_s": 10.0,
            "drain_s": 10.0,
        }
        setup = SourceSetup(mode=mode, **{**options, **source})  # type: ignore[arg-type]
        self.node = Node(Worker(worker, random.Random(1)), Source(setup))

    def run(self) -> None:
        while not self._ended:
            if self.node.is_due(self.now):
                self._perform(self.node.handle(Tick(), self.now))
            elif self._batches:
                self._compute(self._batches.popleft())
            else:
                self.now = self.node.next_wake()

    def _compute(self, tasks: tuple[Task, ...]) -> None:
        self.now += BLOCK_S * len(tasks)
        outcomes = [Outcome(t.sample, float(self._rng.random() < 0.5), None, 1) for t in tasks]
        computed = Computed(tuple(outcomes), BLOCK_S * len(tasks))
        self._perform(self.node.handle(computed, self.now))

    def _perform(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Compute):
                self._batches.append(instruction.tasks)
            elif isinstance(instruction, EndRun):
                self._ended = True
            elif isinstance(instruction, Note) and isinstance(instruction.row, ItemRow):
                self.rows.append(instruction.row._asdict())


@pytest.mark.parametrize("max_batch", [1, 2, 4])
def test_no_item_gets_the_answer_of_another(max_batch: int) -> None:
    """Items that fall due during a batch are admitted while its results are entered."""
    rank = BusyRank(max_batch)
    rank.run()
    assert len(rank.rows) > 400
    assert [row["item"] for row in rank.rows if row["prediction"] != row["label"]] == []


def test_what_is_due_before_the_window_ends_is_offered_though_it_is_seen_late() -> None:
    rank = BusyRank(1, interarrival_s=0.013, gaps=constant(), duration_s=0.1)
    rank.run()
    assert [row["scheduled_s"] for row in sorted(rank.rows, key=lambda row: str(row["item"]))] == (
        pytest.approx([0.013 * number for number in range(1, 8)])
    )
    assert rank.node.source is not None
    assert rank.node.source.window_s == (0.0, 0.1)


@pytest.mark.parametrize("mode", ["offline", "single-stream"])
def test_a_closed_loop_admits_at_once(mode: str) -> None:
    rank = BusyRank(1, mode, period_s=5.0, duration_s=1.0, max_in_flight=3)
    rank.run()
    assert rank.rows[0]["admitted_s"] == 0.0


def test_a_closed_loop_replaces_what_is_lost() -> None:
    rank = BusyRank(1, "single-stream", period_s=5.0, rerun=False)
    source = rank.node.source
    assert source is not None
    source.tick(0.0, 0)
    admitted, orders = source.suspect(Suspected(1, ((0, 0),)), 0.5)
    assert [task.item for task in admitted] == [1]
    rows = [order.row for order in orders if isinstance(order, Note)]
    assert [(row.status, row.attempts) for row in rows if isinstance(row, ItemRow)] == [("lost", 1)]


def test_the_last_of_a_number_of_items_is_due_in_the_window() -> None:
    """In virtual time it is admitted at the very moment at which it is due."""
    rank = BusyRank(1, items=2, interarrival_s=0.5, gaps=constant())
    source = rank.node.source
    assert source is not None
    for now in (0.5, 1.0):
        source.tick(now, 0)
    assert source.phase == "draining"
    assert source.window_s[0] == 0.0
    assert source.window_s[1] > 1.0
    assert source.window_s[1] == pytest.approx(1.0)


@pytest.mark.parametrize(("mode", "warmup_s"), [("offline", 0.0), ("fixed-rate", 1.0)])
def test_items_that_all_come_at_the_start_of_the_window_give_it_no_length(
    mode: str, warmup_s: float
) -> None:
    rank = BusyRank(1, mode, items=2, interarrival_s=0.5, gaps=constant(), warmup_s=warmup_s)
    source = rank.node.source
    assert source is not None
    for now in (0.0, 0.5, 1.0):
        source.tick(now, 0)
    assert source.phase == "draining"
    assert source.window_s[0] == source.window_s[1]


def test_missed_periods_are_one_step_of_the_controller() -> None:
    rank = BusyRank(1, "adapt-rate", period_s=0.5, interarrival_s=1.0)
    source = rank.node.source
    assert source is not None
    source.tick(2.3, queued=0)
    assert source.interarrival_s == pytest.approx(0.8)
    assert source.next_wake() <= 2.5
    source.tick(2.5, queued=0)
    assert source.interarrival_s == pytest.approx(0.64)


def test_results_go_round_a_silent_relay() -> None:
    """Blocks 2 and 3 are two hops away by either of two relays, one of which falls silent."""
    edges = [(0, 1), (0, 2), (1, 3), (2, 3)]
    hosts = [frozenset({1}), frozenset[int](), frozenset[int](), frozenset({2, 3})]
    spec = Spec(
        hosts,
        edges + [(m, n) for n, m in edges],
        source={"duration_s": 6.0, "drain_s": 5.0},
        worker={"suspect_after_s": 0.2},
    )
    world, _ = build(spec)
    world.schedule(1.0, lambda: world.replace_node(1, SILENT))
    assert world.run(until_s=30.0)
    source = world.parts.nodes[0].source
    assert source is not None
    assert (source.totals.lost, source.totals.ok) == (0, source.totals.offered)
    assert 0 < source.totals.reruns < 30
    assert run(spec).source.totals.reruns == 0


def test_a_suspicion_that_everybody_reports_counts_once() -> None:
    rank = BusyRank(1, "single-stream", period_s=5.0, attempts=3)
    source = rank.node.source
    assert source is not None
    source.tick(0.0, 0)
    first = Suspected(1, ((0, 0),))
    assert [task.attempt for task in source.suspect(first, 0.5)[0]] == [1]
    assert source.suspect(first, 0.501)[0] == []
    assert [task.attempt for task in source.suspect(Suspected(2, ((0, 1),)), 0.6)[0]] == [2]
    assert (source.totals.reruns, source.totals.lost) == (2, 0)


def test_a_rate_that_only_fills_the_cap_comes_down_again() -> None:
    """Block 2 is the bottleneck, on another rank: the source's own queues stay short."""
    ran = run(
        Spec(
            hosts=[frozenset({1}), frozenset({2, 3})],
            edges=[(0, 1), (1, 0)],
            scheme="mdi",
            source={
                "mode": "adapt-rate",
                "interarrival_s": 0.03,
                "period_s": 0.25,
                "duration_s": 30.0,
                "max_in_flight": 50,
            },
        )
    )
    totals = ran.source.totals
    assert ran.source.interarrival_s > 0.002
    assert totals.dropped < totals.ok


def test_who_computed_a_block_may_send_the_next_one_back() -> None:
    """Block 3 is on ranks 0 and 2; rank 1, which computes block 2, uses both."""
    hosts = [frozenset({1, 3}), frozenset({2}), frozenset({2, 3})]
    spec = Spec(hosts, full(3), scheme="random", source={"interarrival_s": 0.03})
    sent = {
        (step["rank"], step["target"])
        for step in run(spec).table("steps")
        if step["kind"] == "send" and step["block"] == 3
    }
    assert {(1, 0), (1, 2)} <= sent


def test_slow_gossip_makes_nobody_suspicious() -> None:
    worker = {"gossip_s": 2.0, "suspect_after_s": 1.0}
    spec = Spec([frozenset({1, 2, 3})] * 3, full(3), worker=worker, source={"duration_s": 10.0})
    kinds = {event["kind"] for event in run(spec).table("events")}
    assert "suspect" not in kinds


@pytest.mark.parametrize("together", [True, False])
def test_calibrated_thresholds_survive_idle_periods(together: bool) -> None:
    """Idle until every exit is closed, then a few steps back: each by itself, all are equal."""
    given = (0.9, 0.6, 0.5)
    rank = BusyRank(1, "adapt-threshold", thresholds=given, exits_together=together)
    source = rank.node.source
    assert source is not None
    for step in range(1, 12):
        source.tick(step * 0.5, 0)
    assert source.thresholds == (1.0, 1.0, 1.0)
    for step in range(12, 15):
        source.tick(step * 0.5, 100)
    first, second, third = source.thresholds
    assert max(source.thresholds) < 1
    assert (first > second > third) if together else (first == second == third)
