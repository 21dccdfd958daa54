"""Named topologies: which sizes fit, and which edges they have."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.network import topology


def edges(name: str, ranks: int) -> set[tuple[int, int]]:
    named = topology.find(name)
    assert named is not None
    assert named.fits(ranks)
    return set(named.build(ranks).edges)


def both(*pairs: tuple[int, int]) -> set[tuple[int, int]]:
    return {way for one, other in pairs for way in ((one, other), (other, one))}


@pytest.mark.parametrize(
    ("name", "ranks", "expected"),
    [
        ("local", 1, set()),
        ("full", 1, set()),
        ("2-node", 2, both((0, 1))),
        ("3-mesh", 3, both((0, 1), (0, 2), (1, 2))),
        ("3-circular", 3, {(0, 1), (1, 2), (2, 0)}),
        ("4-circular", 4, {(0, 1), (1, 2), (2, 3), (3, 0)}),
        ("circular", 2, both((0, 1))),
        ("line", 4, both((0, 1), (1, 2), (2, 3))),
        ("star", 4, both((0, 1), (0, 2), (0, 3))),
        ("4-mesh", 4, edges("full", 4)),
        ("5-mesh", 5, edges("full", 5)),
    ],
)
def test_edges(name: str, ranks: int, expected: set[tuple[int, int]]) -> None:
    assert edges(name, ranks) == expected


def test_a_ring_that_goes_one_way_is_not_the_mesh_of_three() -> None:
    assert edges("3-circular", 3) < edges("3-mesh", 3)


@given(st.sampled_from(sorted(topology.TOPOLOGIES)), st.integers(1, 12))
def test_whatever_fits_is_connected_both_ways(name: str, ranks: int) -> None:
    named = topology.TOPOLOGIES[name]
    if named.fits(ranks):
        graph = named.build(ranks)
        assert sorted(graph) == list(range(ranks))
        assert nx.is_strongly_connected(graph)
        assert not any(one == other for one, other in graph.edges)


@pytest.mark.parametrize("name", ["", "mesh", "0-mesh", "99999-mesh", "3-ring", "full "])
def test_unknown_names(name: str) -> None:
    assert topology.find(name) is None


def test_ranks_that_are_cut_off() -> None:
    graph = topology.directed(4, [(0, 1), (1, 0), (0, 2)])
    assert topology.cut_off(graph) == ([3], [2, 3])
