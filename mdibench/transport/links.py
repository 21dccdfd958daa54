"""Links: the timing of emulated ones (``LinkClock``) and the traffic of a rank (``Traffic``).

A ``LinkClock`` is the sender's side of one direction of an edge. It carries one message after the
other at its bandwidth (a token bucket whose burst is one message); each then takes ``delay`` plus
jitter, and a lost one is sent again after a retransmission timeout. Messages arrive in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from mdibench.core.records import Result, Task
from mdibench.network.plan import Link

RETRANSMISSION_TIMEOUT_S = 0.2
"""Least retransmission timeout of Linux's TCP (TCP_RTO_MIN); it doubles with every loss."""


class LinkClock:
    """Timing of the messages on an emulated link, in seconds on the caller's clock."""

    __slots__ = ("_free_s", "_last_arrival_s", "_link", "emulated")

    def __init__(self, link: Link) -> None:
        self.link = link
        self._free_s = 0.0
        self._last_arrival_s = 0.0

    @property
    def link(self) -> Link:
        """Its bandwidth, delay and codec."""
        return self._link

    @link.setter
    def link(self, link: Link) -> None:
        self._link = link
        self.emulated = link.emulated

    def send(
        self, size_bytes: int, now: float, uniform: Callable[[], float]
    ) -> tuple[float, float]:
        """When a message handed over at ``now`` has left the sender, and when it arrives."""
        link = self.link
        start_s = max(now, self._free_s)
        transmission_s = 8 * size_bytes / link.bandwidth_bps if link.bandwidth_bps else 0.0
        self._free_s = start_s + transmission_s
        travel_s = link.delay_s
        if link.jitter_s:
            travel_s += link.jitter_s * uniform()
        if link.loss:
            travel_s += self._retransmission_s(uniform)
        self._last_arrival_s = max(self._last_arrival_s, self._free_s + travel_s)
        return self._free_s, self._last_arrival_s

    def _retransmission_s(self, uniform: Callable[[], float]) -> float:
        waited_s, timeout_s = 0.0, RETRANSMISSION_TIMEOUT_S
        while uniform() < self.link.loss:
            waited_s += timeout_s
            timeout_s *= 2
        return waited_s


@dataclass(slots=True)
class LinkTraffic:
    """Cumulative counters of what was sent over one direction of one edge."""

    messages: int = 0
    tasks: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Traffic:
    """Cumulative counters of one rank. Bytes include headers."""

    sent_bytes: int = 0
    received_bytes: int = 0
    gossip_bytes: int = 0
    refused: int = 0
    encode_s: float = 0.0
    flops: int = 0
    overruns: int = 0
    links: dict[int, LinkTraffic] = field(default_factory=lambda: defaultdict(LinkTraffic))

    def count_sent(self, target: int, size_bytes: int, body: Task | Result | None) -> None:
        """Count a message of ``size_bytes`` to ``target``."""
        self.sent_bytes += size_bytes
        link = self.links[target]
        link.messages += 1
        link.bytes += size_bytes
        if isinstance(body, Task):
            link.tasks += 1
        elif body is None:
            self.gossip_bytes += size_bytes
