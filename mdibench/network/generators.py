"""Large topologies for planning fleets: drawn by rule or from a seed, for any number of ranks.

``degree`` is the number of neighbours that a rank should have, roughly; the source is rank 0.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping

import networkx as nx

from mdibench.network.topology import Graph, undirected

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
    return undirected(ranks, (((n - 1) // degree, n) for n in range(1, ranks)))


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
