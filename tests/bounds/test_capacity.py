"""The bound's linear program against cases that can be solved by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdibench.bounds.capacity import Bound, Demand, Fleet, capacity, gains
from mdibench.errors import UserError
from mdibench.network.plan import Link

EXACT = 1e-9


def fleet(*blocks: set[int], links: Iterable[tuple[int, int]] = (), bps: float = 1e9) -> Fleet:
    both = [pair for n, m in links for pair in ((n, m), (m, n))]
    return Fleet([frozenset(held) for held in blocks], dict.fromkeys(both, Link(bps)))


def demand(workers: int, block_s: Sequence[float], go_on: Sequence[float], size: int = 0) -> Demand:
    return Demand([block_s] * workers, go_on, {"none": [size] * len(go_on)})


def shares(bound: Bound) -> dict[str, float]:
    return {resource.name: resource.share for resource in bound.limits}


def test_one_worker_does_one_second_of_work_in_a_second() -> None:
    """10 ms + 0.5 x 20 ms + 0.5 x 0.2 x 30 ms = 23 ms an item."""
    bound = capacity(fleet({1, 2, 3}), demand(1, [0.01, 0.02, 0.03], [0.5, 0.2, 0.0]))
    assert bound.rate_per_s == pytest.approx(1 / 0.023, rel=EXACT)
    assert shares(bound) == {"worker 0": pytest.approx(1.0)}
    assert bound.tasks_per_s[0, 3] == pytest.approx(0.1 / 0.023, rel=EXACT)


def test_two_workers_share_what_may_leave_the_source() -> None:
    """Block 1 (10 ms) stays, block 2 (30 ms, every item) is shared: 40 ms over two workers."""
    pair = fleet({1, 2}, {1, 2}, links=[(0, 1)])
    bound = capacity(pair, demand(2, [0.01, 0.03], [1.0, 0.0]))
    assert bound.rate_per_s == pytest.approx(50.0, rel=EXACT)
    assert shares(bound) == {"worker 0": pytest.approx(0.5), "worker 1": pytest.approx(0.5)}


def test_a_thin_link_limits_what_the_second_worker_can_take() -> None:
    """1,000-byte tasks over 80 kbit/s: 10 per second leave; the source does the other block 2s.

    10 ms x rate + 30 ms x (rate - 10) = 1, so rate = 32.5.
    """
    pair = fleet({1, 2}, {1, 2}, links=[(0, 1)], bps=80e3)
    bound = capacity(pair, demand(2, [0.01, 0.03], [1.0, 0.0], 1000))
    assert bound.rate_per_s == pytest.approx(32.5, rel=EXACT)
    assert bound.flows_per_s[0, 1, 2] == pytest.approx(10.0, rel=EXACT)
    assert shares(bound) == {
        "worker 0": pytest.approx(25 / 32.5),
        "link 0 -> 1": pytest.approx(7.5 / 32.5),
    }


def test_results_take_room_on_the_way_home() -> None:
    """A result of 500 bytes over 40 kbit/s: 10 per second; tasks of 100 bytes do not limit."""
    pipeline = fleet({1}, {2}, links=[(0, 1)], bps=40e3)
    asked = replace(demand(2, [0.01, 0.01], [1.0, 0.0], 100), result_bytes=500)
    bound = capacity(pipeline, asked)
    assert bound.rate_per_s == pytest.approx(10.0, rel=EXACT)
    assert shares(bound) == {"link 1 -> 0": pytest.approx(1.0)}


def test_a_line_runs_at_its_slowest_stage() -> None:
    """A partition: 10, 40 and 20 ms, of which the last only half of the items need."""
    line = fleet({1}, {2}, {3}, links=[(0, 1), (1, 2)])
    bound = capacity(line, demand(3, [0.01, 0.04, 0.02], [1.0, 0.5, 0.0]))
    assert bound.rate_per_s == pytest.approx(25.0, rel=EXACT)
    assert bound.binding == "worker 1 (100%)"
    used = {resource.name: resource.used for resource in bound.resources}
    assert used["worker 2"] == pytest.approx(0.25)


def test_of_a_balanced_pipeline_no_single_worker_is_worth_more() -> None:
    """Three workers of 20 ms bind together; of two shared blocks, each worker is worth its half."""
    line = fleet({1}, {2}, {3}, links=[(0, 1), (1, 2)])
    asked = demand(3, [0.02, 0.02, 0.02], [1.0, 1.0, 0.0])
    bound = capacity(line, asked)
    found = {one.name: gain for one, gain in gains(line, asked, bound).items()}
    assert found == {f"worker {n}": pytest.approx(0.0, abs=EXACT) for n in range(3)}

    pair = fleet({1, 2}, {1, 2}, links=[(0, 1)])
    shared = demand(2, [0.01, 0.03], [1.0, 0.0])
    worth = gains(pair, shared, capacity(pair, shared)).values()
    assert list(worth) == [pytest.approx(0.005), pytest.approx(0.005)]


def test_raw_data_at_the_source_bounds_a_mesh() -> None:
    """The first block alone takes 20 ms, whoever else is idle; offloaded, all four share it."""
    edges = [(n, m) for n in range(4) for m in range(n)]
    mesh = fleet(*[{1, 2}] * 4, links=edges)
    asked = demand(4, [0.02, 0.01], [0.5, 0.0])
    kept = capacity(mesh, asked)
    assert kept.rate_per_s == pytest.approx(50.0, rel=EXACT)
    assert kept.binding == "worker 0 (100%)"
    lifted = capacity(mesh, replace(asked, raw_stays=False))
    assert lifted.rate_per_s == pytest.approx(4 / 0.025, rel=EXACT)


def test_raw_data_leaves_a_source_that_does_not_host_the_first_block() -> None:
    pair = fleet({2}, {1}, links=[(0, 1)])
    assert capacity(pair, demand(2, [0.01, 0.02], [1.0, 0.0])).rate_per_s == pytest.approx(50.0)


def test_tasks_that_stay_cannot_spread() -> None:
    """DDI: an item keeps its worker. The link lets 20 raw items a second out, 20 ms each."""
    pair = fleet({1, 2}, {1, 2}, links=[(0, 1)], bps=160e3)
    asked = demand(2, [0.01, 0.01], [1.0, 0.0], 1000)
    free = replace(asked, raw_stays=False)
    assert capacity(pair, replace(free, tasks_stay=True)).rate_per_s == pytest.approx(70.0)
    cheap_features = replace(free, task_bytes={"none": [1000, 100]})
    assert capacity(pair, cheap_features).rate_per_s == pytest.approx(100.0)


def test_a_relay_carries_what_it_does_not_compute() -> None:
    """0 - 1 - 2, and only 2 has block 2: both links carry every item."""
    line = fleet({1}, set(), {2}, links=[(0, 1), (1, 2)], bps=80e3)
    bound = capacity(line, demand(3, [0.001, 0.001], [1.0, 0.0], 100))
    assert bound.rate_per_s == pytest.approx(100.0, rel=EXACT)
    assert bound.flows_per_s[0, 1, 2] == bound.flows_per_s[1, 2, 2] == pytest.approx(100.0)


def test_what_a_host_receives_may_have_to_stay() -> None:
    """A line of three that all can do everything: without relays only one neighbour helps."""
    line = fleet({1, 2}, {1, 2}, {1, 2}, links=[(0, 1), (1, 2)])
    asked = replace(demand(3, [0.01, 0.01], [1.0, 0.0]), raw_stays=False)
    assert capacity(line, asked).rate_per_s == pytest.approx(150.0, rel=EXACT)
    kept = capacity(line, replace(asked, received_stays=True))
    assert kept.rate_per_s == pytest.approx(150.0, rel=EXACT)
    one_block = replace(demand(3, [0.01], [0.0]), raw_stays=False)
    alone = fleet({1}, {1}, {1}, links=[(0, 1), (1, 2)])
    assert capacity(alone, one_block).rate_per_s == pytest.approx(300.0, rel=EXACT)
    kept = capacity(alone, replace(one_block, received_stays=True))
    assert kept.rate_per_s == pytest.approx(200.0, rel=EXACT)


def test_links_of_different_codecs_carry_different_sizes() -> None:
    links = {(0, 1): Link(80e3, codec="int8"), (1, 0): Link(80e3)}
    asked = Demand([[0.001, 0.001]] * 2, [1.0, 0.0], {"none": [400, 400], "int8": [400, 100]})
    pipeline = Fleet([frozenset({1}), frozenset({2})], links)
    assert capacity(pipeline, asked).rate_per_s == pytest.approx(100.0, rel=EXACT)


def test_a_block_without_a_host_has_rate_zero() -> None:
    assert capacity(fleet({1}), demand(1, [0.01, 0.01], [1.0, 0.0])).rate_per_s == 0.0


def test_a_program_without_a_limit_is_refused() -> None:
    with pytest.raises(UserError, match="has no bound"):
        capacity(fleet({1, 2}), demand(1, [0.0, 0.0], [0.5, 0.0]))


@settings(max_examples=60)
@given(
    st.integers(1, 5),
    st.lists(st.floats(0.001, 0.1), min_size=3, max_size=3),
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2),
    st.floats(1e4, 1e8),
    st.booleans(),
)
def test_the_bound_keeps_its_promises(
    workers: int, block_s: list[float], go_on: list[float], bps: float, raw_stays: bool
) -> None:
    """Shares sum to 1, no resource is overused, and it lies between one worker and all of them."""
    edges = [(n, m) for n in range(workers) for m in range(n)]
    mesh = fleet(*[{1, 2, 3}] * workers, links=edges, bps=bps)
    asked = replace(demand(workers, block_s, [*go_on, 0.0], 1000), raw_stays=raw_stays)
    bound = capacity(mesh, asked)
    item_s = block_s[0] + go_on[0] * (block_s[1] + go_on[1] * block_s[2])
    assert 1 / item_s <= bound.rate_per_s * (1 + 1e-6)
    assert bound.rate_per_s <= workers / item_s * (1 + 1e-6)
    assert sum(resource.share for resource in bound.resources) == pytest.approx(1.0)
    assert all(resource.used <= 1 + 1e-6 for resource in bound.resources)
