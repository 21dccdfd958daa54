"""Which ranks hold which blocks. Blocks and exits count from 1, ranks from 0.

``seconds[n][k - 1]`` is the time of block k with its head on rank n; only ratios matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from mdibench.config.schema import SchemeSection
from mdibench.core.records import SOURCE
from mdibench.network.topology import Graph
from mdibench.policy.algorithms import stay_if_hosted

Blocks = tuple[frozenset[int], ...]
"""The blocks of each rank."""

TOLERANCE = 1e-9
"""Relative: sums of the same times in another order count as equal."""


def at_the_source(ranks: int, exits: int) -> Blocks:
    """Every block on rank 0."""
    return tuple(frozenset(range(1, exits + 1) if n == SOURCE else ()) for n in range(ranks))


def replicate(ranks: int, exits: int) -> Blocks:
    """Every block on every rank."""
    return (frozenset(range(1, exits + 1)),) * ranks


def explicit(ranks: int, table: Mapping[int, Sequence[int]]) -> Blocks:
    """A table of rank -> blocks; ranks that it does not name hold none."""
    return tuple(frozenset(table.get(rank, ())) for rank in range(ranks))


def partition(graph: Graph, seconds: Sequence[Sequence[float]]) -> Blocks:
    """Each block on one rank: contiguous pieces, ranks in order of their distance from the source.

    The slowest rank is as fast as possible; among such cuts, the loads are as even as possible
    (least sum of squares). The source holds at least the first block, since it has the raw data;
    other ranks may be empty. Exact, by dynamic programming over (rank, blocks placed).
    """
    order = by_distance(graph)
    costs = [seconds[rank] for rank in order]
    pieces = _evenest_cut(costs, _least_bottleneck(costs)).pieces
    held = {
        rank: range(start + 1, end + 1) for rank, (start, end) in zip(order, pieces, strict=True)
    }
    return explicit(len(order), held)


def copies(graph: Graph, seconds: Sequence[Sequence[float]], count: int) -> Blocks:
    """The partition, with each block on ``count`` ranks (at most all of them).

    Further hosts of a block are as near as possible to its first host (hops of a task from
    there), and among those the least loaded, if every block's work is shared evenly by its hosts.
    """
    blocks = [set(held) for held in partition(graph, seconds)]
    exits = len(seconds[0])
    share = [[time / count for time in row] for row in seconds]
    load = [sum(share[n][k - 1] for k in held) for n, held in enumerate(blocks)]
    for block in range(1, exits + 1):
        first = next(n for n, held in enumerate(blocks) if block in held)
        hops = nx.single_source_shortest_path_length(graph, first)
        others = sorted(set(hops) - {first}, key=lambda n: (hops[n], load[n], n))
        for rank in others[: count - 1]:
            blocks[rank].add(block)
            load[rank] += share[rank][block - 1]
    return tuple(frozenset(held) for held in blocks)


def by_distance(graph: Graph) -> list[int]:
    """All ranks, nearest to the source first, unreachable ones last."""
    hops = nx.single_source_shortest_path_length(graph, SOURCE)
    return sorted(graph, key=lambda rank: (hops.get(rank, len(graph)), rank))


def _least_bottleneck(costs: Sequence[Sequence[float]]) -> float:
    """The least possible time of the slowest rank; ``costs`` in the order of the ranks."""
    exits = len(costs[0])
    best = {0: 0.0}
    for times in costs:
        previous, best = best, {}
        for start, slowest in previous.items():
            for end in range(max(start, 1), exits + 1):
                time = max(slowest, sum(times[start:end]))
                best[end] = min(best.get(end, time), time)
    return best[exits]


@dataclass(frozen=True, slots=True)
class _Cut:
    """The first ``end`` blocks in pieces: half-open ranges, one for each rank so far."""

    squares: float
    last_used: int
    pieces: tuple[tuple[int, int], ...]

    def extended(self, position: int, start: int, end: int, time: float) -> _Cut:
        last = position if end > start else self.last_used
        return _Cut(self.squares + time * time, last, (*self.pieces, (start, end)))

    def beats(self, other: _Cut | None) -> bool:
        """Whether the loads are more even or, on a tie, the ranks used are nearer."""
        if other is None or self.squares < other.squares * (1 - TOLERANCE):
            return True
        return self.squares <= other.squares * (1 + TOLERANCE) and self.last_used < other.last_used


def _evenest_cut(costs: Sequence[Sequence[float]], bottleneck: float) -> _Cut:
    """Pieces for each rank: none above ``bottleneck``, least sum of squares."""
    exits, limit = len(costs[0]), bottleneck * (1 + TOLERANCE)
    best = {0: _Cut(0.0, 0, ())}
    for position, times in enumerate(costs):
        previous, best = best, {}
        for start, cut in previous.items():
            least_end = max(start, 1)  # the source holds the first block
            for end in range(least_end, exits + 1):
                time = sum(times[start:end])
                if time > limit:
                    break
                longer = cut.extended(position, start, end, time)
                if longer.beats(best.get(end)):
                    best[end] = longer
    return best[exits]


def last_blocks(scheme: SchemeSection, blocks: Collection[int]) -> dict[int, int]:
    """Block -> last block of its call, for calls of several blocks; a worker hosts ``blocks``.

    Without early exits, and where the scheme leaves following tasks to the worker that can compute
    them, there is no decision between two blocks that it hosts.
    """
    if scheme.exits_early or scheme.policies.place is not stay_if_hosted:
        return {}
    last: dict[int, int] = {}
    for block in sorted(blocks, reverse=True):
        last[block] = last.get(block + 1, block)
    return {block: end for block, end in last.items() if end > block}
