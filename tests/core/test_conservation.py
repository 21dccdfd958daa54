"""Nothing lost, nothing twice: in any topology, placement and scheme, with any seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdibench.network.plan import Link
from mdibench.policy.schemes import SCHEMES
from tests.worlds import Ran, Spec, full, run


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Connected worlds of 1 to 5 workers in which every block has a host."""
    ranks, exits = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    edges = set()
    for rank in range(1, ranks):
        other = draw(st.integers(0, rank - 1))
        edges |= {(rank, other), (other, rank)}
    for n, m in draw(st.lists(st.tuples(*[st.integers(0, ranks - 1)] * 2), max_size=6)):
        edges |= {(n, m), (m, n)} if n != m else set()
    first_hosts = [draw(st.integers(0, ranks - 1)) for _ in range(exits)]
    hosts = [{k + 1 for k in range(exits) if first_hosts[k] == n} for n in range(ranks)]
    for blocks in hosts:
        blocks |= draw(st.sets(st.integers(1, exits)))
    return Spec(
        hosts=[frozenset(blocks) for blocks in hosts],
        edges=sorted(edges),
        exits=exits,
        scheme=draw(st.sampled_from(sorted(SCHEMES))),
        seed=draw(st.integers(0, 1000)),
        link=Link(draw(st.sampled_from([1e6, 1e8])), 0.002, draw(st.sampled_from([0.0, 0.005]))),
        source={
            "mode": draw(st.sampled_from(["fixed-rate", "adapt-rate", "adapt-threshold",
                                          "offline", "single-stream"])),
            "items": draw(st.integers(1, 40)),
            "interarrival_s": draw(st.sampled_from([0.001, 0.02])),
            "max_in_flight": draw(st.sampled_from([3, 1000])),
        },
        worker={
            "max_batch": draw(st.sampled_from([1, 4])),
            "offers_raw": draw(st.booleans()),
            "output_limit": draw(st.sampled_from([0, 50])),
            "suspect_after_s": 0.0,
            "max_in_flight": 1000,
        },
    )  # fmt: skip


def check_conservation(ran: Ran) -> None:
    """Every offered item ends exactly once, and every queue is empty."""
    totals = ran.source.totals
    ends = Counter(row["item"] for row in ran.table("items"))
    assert ends == dict.fromkeys(range(totals.offered), 1)
    assert totals.offered == totals.ok + totals.dropped + totals.lost
    assert (totals.lost, totals.duplicates, ran.source.in_flight) == (0, 0, 0)
    for node in ran.world.parts.nodes:
        assert node.worker.queued == node.worker.computing == 0


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(specs())
def test_every_item_ends_exactly_once(spec: Spec) -> None:
    check_conservation(run(spec))


@settings(max_examples=40)
@given(specs())
def test_exits_follow_from_the_recorded_confidences(spec: Spec) -> None:
    """Which worker computes a block changes neither prediction nor exit."""
    spec = replace(spec, source={**spec.source, "mode": "fixed-rate", "max_in_flight": 1000})
    alone = replace(spec, hosts=[frozenset(range(1, spec.exits + 1))], edges=[])

    def answers(ran: Ran) -> dict[object, tuple[object, object]]:
        return {row["item"]: (row["prediction"], row["exit"]) for row in ran.table("items")}

    assert answers(run(spec)) == answers(run(alone))


def test_same_seed_same_trace() -> None:
    spec = Spec([frozenset({1, 2, 3})] * 3, full(3), link=Link(1e7, 0.001, 0.002, loss=0.01))
    assert run(spec).rows == run(spec).rows
    assert run(spec).rows != run(replace(spec, seed=1)).rows


@pytest.mark.parametrize("mode", ["fixed-rate", "adapt-rate"])
def test_too_many_in_flight_are_turned_away(mode: str) -> None:
    spec = Spec(
        [frozenset({1, 2, 3})],
        [],
        source={"mode": mode, "interarrival_s": 0.001, "max_in_flight": 5, "duration_s": 0.5},
    )
    ran = run(spec)
    dropped = [row for row in ran.table("items") if row["status"] == "dropped"]
    assert len(dropped) == ran.source.totals.dropped > 100
    assert {row["reason"] for row in dropped} == {"too many items in flight"}
    assert all(row["admitted_s"] is None and row["prediction"] is None for row in dropped)
    assert ran.source.totals.offered == ran.source.totals.ok + ran.source.totals.dropped
