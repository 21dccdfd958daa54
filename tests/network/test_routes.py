"""Every task reaches a host and every result the source, by shortest paths."""

from __future__ import annotations

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from mdibench.network.topology import (
    Graph,
    circular,
    directed,
    line,
    next_hops,
    toward_source,
    undirected,
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Graph, list[frozenset[int]], int]:
    """A strongly connected graph (a ring in some order and more edges), and hosts of each block."""
    ranks, exits = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    order = draw(st.permutations(range(ranks)))
    ring = [(one, order[(i + 1) % ranks]) for i, one in enumerate(order)] if ranks > 1 else []
    pair = st.tuples(st.integers(0, ranks - 1), st.integers(0, ranks - 1))
    more = [(one, other) for one, other in draw(st.lists(pair, max_size=12)) if one != other]
    blocks: list[set[int]] = [set() for _ in range(ranks)]
    for block in range(1, exits + 1):
        for host in draw(st.sets(st.integers(0, ranks - 1), min_size=1)):
            blocks[host].add(block)
    return directed(ranks, ring + more), [frozenset(held) for held in blocks], exits


@given(worlds())
def test_every_route_is_a_shortest_path_to_another_host(
    world: tuple[Graph, list[frozenset[int]], int],
) -> None:
    graph, blocks, exits = world
    hops = next_hops(graph, blocks, exits)
    for rank in graph:
        lengths = nx.single_source_shortest_path_length(graph, rank)
        for block in range(1, exits + 1):
            others = [n for n in graph if block in blocks[n] and n != rank]
            ways = hops[rank][block]
            if not others:
                assert ways == ()
                continue
            nearest = min(lengths[n] for n in others)
            assert ways
            for way in ways:
                assert graph.has_edge(rank, way)
                from_way = nx.single_source_shortest_path_length(graph, way)
                assert min(from_way[n] for n in others) == nearest - 1
            direct = tuple(m for m in sorted(graph.successors(rank)) if block in blocks[m])
            assert not direct or ways == direct


@given(worlds())
def test_a_task_arrives_by_any_choice_of_relays(
    world: tuple[Graph, list[frozenset[int]], int],
) -> None:
    graph, blocks, exits = world
    hops = next_hops(graph, blocks, exits)
    for block in range(1, exits + 1):
        for start in graph:
            places = set(hops[start][block])
            for _ in graph:
                places = {m for n in places if block not in blocks[n] for m in hops[n][block]}
            assert not places


@given(worlds())
def test_results_reach_the_source(world: tuple[Graph, list[frozenset[int]], int]) -> None:
    graph, _, _ = world
    ways = toward_source(graph)
    for rank in graph:
        length = int(nx.shortest_path_length(graph, rank, 0))
        places = {rank}
        for _ in range(length):
            assert all(graph.has_edge(place, way) for place in places for way in ways[place])
            places = {way for place in places for way in ways[place]}
        assert places == {0}


def test_a_line_by_hand() -> None:
    blocks = [frozenset({1}), frozenset[int](), frozenset({2}), frozenset({1, 2})]
    assert next_hops(line(4), blocks, 2) == (
        {1: (1,), 2: (1,)},
        {1: (0,), 2: (2,)},
        {1: (3,), 2: (3,)},
        {1: (2,), 2: (2,)},
    )
    assert toward_source(line(4)) == ((), (0,), (1,), (2,))


def test_a_ring_by_hand() -> None:
    blocks = [frozenset({1}), frozenset({2}), frozenset({3})]
    hops = next_hops(circular(3), blocks, 3)
    assert hops == ({1: (), 2: (1,), 3: (1,)}, {1: (2,), 2: (), 3: (2,)}, {1: (0,), 2: (0,), 3: ()})
    assert toward_source(circular(3)) == ((), (2,), (0,))


def test_results_have_a_choice_of_shortest_paths() -> None:
    diamond = undirected(4, [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert toward_source(diamond) == ((), (0,), (0,), (1, 2))
