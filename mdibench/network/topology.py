"""Topologies: named graphs, generated graphs of any size, and shortest routes on them.

A topology is a directed graph over the ranks 0, 1, ...; an undirected edge is two directed ones.
Rank 0 is the source: the end of a line, the centre of a star, the root of a tree.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import networkx as nx

from mdibench.core.records import SOURCE

Graph: TypeAlias = "nx.DiGraph[int]"
SIZED = re.compile(r"([1-9][0-9]{0,3})-(mesh|circular)")


@dataclass(frozen=True, slots=True)
class NamedTopology:
    """A family of graphs for at least ``least`` ranks, or for ``exact`` ranks only."""

    name: str
    summary: str
    build: Callable[[int], Graph]
    least: int = 1
    exact: int | None = None

    def fits(self, ranks: int) -> bool:
        """Whether the family has a graph of this many ranks."""
        return ranks == self.exact if self.exact else ranks >= self.least


def full(ranks: int) -> Graph:
    """Every rank is a neighbour of every other."""
    graph: Graph = nx.complete_graph(ranks, nx.DiGraph)
    return graph


def circular(ranks: int) -> Graph:
    """A one-way ring 0 -> 1 -> ... -> 0 (with both ways, three ranks would be a mesh)."""
    graph: Graph = nx.cycle_graph(ranks, nx.DiGraph)
    return graph


def line(ranks: int) -> Graph:
    """0 - 1 - 2 - ..., both ways."""
    graph: Graph = nx.path_graph(ranks).to_directed()
    return graph


def star(ranks: int) -> Graph:
    """Every worker is a neighbour of the source only."""
    graph: Graph = nx.star_graph(ranks - 1).to_directed()
    return graph


def undirected(ranks: int, edges: Iterable[tuple[int, int]]) -> Graph:
    """A graph of all ranks with both directions of these edges."""
    both = [pair for one, other in edges for pair in ((one, other), (other, one))]
    return directed(ranks, both)


def directed(ranks: int, edges: Iterable[tuple[int, int]]) -> Graph:
    """A graph of all ranks with these directed edges."""
    graph: Graph = nx.DiGraph()
    graph.add_nodes_from(range(ranks))
    graph.add_edges_from(edges)
    return graph


TOPOLOGIES: Mapping[str, NamedTopology] = {
    topology.name: topology
    for topology in (
        NamedTopology("local", "one rank, alone", full, exact=1),
        NamedTopology("2-node", "two neighbours", full, exact=2),
        NamedTopology("3-mesh", "three neighbours of each other", full, exact=3),
        NamedTopology("3-circular", "three ranks, tasks go round one way", circular, exact=3),
        NamedTopology("5-mesh", "five neighbours of each other", full, exact=5),
        NamedTopology("full", "all ranks are neighbours", full),
        NamedTopology("circular", "tasks go round one way", circular, least=2),
        NamedTopology("line", "a chain that starts at the source", line),
        NamedTopology("star", "the source in the middle", star),
    )
}


def find(name: str) -> NamedTopology | None:
    """The topology of that name, ``7-mesh`` and ``4-circular`` included; None if unknown."""
    sized = SIZED.fullmatch(name)
    if name in TOPOLOGIES or sized is None:
        return TOPOLOGIES.get(name)
    family = full if sized[2] == "mesh" else circular
    return NamedTopology(name, f"{sized[1]} ranks", family, exact=int(sized[1]))


def cut_off(graph: Graph) -> tuple[list[int], list[int]]:
    """Ranks that tasks cannot reach from the source, and those whose results cannot return."""
    reached = nx.descendants(graph, SOURCE) | {SOURCE}
    returning = nx.ancestors(graph, SOURCE) | {SOURCE}
    return sorted(set(graph) - reached), sorted(set(graph) - returning)


# --- generated topologies ------------------------------------------------------------------------
# ``degree`` is the approximate number of neighbours of a rank.

REWIRED = 0.1
"""Probability of rewiring an edge of a small world (Watts and Strogatz, 1998)."""

GROWTH = 1.1
"""Factor by which the range of a geometric graph grows until it is connected."""

Edge = tuple[int, int]


def grid(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """A grid as square as possible, the last row perhaps shorter; up to four neighbours."""
    width = max(1, math.isqrt(ranks))
    aside = ((n, n + 1) for n in range(ranks - 1) if (n + 1) % width)
    below = ((n, n + width) for n in range(ranks - width))
    return undirected(ranks, (*aside, *below))


def tree(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """The source is the root, and each rank has ``degree`` children until the ranks run out."""
    return nx.full_rary_tree(degree, ranks).to_directed()


def small_world(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """A ring of near neighbours in which some edges are rewired at random."""
    near = min(max(2, degree - degree % 2), ranks - 1)
    if ranks < 4:
        return undirected(ranks, ((n, m) for m in range(ranks) for n in range(m)))
    graph = nx.connected_watts_strogatz_graph(ranks, near, REWIRED, tries=1000, seed=seed)
    return undirected(ranks, ((int(n), int(m)) for n, m in graph.edges))


def geometric(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """Ranks at random places of a square; those within range are neighbours.

    The range gives ``degree`` neighbours on average, and grows until the graph is connected.
    """
    generator = random.Random(seed)
    places = [(generator.random(), generator.random()) for _ in range(ranks)]
    reach = math.sqrt(degree / (math.pi * ranks))
    while True:
        graph = undirected(ranks, _in_range(places, reach))
        if nx.is_strongly_connected(graph):
            return graph
        reach *= GROWTH


def _in_range(places: list[tuple[float, float]], reach: float) -> Iterator[Edge]:
    for n, one in enumerate(places):
        for m in range(n):
            if math.dist(one, places[m]) <= reach:
                yield m, n


GENERATORS: Mapping[str, Callable[[int, int, int], Graph]] = {
    "grid": grid,
    "tree": tree,
    "small-world": small_world,
    "geometric": geometric,
}
"""Name -> generator of a graph from (ranks, degree, seed)."""


# --- routes: shortest paths in hops --------------------------------------------------------------


def next_hops(
    graph: Graph, blocks: Sequence[frozenset[int]], exits: int
) -> tuple[dict[int, tuple[int, ...]], ...]:
    """For each rank n, block -> the neighbours to which n may send its task.

    Those are the neighbours that host the block or, if none does, those on a shortest path to a
    host other than n; none if n alone hosts it.
    """
    hops: tuple[dict[int, tuple[int, ...]], ...] = tuple({} for _ in blocks)
    backwards = graph.reverse()
    for block in range(1, exits + 1):
        hosts = {rank for rank, held in enumerate(blocks) if block in held}
        distance = _distances(backwards, hosts)
        for rank in range(len(blocks)):
            others = distance
            if rank in hosts and not any(m in hosts for m in graph.successors(rank)):
                others = _distances(backwards, hosts - {rank})
            hops[rank][block] = _nearest(graph, rank, others)
    return hops


def toward_source(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """For each rank, the neighbours on a shortest path to the source; none for the source."""
    distance = _distances(graph.reverse(), {SOURCE})
    return tuple(
        () if rank == SOURCE else _nearest(graph, rank, distance) for rank in sorted(graph)
    )


def _distances(backwards: Graph, targets: Iterable[int]) -> dict[int, int]:
    """Hops from each rank to the nearest of ``targets``, against the direction of the edges."""
    layers = nx.bfs_layers(backwards, sorted(targets))
    return {rank: hops for hops, layer in enumerate(layers) for rank in layer}


def _nearest(graph: Graph, rank: int, distance: dict[int, int]) -> tuple[int, ...]:
    """The neighbours of ``rank`` with the least distance, ascending."""
    ways = [(distance[m], m) for m in graph.successors(rank) if m in distance]
    least = min(ways, default=(0, 0))[0]
    return tuple(sorted(m for hops, m in ways if hops == least))
