"""Placements: contiguous, complete, and as balanced as brute force finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement

from hypothesis import given
from hypothesis import strategies as st

from mdibench.network import placement
from mdibench.network.topology import Graph, circular, full, line, star, undirected

times = st.floats(0.01, 10.0).map(lambda value: round(value, 2))


@st.composite
def costs(draw: st.DrawFn) -> list[list[float]]:
    """Seconds of up to six blocks on up to four ranks."""
    exits = draw(st.integers(1, 6))
    rows = st.lists(times, min_size=exits, max_size=exits)
    return draw(st.lists(rows, min_size=1, max_size=4))


def cuts(ranks: int, exits: int) -> Iterator[list[range]]:
    """Every way to cut the blocks into one piece per rank, the first not empty."""
    for bounds in combinations_with_replacement(range(1, exits + 1), ranks - 1):
        ends = [*bounds, exits]
        yield [range(s + 1, e + 1) for s, e in zip([0, *ends], ends, strict=False)]


def loads(pieces: Sequence[Sequence[int]], seconds: list[list[float]]) -> list[float]:
    return [sum(seconds[n][k - 1] for k in piece) for n, piece in enumerate(pieces)]


@given(costs())
def test_partition_is_contiguous_and_optimal(seconds: list[list[float]]) -> None:
    ranks, exits = len(seconds), len(seconds[0])
    blocks = placement.partition(full(ranks), seconds)
    pieces = [sorted(held) for held in blocks]
    assert [k for piece in pieces for k in piece] == list(range(1, exits + 1))
    assert 1 in blocks[0]
    ours = loads(pieces, seconds)
    candidates = [loads(cut, seconds) for cut in cuts(ranks, exits)]
    slowest = min(max(load) for load in candidates)
    assert max(ours) <= slowest * (1 + 1e-9)
    evenest = min(
        sum(t * t for t in load) for load in candidates if max(load) <= slowest * (1 + 1e-9)
    )
    assert sum(t * t for t in ours) <= evenest * (1 + 1e-6)


def test_near_ranks_are_used_first_and_the_source_gets_the_small_piece() -> None:
    def cut(ranks: int) -> list[list[int]]:
        return [sorted(held) for held in placement.partition(full(ranks), [[1.0] * 5] * ranks)]

    assert cut(1) == [[1, 2, 3, 4, 5]]
    assert cut(2) == [[1, 2], [3, 4, 5]]
    assert cut(4) == [[1], [2], [3], [4, 5]]
    assert cut(7) == [[1], [2], [3], [4], [5], [], []]


def test_partition_follows_the_distance_from_the_source() -> None:
    graph = undirected(3, [(0, 2), (2, 1)])
    blocks = placement.partition(graph, [[1.0] * 3] * 3)
    assert blocks == (frozenset({1}), frozenset({3}), frozenset({2}))


def test_a_slow_rank_gets_less() -> None:
    seconds = [[1.0] * 4, [10.0] * 4, [1.0] * 4]
    assert placement.partition(full(3), seconds) == (
        frozenset({1, 2}),
        frozenset(),
        frozenset({3, 4}),
    )


@given(costs(), st.integers(1, 4), st.sampled_from([full, circular, line, star]))
def test_copies_give_each_block_that_many_hosts(
    seconds: list[list[float]], count: int, build: Callable[[int], Graph]
) -> None:
    graph = build(len(seconds))
    blocks = placement.copies(graph, seconds, count)
    base = placement.partition(graph, seconds)
    for block in range(1, len(seconds[0]) + 1):
        hosts = sum(block in held for held in blocks)
        assert hosts == min(count, len(seconds))
    assert all(kept <= held for kept, held in zip(base, blocks, strict=True))


def test_copies_are_near_the_first_host() -> None:
    blocks = placement.copies(line(4), [[1.0] * 4] * 4, 2)
    assert [sorted(held) for held in blocks] == [[1, 2], [1, 2], [3, 4], [3, 4]]


def test_copies_go_round_a_ring_in_the_way_of_tasks() -> None:
    blocks = placement.copies(circular(3), [[1.0] * 3] * 3, 2)
    assert [sorted(held) for held in blocks] == [[1, 3], [1, 2], [2, 3]]


def test_the_simple_placements() -> None:
    everything, nothing = frozenset({1, 2}), frozenset[int]()
    assert placement.at_the_source(3, 2) == (everything, nothing, nothing)
    assert placement.replicate(2, 2) == (everything, everything)
    assert placement.explicit(3, {2: [2], 0: [1]}) == (frozenset({1}), nothing, frozenset({2}))
