"""What a rank has sent and received, link by link."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from mdibench.core.records import Result, Task


@dataclass(slots=True)
class LinkTraffic:
    """Sent over one direction of one edge, cumulative."""

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
        """A message of ``size_bytes`` goes to ``target``."""
        self.sent_bytes += size_bytes
        link = self.links[target]
        link.messages += 1
        link.bytes += size_bytes
        if isinstance(body, Task):
            link.tasks += 1
        elif body is None:
            self.gossip_bytes += size_bytes
