"""Emulated links keep their rate and delay, measured through a post office."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mdibench.core.events import Arrived, LinkFree
from mdibench.core.records import State, Task
from mdibench.core.wire import HEADER_BYTES
from mdibench.network.devices import LINKS
from mdibench.network.plan import Link
from mdibench.transport.links import LinkClock
from mdibench.transport.post_office import PostOffice
from tests.transport.fakes import Clock, connect

STEP_S = 0.0001
"""How often the loops look at their links here."""
FEATURES = np.zeros(12_288, np.float32)
SIZE_BITS = 8 * (HEADER_BYTES + FEATURES.nbytes)


def task(item: int) -> Task:
    return Task(item, 2, FEATURES, FEATURES.nbytes)


def arrivals(link: Link, handed_s: list[float]) -> list[float]:
    """When each task that is handed over at ``handed_s`` arrives at the other end."""
    clock = Clock()
    here_end, there_end = connect(2)
    here = PostOffice(here_end, {1: LinkClock(link)}, random.Random(1).random, clock)
    there = PostOffice(there_end, {0: LinkClock(link)}, random.Random(2).random, clock)
    arrived: list[float] = []
    waiting = list(handed_s)
    while len(arrived) < len(handed_s):
        while waiting and waiting[0] <= clock.now:
            here.send(1, State(0, 0.0), task(len(handed_s) - len(waiting)))
            waiting.pop(0)
        here.poll()
        arrived += [clock.now for event in there.poll() if isinstance(event, Arrived)]
        clock.now += STEP_S
    return arrived


@pytest.mark.parametrize("name", ["wifi-5ghz", "wifi-2.4ghz", "lte"])
def test_a_busy_link_carries_its_rate(name: str) -> None:
    profile = LINKS[name]
    link = Link(profile.bandwidth_bps, profile.delay_s)
    count = 100
    times = arrivals(link, [0.0] * count)
    rate_bps = SIZE_BITS * (count - 1) / (times[-1] - times[0])
    assert rate_bps == pytest.approx(profile.bandwidth_bps, rel=0.05)


@pytest.mark.parametrize("name", ["wifi-5ghz", "wifi-2.4ghz", "lte"])
def test_an_idle_link_delays_by_its_delay_and_mean_jitter(name: str) -> None:
    profile = LINKS[name]
    link = Link(profile.bandwidth_bps, profile.delay_s, profile.jitter_s)
    handed_s = [0.1 * number for number in range(60)]
    times = arrivals(link, handed_s)
    delays = [there - here for here, there in zip(handed_s, times, strict=True)]
    expected_s = SIZE_BITS / profile.bandwidth_bps + profile.delay_s + profile.jitter_s / 2
    assert sum(delays) / len(delays) == pytest.approx(expected_s, rel=0.05)
    assert min(delays) >= SIZE_BITS / profile.bandwidth_bps + profile.delay_s


def test_what_is_lost_is_sent_again_after_the_timeout() -> None:
    link = Link(None, 0.001, loss=0.25)
    clock = LinkClock(link)
    uniform = random.Random(3).random
    arrivals_s = [clock.send(1000, 10.0 * number, uniform)[1] for number in range(4000)]
    delays = [at - 10.0 * number for number, at in enumerate(arrivals_s)]
    late = [delay for delay in delays if delay > 0.1]
    assert len(late) / len(delays) == pytest.approx(0.25, rel=0.05)
    assert min(late) == pytest.approx(0.201)


def test_the_link_is_free_before_the_message_arrives() -> None:
    clock = Clock()
    here_end, _ = connect(2)
    link = Link(bandwidth_bps=SIZE_BITS / 0.010, delay_s=0.030)
    here = PostOffice(here_end, {1: LinkClock(link)}, lambda: 0.0, clock)
    here.send(1, State(0, 0.0), task(0))
    clock.now = 0.0101
    assert here.poll() == [LinkFree(1)]
