"""The packaged sweeps: complete matrices, a valid plan for every cell, and short quick forms."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mdibench.models.registry import network_info
from mdibench.network.planning import make_plan
from mdibench.policy.schemes import SCHEMES
from mdibench.sweep.matrix import Matrix, read_matrix
from mdibench.sweep.sweep import GUESSED_OVERHEAD_S
from tests.network.examples import FIVE

CONFIGS = Path(__file__).parents[2] / "bench_configs"
FOLDER = CONFIGS / "paper"
pytestmark = pytest.mark.slow
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
CIFAR10 = sorted(path.stem for path in (CONFIGS / "cifar10").glob("*.toml"))
TOPOLOGIES = ["Local", "2-Node", "3-Node-Mesh", "3-Node-Circular", "5-Node-Mesh"]


@cache
def load(name: str) -> Matrix:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    return read_matrix(text, f"{name}.toml")


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_emulated_and_has_a_plan(name: str) -> None:
    for cell in load(name).cells:
        assert cell.emulated
        plan = make_plan(cell.config, cell.ranks, FIVE)
        assert all(device is not None for device in plan.devices)
        assert all(link.emulated for link in plan.links.values())


@pytest.mark.parametrize("name", ["fixed_accuracy", "fixed_rate"])
@pytest.mark.parametrize("form", ["", "_quick"])
def test_the_papers_experiments_cover_five_topologies_and_all_schemes(name: str, form: str) -> None:
    cells = load(name + form).cells
    covered = {(cell.label.split(", ")[0], cell.config.scheme.name) for cell in cells}
    assert covered == {(place, scheme) for place in TOPOLOGIES for scheme in SCHEMES}


@pytest.mark.parametrize("name", ["fixed_accuracy", "fixed_rate"])
def test_five_repeats_and_more_where_it_counts(name: str) -> None:
    assert load(name).sweep.repeats >= 5


@pytest.mark.parametrize("name", ["fixed_accuracy_quick", "fixed_rate_quick"])
def test_a_quick_one_takes_less_than_five_minutes(name: str) -> None:
    matrix = load(name)
    jobs = 2  # as its own command says
    runs = [cell.config.run.admission_end_s + GUESSED_OVERHEAD_S for cell in matrix.cells]
    assert "--jobs 2" in (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert sum(runs) * matrix.sweep.repeats / jobs < 0.75 * 300


@pytest.mark.parametrize("name", NAMES)
def test_every_key_has_a_comment_and_lines_are_short(name: str) -> None:
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    head = text.partition("\n[run]")[0]
    assert f"mdibench sweep bench_configs/paper/{name}.toml" in head
    assert f"mdibench report results/{load(name).base.run.name}" in head
    assert all(len(line) <= 100 for line in text.splitlines())


@pytest.mark.parametrize("name", CIFAR10)
def test_those_on_cifar10_fit_their_networks(name: str) -> None:
    text = (CONFIGS / "cifar10" / f"{name}.toml").read_text(encoding="utf-8")
    matrix = read_matrix(text, f"{name}.toml")
    head = text.partition("\n[run]")[0]
    assert f"mdibench sweep bench_configs/cifar10/{name}.toml" in head
    assert f"mdibench report results/{matrix.base.run.name}" in head
    assert all(len(line) <= 100 for line in text.splitlines())
    for cell in matrix.cells:
        make_plan(cell.config, cell.ranks, network_info(cell.config.model))


@pytest.mark.parametrize("network", ["mobilenetv2", "resnet20", "resnet50"])
@pytest.mark.parametrize("experiment", ["fixed_accuracy", "fixed_rate"])
def test_both_experiments_exist_for_both_networks(network: str, experiment: str) -> None:
    assert f"{network}_{experiment}" in CIFAR10
