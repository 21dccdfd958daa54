"""Heterogeneous fleets: devices drawn or by distance, speeds and rates spread around a median."""

from __future__ import annotations

import json
import math
from collections import Counter
from statistics import median, stdev

import pytest

from mdibench.network.plan import Plan
from mdibench.network.planning import plan_facts
from tests.network.examples import model_of, planned, refused

LARGE = 'topology = {name = "small-world", seed = 3}\nplacement.replicate = true\n'


def names(plan: Plan) -> list[str]:
    return [device.name for device in plan.devices if device]


def test_devices_are_drawn_by_weight_from_the_topologys_seed() -> None:
    text = LARGE + "emulation.drawn = {jetson-nano = 3, raspberry-pi-4 = 1}"
    drawn = Counter(names(planned(text, 400)))
    assert set(drawn) == {"jetson-nano", "raspberry-pi-4"}
    assert drawn["jetson-nano"] / 400 == pytest.approx(0.75, abs=0.06)
    assert names(planned(text, 400)) == names(planned(text, 400))
    assert names(planned(text, 400)) != names(planned(text.replace("seed = 3", "seed = 4"), 400))


def test_tiers_are_devices_by_distance_from_the_source() -> None:
    text = """topology = {name = "tree", degree = 2}
emulation.tiers = ["raspberry-pi-4", "jetson-nano", "generic"]"""
    plan = planned(text, 15)
    assert names(plan) == ["raspberry-pi-4", *["jetson-nano"] * 2, *["generic"] * 12]


def test_speeds_spread_around_the_devices_own() -> None:
    text = LARGE + 'emulation = {device = "generic", speed_spread = 0.5}'
    plan = planned(text, 400, model_of(1.0, flops=10_000_000))
    times = [math.log(device.block_s[0] / 0.002) for device in plan.devices if device]
    assert median(times) == pytest.approx(0.0, abs=0.1)
    assert stdev(times) == pytest.approx(0.5, abs=0.05)
    facts = plan_facts(plan)
    profiles = facts["device_profiles"]
    assert [profiles[name]["block_s"][0] for name in facts["devices"]] == pytest.approx(
        [device.block_s[0] for device in plan.devices if device]
    )
    assert json.loads(json.dumps(facts)) == facts


def test_rates_spread_alike_in_both_directions_of_an_edge() -> None:
    text = LARGE + 'emulation = {link = "ethernet-1g", rate_spread = 0.3}'
    links = planned(text, 200).links
    factors = {pair: (link.bandwidth_bps or 0) / 941e6 for pair, link in links.items()}
    assert all(factors[n, m] == factors[m, n] for n, m in factors)
    assert stdev(map(math.log, factors.values())) == pytest.approx(0.3, abs=0.04)


def test_ways_to_choose_devices_exclude_each_other() -> None:
    text = 'emulation = {device = "generic", tiers = ["generic"]}'
    (line,) = refused(text, 2)
    assert "device and tiers exclude each other" in line
