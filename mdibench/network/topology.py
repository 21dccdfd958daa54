"""Who may send tasks to whom: named topologies for any number of ranks that fits.

A topology is a directed graph over the ranks 0, 1, ...; an undirected edge is two directions.
Rank 0, the source, is the end of a line and the centre of a star.
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
    """A family of graphs. ``exact`` is the only number of ranks that fits, where there is one."""

    name: str
    summary: str
    build: Callable[[int], Graph]
    least: int = 1
    exact: int | None = None

    def fits(self, ranks: int) -> bool:
        """Whether there is such a graph of this many ranks."""
        return ranks == self.exact if self.exact else ranks >= self.least


def full(ranks: int) -> Graph:
    """Everybody is everybody's neighbour."""
    graph: Graph = nx.complete_graph(ranks, nx.DiGraph)
    return graph


def circular(ranks: int) -> Graph:
    """Tasks go round one way only, 0 -> 1 -> ... -> 0 (both ways, three would be a mesh)."""
    graph: Graph = nx.cycle_graph(ranks, nx.DiGraph)
    return graph


def line(ranks: int) -> Graph:
    """0 - 1 - 2 - ..., both ways."""
    graph: Graph = nx.path_graph(ranks).to_directed()
    return graph


def star(ranks: int) -> Graph:
    """The source in the middle, everybody else around it."""
    graph: Graph = nx.star_graph(ranks - 1).to_directed()
    return graph


def undirected(ranks: int, edges: Iterable[tuple[int, int]]) -> Graph:
    """A graph of all ranks in which every edge leads both ways."""
    both = [pair for one, other in edges for pair in ((one, other), (other, one))]
    return directed(ranks, both)


def directed(ranks: int, edges: Iterable[tuple[int, int]]) -> Graph:
    """A graph of all ranks with these edges."""
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
        NamedTopology("full", "everybody is everybody's neighbour", full),
        NamedTopology("circular", "tasks go round one way", circular, least=2),
        NamedTopology("line", "a chain that starts at the source", line),
        NamedTopology("star", "the source in the middle", star),
    )
}


def find(name: str) -> NamedTopology | None:
    """The topology of that name, ``7-mesh`` and ``4-circular`` included; None for an unknown."""
    sized = SIZED.fullmatch(name)
    if name in TOPOLOGIES or sized is None:
        return TOPOLOGIES.get(name)
    family = full if sized[2] == "mesh" else circular
    return NamedTopology(name, f"{sized[1]} ranks", family, exact=int(sized[1]))


def cut_off(graph: Graph) -> tuple[list[int], list[int]]:
    """Ranks that no task can reach from the source, and those whose results cannot get back."""
    reached = nx.descendants(graph, SOURCE) | {SOURCE}
    returning = nx.ancestors(graph, SOURCE) | {SOURCE}
    return sorted(set(graph) - reached), sorted(set(graph) - returning)


# --- generators --------------------------------------------------------------------------------
# Large topologies for planning fleets: drawn by rule or from a seed, for any number of ranks.
#
# ``degree`` is the number of neighbours that a rank should have, roughly; the source is rank 0.

REWIRED = 0.1
"""Share of a small world's edges that lead far away (Watts and Strogatz, 1998)."""

GROWTH = 1.1
"""Factor by which a wireless network's range grows until nobody is cut off."""

Edge = tuple[int, int]


def grid(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """A grid as square as can be, its last row perhaps shorter; neighbours up, down and aside."""
    width = max(1, math.isqrt(ranks))
    aside = ((n, n + 1) for n in range(ranks - 1) if (n + 1) % width)
    below = ((n, n + width) for n in range(ranks - width))
    return undirected(ranks, (*aside, *below))


def tree(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """The source is the root, and each rank has ``degree`` children until the ranks run out."""
    return nx.full_rary_tree(degree, ranks).to_directed()


def small_world(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """A ring of near neighbours in which some edges lead far away."""
    near = min(max(2, degree - degree % 2), ranks - 1)
    if ranks < 4:
        return undirected(ranks, ((n, m) for m in range(ranks) for n in range(m)))
    graph = nx.connected_watts_strogatz_graph(ranks, near, REWIRED, tries=1000, seed=seed)
    return undirected(ranks, ((int(n), int(m)) for n, m in graph.edges))


def geometric(ranks: int, degree: int = 4, seed: int = 0) -> Graph:
    """Radios at random places of a square: who is in range is a neighbour.

    The range is that of ``degree`` neighbours on average, and grows until all are connected.
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


# --- routes ------------------------------------------------------------------------------------
# The ways of tasks and results: shortest paths in hops.


def next_hops(
    graph: Graph, blocks: Sequence[frozenset[int]], exits: int
) -> tuple[dict[int, tuple[int, ...]], ...]:
    """For each rank n, block -> the neighbours to send its task to.

    Those are the neighbours that host the block or, where none does, those on a shortest way to
    a host other than n; none where n alone hosts it.
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
    """For each rank, the neighbours on a shortest way home for its results; none for the source."""
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
