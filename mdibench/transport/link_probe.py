"""Latency and bandwidth between every two ranks, measured on the transport that runs use.

One pair at a time: the sender times exchanges on its own clock, the receiver answers each message
with one byte, and all other ranks wait in a barrier. The time of the answer is taken as half of
the shortest exchange, so that no clocks of two ranks are compared. Called by ``mdibench probe``
and, with ``quick``, before every run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from mdibench.transport.mpi import Endpoint, RankGroup

SIZES = (64, 1024, 16 * 1024, 256 * 1024, 1024 * 1024)
QUICK_SIZES = (64, 16 * 1024)
ROUNDS = 20
QUICK_ROUNDS = 5
QUICK_RANKS = 8
"""Largest world that is probed before a run: the number of pairs grows with its square."""
WARM_UP = 2
POLLS_PER_SLEEP = 200
"""Polls in a row before a sleep: a pair is measured for milliseconds and may occupy its cores."""
PAUSE_S = 50e-6
EXCHANGE_TIMEOUT_S = 30.0
"""An exchange that takes longer raises TimeoutError."""

Exchanges: TypeAlias = dict[int, list[float]]
"""Message size in bytes -> seconds of each exchange."""


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Messages of one size from ``source`` to ``target``.

    ``latency_s`` is the median one-way time, ``shortest_s`` the shortest; ``bandwidth_bps`` the
    message's bits over its median time.
    """

    source: int
    target: int
    size_bytes: int
    latency_s: float
    shortest_s: float
    bandwidth_bps: float


@dataclass(frozen=True, slots=True)
class PairRow:
    """A link in two figures: time of the smallest message, and rate at which more bytes follow."""

    source: int
    target: int
    latency_s: float
    bandwidth_bps: float | None
    """None if larger messages took no longer: the noise exceeds the transmission time."""


def quick(group: RankGroup) -> list[dict[str, Any]]:
    """``source, target, latency_s, bandwidth_bps`` of every pair, on every rank.

    Takes milliseconds per pair; empty for more than ``QUICK_RANKS``. A collective of ``group``.
    """
    if group.size > QUICK_RANKS:
        return []
    pairs = [pair_row(rows) for rows in probe(group, QUICK_SIZES, QUICK_ROUNDS)]
    return [
        {
            "source": pair.source,
            "target": pair.target,
            "latency_s": pair.latency_s,
            "bandwidth_bps": pair.bandwidth_bps,
        }
        for pair in pairs
    ]


def probe(
    group: RankGroup, sizes: Sequence[int] = SIZES, rounds: int = ROUNDS
) -> list[list[SizeRow]]:
    """The rows of every pair, smallest size first; on every rank. A collective of ``group``."""
    from mdibench.transport.mpi import Endpoint

    endpoint = Endpoint(max(sizes), comm=group.comm)
    measured: list[tuple[int, int, Exchanges]] = []
    for source, target in permutations(range(group.size), 2):
        group.barrier()
        if group.rank == source:
            measured.append((source, target, _ask(endpoint, target, sizes, rounds)))
        elif group.rank == target:
            _answer(endpoint, source, len(sizes) * (rounds + WARM_UP))
    group.barrier()
    endpoint.close()
    return [
        size_rows(source, target, {int(size): times for size, times in exchanges.items()})
        for of_rank in group.share(measured)
        for source, target, exchanges in of_rank
    ]


def size_rows(source: int, target: int, exchanges: Exchanges) -> list[SizeRow]:
    """One-way figures from the times of whole exchanges."""
    answer_s = min(exchanges[min(exchanges)]) / 2
    rows = []
    for size, times in sorted(exchanges.items()):
        latency_s = max(statistics.median(times) - answer_s, 1e-9)
        shortest_s = max(min(times) - answer_s, 1e-9)
        rows.append(SizeRow(source, target, size, latency_s, shortest_s, 8 * size / latency_s))
    return rows


def pair_row(rows: Sequence[SizeRow]) -> PairRow:
    """The link in two figures, from its smallest and its largest messages."""
    small, large = rows[0], rows[-1]
    more_s = large.latency_s - small.latency_s
    bandwidth = 8 * (large.size_bytes - small.size_bytes) / more_s if more_s > 0 else None
    return PairRow(small.source, small.target, small.latency_s, bandwidth)


def _ask(endpoint: Endpoint, target: int, sizes: Sequence[int], rounds: int) -> Exchanges:
    """Time ``rounds`` exchanges of each size, after a few untimed ones."""
    exchanges: Exchanges = {}
    for size in sizes:
        times = [_exchange(endpoint, target, size) for _ in range(rounds + WARM_UP)]
        exchanges[size] = times[WARM_UP:]
    return exchanges


def _exchange(endpoint: Endpoint, target: int, size: int) -> float:
    buffer = endpoint.pool.take()
    begun_s = time.perf_counter()
    endpoint.send(target, buffer, size)
    _await_message(endpoint, target)
    return time.perf_counter() - begun_s


def _answer(endpoint: Endpoint, source: int, count: int) -> None:
    """Answer ``count`` messages with a byte each, and wait until the last answer is sent."""
    for _ in range(count):
        _await_message(endpoint, source)
        endpoint.send(source, endpoint.pool.take(), 1)
    while endpoint.sending:
        endpoint.delivered()


def _await_message(endpoint: Endpoint, sender: int) -> None:
    deadline_s = time.perf_counter() + EXCHANGE_TIMEOUT_S
    while True:
        for _ in range(POLLS_PER_SLEEP):
            endpoint.delivered()
            messages = endpoint.receive()
            for _, buffer, _ in messages:
                endpoint.pool.give(buffer)
            if messages:
                return
        if time.perf_counter() > deadline_s:
            raise TimeoutError(f"rank {sender} does not answer the probe")
        time.sleep(PAUSE_S)
