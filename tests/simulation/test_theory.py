"""The simulation against results of queueing theory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from statistics import mean

import pytest

from mdibench.core.setup import poisson
from mdibench.network.plan import Link
from tests.worlds import Ran, Spec, build

SERVICE_S = 0.01
ITEMS = 100_000
LOAD = 0.5

pytestmark = pytest.mark.slow


def stationary(spec: Spec, load: float, seed: int, **source: object) -> Spec:
    """``spec`` under Poisson arrivals at ``load`` of one server's rate."""
    many = {"max_in_flight": 1_000_000}
    spec.source = {
        "gaps": poisson(random.Random(seed)),
        "interarrival_s": SERVICE_S / load,
        "items": ITEMS,
        **many,
        **source,
    }
    spec.worker = {"trace": 0.0, "lookahead": 1, "early_exit": False, **many}
    return spec


def ran(spec: Spec, times: Iterator[float] | None = None) -> Ran:
    world, rows = build(spec)
    if times is not None:
        object.__setattr__(world.parts, "service_time", lambda rank, tasks: next(times))
    assert world.run()
    return Ran(world, rows)


def mean_latency(run: Ran) -> float:
    latencies = [float(row["latency_s"]) for row in run.table("items")]  # type: ignore[arg-type]
    return mean(latencies[ITEMS // 10 :])


def exponential(seed: int) -> Iterator[float]:
    generator = random.Random(seed)
    while True:
        yield generator.expovariate(1 / SERVICE_S)


def one_worker() -> Spec:
    return Spec([frozenset({1})], [], exits=1, scheme="local")


def test_m_d_1() -> None:
    """Pollaczek-Khinchine with constant service: W = s (1 + rho / (2 (1 - rho)))."""
    spec = stationary(one_worker(), LOAD, seed=3)
    expected = SERVICE_S * (1 + LOAD / (2 * (1 - LOAD)))
    assert mean_latency(ran(spec)) == pytest.approx(expected, rel=0.02)


def test_m_m_1() -> None:
    """W = s / (1 - rho)."""
    spec = stationary(one_worker(), LOAD, seed=3)
    expected = SERVICE_S / (1 - LOAD)
    assert mean_latency(ran(spec, exponential(4))) == pytest.approx(expected, rel=0.02)


def test_every_single_latency_follows_lindleys_recursion() -> None:
    """An item waits for what is left of its predecessor: max(0, W - gap) + its own service."""
    spec = stationary(one_worker(), 0.8, seed=7, items=2_000)
    gaps, times = poisson(random.Random(7)), exponential(8)
    latency_s, expected = 0.0, []
    for _ in range(2_000):
        latency_s = max(0.0, latency_s - next(gaps) * SERVICE_S / 0.8) + next(times)
        expected.append(latency_s)
    rows = ran(spec, exponential(8)).table("items")
    assert [row["latency_s"] for row in rows] == pytest.approx(expected, abs=1e-9)


def test_a_tandem_runs_at_the_rate_of_its_slowest_stage() -> None:
    """Three stages of 10, 25 and 5 ms, always full: one item each 25 ms."""
    edges = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)]
    stages = [0.01, 0.025, 0.005]
    spec = Spec([frozenset({1}), frozenset({2}), frozenset({3})], edges, scheme="mdi")
    spec.source = {"mode": "offline", "items": 2_000, "max_in_flight": 20}
    spec.worker = {"trace": 0.0, "early_exit": False}
    world, rows = build(spec)
    object.__setattr__(world.parts, "service_time", lambda rank, tasks: stages[rank])
    assert world.run()
    done = [float(row["completed_s"]) for row in Ran(world, rows).table("items")]  # type: ignore[arg-type]
    rate = (len(done) - 101) / (done[-1] - done[100])
    assert rate == pytest.approx(1 / 0.025, rel=0.001)


def test_a_link_is_a_queue_of_its_own() -> None:
    """M/D/1 at the link too: 4,192 bytes over 3.3536 Mbit/s take 10 ms, and the delay is added."""
    spec = Spec([frozenset({1}), frozenset({2})], [(0, 1), (1, 0)], exits=2, scheme="mdi")
    spec = stationary(spec, LOAD, seed=5)
    spec.link = Link(8 * 4192 / SERVICE_S, 0.004)
    spec.block_s = 1e-9
    run = ran(spec)
    result_s = 8 * 192 / (8 * 4192 / SERVICE_S)
    expected = SERVICE_S * (1 + 0.5 / (2 * 0.5)) + 0.004 + result_s + 0.004
    assert mean_latency(run) == pytest.approx(expected, rel=0.02)
