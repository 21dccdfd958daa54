"""Who may send tasks to whom: named topologies for any number of ranks that fits.

A topology is a directed graph over the ranks 0, 1, ...; an undirected edge is two directions.
Rank 0, the source, is the end of a line and the centre of a star.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
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
    return directed(ranks, permutations(range(ranks), 2))


def circular(ranks: int) -> Graph:
    """Tasks go round one way only, 0 -> 1 -> ... -> 0 (both ways, three would be a mesh)."""
    return directed(ranks, ((rank, (rank + 1) % ranks) for rank in range(ranks)))


def line(ranks: int) -> Graph:
    """0 - 1 - 2 - ..., both ways."""
    return undirected(ranks, ((rank, rank + 1) for rank in range(ranks - 1)))


def star(ranks: int) -> Graph:
    """The source in the middle, everybody else around it."""
    return undirected(ranks, ((SOURCE, rank) for rank in range(1, ranks)))


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
