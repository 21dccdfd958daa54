"""Generated topologies: connected, seeded, and of the documented shape."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.network.topology import GENERATORS, Graph, geometric, grid, small_world, tree
from tests.network.examples import planned


@given(
    st.sampled_from(sorted(GENERATORS)), st.integers(1, 30), st.integers(1, 6), st.integers(0, 99)
)
def test_connected_both_ways_and_the_same_for_the_same_seed(
    name: str, ranks: int, degree: int, seed: int
) -> None:
    graph = GENERATORS[name](ranks, degree, seed)
    assert sorted(graph) == list(range(ranks))
    assert nx.is_strongly_connected(graph)
    assert all(graph.has_edge(m, n) and n != m for n, m in graph.edges)
    assert set(graph.edges) == set(GENERATORS[name](ranks, degree, seed).edges)


def both(*pairs: tuple[int, int]) -> set[tuple[int, int]]:
    return {way for one, other in pairs for way in ((one, other), (other, one))}


def test_a_grid_by_hand() -> None:
    expected = both((0, 1), (2, 3), (0, 2), (1, 3), (2, 4))
    assert set(grid(5).edges) == expected


def test_a_tree_by_hand() -> None:
    assert set(tree(6, 2).edges) == both((0, 1), (0, 2), (1, 3), (1, 4), (2, 5))


@pytest.mark.parametrize("build", [small_world, geometric])
def test_seeds_draw_different_graphs_of_about_the_degree(
    build: Callable[[int, int, int], Graph],
) -> None:
    one, other = (build(60, 6, seed) for seed in (1, 2))
    assert set(one.edges) != set(other.edges)
    assert 4 <= len(one.edges) / 60 <= 14


def test_a_config_can_ask_for_them() -> None:
    text = 'topology = {name = "small-world", degree = 2, seed = 3}\nplacement.copies = 2'
    plan = planned(text, 9)
    assert plan.topology == "small-world"
    assert plan == planned(text, 9)
    assert plan.next_hops != planned(text.replace("seed = 3", "seed = 4"), 9).next_hops
