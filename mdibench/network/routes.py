"""The ways of tasks and results: shortest paths in hops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import networkx as nx

from mdibench.core.records import SOURCE
from mdibench.network.topology import Graph


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
