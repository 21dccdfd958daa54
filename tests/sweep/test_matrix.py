"""The matrix of a sweep: which cells its axes make, and one line for each mistake."""

from __future__ import annotations

import pytest
import tomli

from mdibench.errors import UserError
from mdibench.sweep.matrix import read_matrix, shuffled_cells, toml

BASE = """
[run]
name = "trial"
[topology]
name = "2-node"
[sweep]
repeats = 2
"""


def matrix(axes: str, base: str = BASE, overrides: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """Label and ranks of each cell."""
    read = read_matrix(base + axes, "sweep.toml", overrides)
    return [(cell.label, cell.ranks) for cell in read.cells]


def problems(axes: str, base: str = BASE) -> list[str]:
    """The message for a mistake."""
    with pytest.raises(UserError) as caught:
        read_matrix(base + axes, "sweep.toml")
    return [str(problem) for problem in caught.value.problems]


def test_every_combination_is_a_cell() -> None:
    axes = """
[sweep.axes]
"scheme.name" = ["local", "mdi-exit"]
"scheme.threshold" = [0.5, 0.8]
"""
    assert matrix(axes) == [
        ("local, 0.5", 2),
        ("local, 0.8", 2),
        ("mdi-exit, 0.5", 2),
        ("mdi-exit, 0.8", 2),
    ]


def test_a_cell_has_the_values_of_its_axes_and_its_label() -> None:
    axes = '[sweep.axes]\n"scheme.name" = ["ddi"]\n"admission.interarrival_s" = [0.01]\n'
    (cell,) = read_matrix(BASE + axes, "sweep.toml", ("run.seed=7",)).cells
    assert cell.overrides == (
        "run.seed=7",
        'scheme.name="ddi"',
        "admission.interarrival_s=0.01",
        'run.label="ddi, 0.01"',
    )
    assert cell.config.scheme.name == "ddi"
    assert cell.config.admission.interarrival_s == 0.01
    assert cell.config.run.label == "ddi, 0.01"
    assert cell.config.run.seed == 7
    assert cell.name == "ddi-0.01"


def test_a_table_sets_several_keys_and_the_world_size() -> None:
    axes = """
[sweep.axes]
topology = [
  {label = "small", "topology.name" = "2-node"},
  {label = "line of 4", ranks = 4, "topology.name" = "line", "placement.copies" = 2},
]
"""
    assert matrix(axes) == [("small", 2), ("line of 4", 4)]


@pytest.mark.parametrize(
    "axes",
    ['"scheme.name" = ["ddi", "mdi"]', 'scheme.name = ["ddi", "mdi"]', 'x = [{scheme.name="ddi"},'
     '{"scheme.name"="mdi"}]'],
)  # fmt: skip
def test_keys_may_be_written_with_and_without_quotes(axes: str) -> None:
    assert matrix(f"[sweep.axes]\n{axes}\n") == [("ddi", 2), ("mdi", 2)]


def test_ranks_can_be_an_axis() -> None:
    base = BASE.replace('"2-node"', '"full"')
    assert matrix("[sweep.axes]\nranks = [2, 5]\n", base) == [("2 ranks", 2), ("5 ranks", 5)]


def test_the_order_is_shuffled_anew_in_every_repeat_and_always_the_same() -> None:
    axes = f'[sweep.axes]\n"run.sample_s" = {[n / 10 for n in range(1, 30)]}\n'
    read = read_matrix(BASE + axes, "sweep.toml")
    first, second = shuffled_cells(read, 1), shuffled_cells(read, 2)
    assert first != second
    assert shuffled_cells(read_matrix(BASE + axes, "sweep.toml"), 1) == first
    assert sorted(c.label for c in first) == sorted(c.label for c in second)


def test_the_digest_is_that_of_the_base_alone() -> None:
    one = read_matrix(BASE + '[sweep.axes]\n"scheme.name" = ["ddi"]\n', "a.toml")
    other = read_matrix(BASE + '[sweep.axes]\n"scheme.name" = ["mdi"]\n', "b.toml", ("run.seed=2",))
    moved = read_matrix(
        BASE + '[sweep.axes]\n"scheme.name" = ["mdi"]\n', "b.toml", ("run.results=elsewhere",)
    )
    assert one.digest == moved.digest != other.digest


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ('"scheme.name" = []', "sweep.toml:9: sweep.axes.\"scheme.name\": this axis has no values"),
        ('"scheme.name" = "ddi"', "an axis is a list of values"),
        ('"scheme.nam" = ["ddi"]', "sweep.toml:9: sweep.axes.\"scheme.nam\": "),
        ('"scheme.name" = ["ddi", "dii"]', 'unknown scheme "dii"; did you mean'),
        ('"scheme.threshold" = [1.5]', "1.5 is out of range"),
        ('scheme = ["ddi"]', '"scheme" is not a config key'),
        ('"scheme.name" = ["ddi", "ddi"]', 'two cells are called "ddi"'),
        ('a = [{label = "x", ranks = 0}]', "ranks = 0; give a whole number"),
        ('"scheme.name" = ["ddi"]\nb = [{"scheme.name" = "mdi"}]', "is set by the axis"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_axis_is_one_line(axes: str, expected: str) -> None:
    (said,) = problems(f"[sweep.axes]\n{axes}\n")
    assert expected in said
    assert "\n" not in said


def test_all_mistakes_are_reported_at_once_and_each_once() -> None:
    said = problems('[sweep.axes]\n"scheme.name" = ["dii", "ddi"]\n"scheme.threshold" = [2, 0.5]\n')
    assert len(said) == 2


def test_a_config_without_axes_is_no_sweep() -> None:
    assert "there are no axes" in problems("")[0]
    assert "there is no [sweep]" in problems("", '[run]\nname = "x"\n')[0]


def test_a_topology_that_fits_any_world_needs_ranks() -> None:
    base = BASE.replace('"2-node"', '"full"')
    said = problems('[sweep.axes]\n"scheme.name" = ["ddi"]\n', base)
    assert said == [
        'sweep.toml:6: sweep: how many ranks does "ddi" need?; give ranks = N in [sweep]'
    ]


def test_values_become_toml_and_come_back() -> None:
    value = {"a": [1, 2.5, True, 'x " y'], "b": {"c": "é"}}
    assert tomli.loads(f"value = {toml(value)}")["value"] == value
