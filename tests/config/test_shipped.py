"""The packaged configs: valid for two ranks or more, with a comment on every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.config.reading import load_config
from mdibench.network.planning import make_plan
from mdibench.simulation.scenario import load_scenario
from tests.network.examples import FIVE

FOLDER = Path(__file__).parents[2] / "bench_configs"
CONFIGS = ["fixed_acc", "fixed_rate", "smoke"]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("ranks", [2, 3, 4, 7])
def test_plans_for_any_number_of_ranks(name: str, ranks: int) -> None:
    config = load_config(FOLDER / f"{name}.toml")
    assert config.run.name == name
    plan = make_plan(config, ranks, FIVE)
    assert all(len(plan.hosts(block)) == 2 for block in range(1, 6))
    assert not any(link.emulated for link in plan.links.values())


@pytest.mark.parametrize("name", [*CONFIGS, "fleet"])
def test_every_key_has_a_comment_and_lines_are_short(name: str) -> None:
    for line in (FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        assert len(line) <= 100
        if line and line[0] not in "#[":
            assert len(line.partition("  #")[2] or line.partition(" # ")[2]) > 10


def test_the_simulated_fleet() -> None:
    scenario = load_scenario(FOLDER / "fleet.toml", workers=100)
    assert scenario.plan.ranks == 100
    neighbours = scenario.plan.neighbours[0]
    assert {event.rank for event in scenario.config.events} - {None} <= set(neighbours)
    assert {device.name.split()[0] for device in scenario.plan.devices if device} == {
        "raspberry-pi-4", "jetson-nano", "jetson-orin-nano",
    }  # fmt: skip


def test_the_admission_mode_of_each() -> None:
    modes = {name: load_config(FOLDER / f"{name}.toml").admission.mode for name in CONFIGS}
    assert modes == {
        "fixed_acc": "adapt-rate",
        "fixed_rate": "adapt-threshold",
        "smoke": "fixed-rate",
    }
    assert load_config(FOLDER / "fixed_rate.toml").admission.arrivals == "poisson"
    smoke = load_config(FOLDER / "smoke.toml").run
    assert smoke.warmup_s + smoke.duration_s < 3
