"""Costs per item, by hand and by conservation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.policy.schemes import SCHEMES
from mdibench.report.plan_text import Expectation, expect
from tests.network.examples import FIVE, model_of, planned

THREE = model_of(1.0, 2.0, 4.0, flops=10, output_bytes=100)


def expected(text: str, ranks: int, scheme: str, raw: bool = False) -> Expectation:
    plan = planned(f'scheme.name = "{scheme}"\n{text}', ranks, THREE)
    return expect(plan, THREE, SCHEMES[scheme], raw or SCHEMES[scheme].offers_raw)


def test_local_stays_at_home() -> None:
    cost = expected("", 3, "local")
    assert cost.seconds == (7.0, 0.0, 0.0)
    assert cost.flops == (30.0, 0.0, 0.0)
    assert cost.link_bytes == {}


def test_a_pipeline_sends_each_feature_map_once() -> None:
    cost = expected('topology.name = "line"\ntransport.codec = "int8"', 3, "mdi")
    assert cost.seconds == (1.0, 2.0, 4.0)
    assert cost.link_tasks == {(0, 1): 1.0, (1, 2): 1.0}
    assert cost.link_bytes == {(0, 1): 25.0, (1, 2): 25.0}


def test_relays_carry_a_task_twice() -> None:
    cost = expected(
        'topology.name = "line"\nplacement.blocks = {0 = [1], 2 = [2, 3]}', 3, "mdi-exit"
    )
    assert cost.link_tasks == {(0, 1): 1.0, (1, 2): 1.0}
    assert cost.bytes_per_item == 200.0


def test_ddi_ships_raw_items_evenly_and_nothing_else() -> None:
    cost = expected("", 4, "ddi")
    assert cost.seconds == (1.75,) * 4
    assert cost.link_bytes == {(0, n): 3072 / 4 for n in (1, 2, 3)}


def test_the_source_runs_first_blocks_unless_it_may_offer_them() -> None:
    here = expected("placement.replicate = true", 2, "mdi-exit")
    assert here.computed[0] == {1: 1.0, 2: 0.5, 3: 0.5}
    assert here.link_tasks == {(0, 1): 0.75, (1, 0): 0.25}
    offered = expected("placement.replicate = true", 2, "mdi-exit", raw=True)
    assert offered.computed == ({1: 0.5, 2: 0.5, 3: 0.5},) * 2


def test_seconds_of_emulated_devices() -> None:
    cost = expected('emulation = {device = "d", devices.d.block_ms = [1, 2, 3]}', 1, "local")
    assert cost.seconds == pytest.approx((0.006,))


@given(
    st.integers(2, 6),
    st.sampled_from(["full", "circular", "line", "star"]),
    st.sampled_from(["partition = true", "copies = 2", "replicate = true"]),
    st.sampled_from(sorted(SCHEMES)),
    st.booleans(),
)
def test_every_block_is_computed_once_by_hosts(
    ranks: int, name: str, way: str, scheme: str, raw: bool
) -> None:
    text = f'topology.name = "{name}"\nplacement.{way}\nscheme.name = "{scheme}"'
    plan = planned(text, ranks)
    cost = expect(plan, FIVE, SCHEMES[scheme], raw)
    for block in range(1, 6):
        shares = [done.get(block, 0.0) for done in cost.computed]
        assert sum(shares) == pytest.approx(1.0)
        assert all(block in plan.blocks[n] for n, share in enumerate(shares) if share)
    for rank, other in cost.link_tasks:
        assert other in plan.neighbours[rank]
    assert sum(cost.seconds) == pytest.approx(5.0)
