"""Optimised placements against every placement that there is, and lines for bad input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from mdibench.assembly.workload import plan_of
from mdibench.bounds.optimised_placement import figures, memory_bytes, weight_bytes
from mdibench.config.reading import parse_config
from mdibench.config.schema import RunConfig
from mdibench.errors import UserError
from mdibench.network.placement import Blocks
from mdibench.network.plan import BlockInfo, ModelInfo, Plan
from mdibench.network.planning import make_plan

CONFIG = """
scheme.name = "pressure"
topology.edges = [[0, 1], [1, 2]]
placement.go_on = [0.6, 0.5]
placement.optimise = "{goal}"
emulation.link = "wifi-5ghz"
emulation.device = ["small", "large", "large"]
emulation.devices.small = {{ block_ms = [4, 6, 5], memory_mb = {memory} }}
emulation.devices.large = {{ block_ms = [2, 3, 2.5], memory_mb = 2.5 }}
"""
WEIGHTS = (100_000, 300_000, 250_000)
"""Parameters: 0.38, 1.14 and 0.95 MiB."""
MODEL = ModelInfo(
    "example",
    10,
    (1, 8, 8),
    1024,
    tuple(BlockInfo(1_000_000, weights, (8, 8, 8), 8000) for weights in WEIGHTS),
)


def config_for(goal: str, memory: float = 1.2) -> RunConfig:
    return parse_config(CONFIG.format(goal=goal, memory=memory), "c.toml")


def every_placement(config: RunConfig) -> Iterator[Plan]:
    """All plans in which each block has a host and the weights fit."""
    plan = make_plan(config, 3, MODEL)
    subsets = [frozenset(k for k in (1, 2, 3) if bits >> k - 1 & 1) for bits in range(8)]
    for blocks in product(subsets, repeat=3):
        if frozenset().union(*blocks) == {1, 2, 3} and fits(plan, blocks):
            yield replace(plan, blocks=blocks)


def fits(plan: Plan, blocks: Blocks) -> bool:
    return all(
        sum(weight_bytes(MODEL, k) for k in held) <= memory_bytes(plan, rank)
        for rank, held in enumerate(blocks)
    )


def test_no_placement_has_a_higher_rate() -> None:
    config = config_for("rate")
    best = max(figures(config, plan, MODEL).rate_per_s for plan in every_placement(config))
    found = plan_of(config, 3, MODEL)
    assert fits(found, found.blocks)
    assert figures(config, found, MODEL).rate_per_s == pytest.approx(best, rel=2e-3)


def test_no_placement_lets_an_item_end_sooner() -> None:
    config = config_for("latency")
    best = min(figures(config, plan, MODEL).latency_s for plan in every_placement(config))
    found = plan_of(config, 3, MODEL)
    assert fits(found, found.blocks)
    assert figures(config, found, MODEL).latency_s == pytest.approx(best, rel=2e-3)


def test_a_latency_by_hand() -> None:
    """All on rank 0: 4 + 0.6 (6 + 0.5 x 5) = 9.1 ms, and nothing crosses a link."""
    config = config_for("latency", memory=9)
    plan = replace(
        make_plan(config, 3, MODEL), blocks=(frozenset({1, 2, 3}), frozenset(), frozenset())
    )
    assert figures(config, plan, MODEL).latency_s == pytest.approx(9.1e-3)


def test_weights_that_fit_nowhere_are_one_line() -> None:
    crowded = replace(MODEL, blocks=(*MODEL.blocks[:2], replace(MODEL.blocks[2], parameters=10**6)))
    with pytest.raises(UserError) as failure:
        plan_of(config_for("rate"), 3, crowded)
    (line,) = str(failure.value).splitlines()
    assert line.startswith("c.toml:5: placement.optimise: no placement fits: the blocks need 0.381")


def test_devices_of_unknown_memory_are_one_line() -> None:
    config = parse_config("placement.optimise = 'rate'", "c.toml")
    with pytest.raises(UserError) as failure:
        plan_of(config, 2, MODEL)
    (line,) = str(failure.value).splitlines()
    assert line.startswith("c.toml:1: placement.optimise: the memory of rank 0 is unknown")


def test_shares_of_another_number_of_exits_are_one_line() -> None:
    config = parse_config("placement.go_on = [0.5]", "c.toml")
    with pytest.raises(UserError, match=r'1 share for the 3 exits of "example"'):
        plan_of(config, 2, MODEL)
