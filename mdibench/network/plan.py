"""The plan of a run: which rank hosts which blocks, neighbours, routes, links and devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """What the plan must know of block k with its head.

    ``seconds`` is the time of one item on the machine that measured it, 0 where unknown;
    ``output_bytes`` the size of its feature map without a codec.
    """

    flops: int
    parameters: int
    output_shape: tuple[int, ...]
    output_bytes: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A network as the plan sees it: sizes and costs, no weights."""

    name: str
    classes: int
    input_shape: tuple[int, ...]
    input_bytes: int
    blocks: tuple[BlockInfo, ...]

    @property
    def exits(self) -> int:
        """K."""
        return len(self.blocks)


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of an edge. ``bandwidth_bps`` in bits per second; ``None``: not emulated."""

    bandwidth_bps: float | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    codec: str = "none"

    @property
    def emulated(self) -> bool:
        """Whether the sender must delay messages."""
        return self.bandwidth_bps is not None or max(self.delay_s, self.jitter_s, self.loss) > 0


@dataclass(frozen=True, slots=True)
class Device:
    """An emulated device: its name, and how long one task of block k takes there, seconds."""

    name: str
    block_s: tuple[float, ...]
    memory_bytes: int | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that ranks must agree on before a run; sequences are indexed by rank.

    ``neighbours[n]`` share an edge with n, in either direction: they exchange their states.
    ``links`` has both directions of every edge, of one-way edges too. Tasks follow ``next_hops``:
    ``next_hops[n][k]`` are the neighbours of n that host block k or, if none does, those on a
    shortest path to a host; it is empty only if n alone hosts k. Results follow
    ``toward_source``: ``toward_source[n]`` are the neighbours on a shortest path to the source,
    and results go to the first that is present.
    """

    ranks: int
    exits: int
    topology: str
    placement: str
    blocks: tuple[frozenset[int], ...]
    neighbours: tuple[tuple[int, ...], ...]
    next_hops: tuple[Mapping[int, tuple[int, ...]], ...]
    toward_source: tuple[tuple[int, ...], ...]
    links: Mapping[tuple[int, int], Link]
    devices: tuple[Device | None, ...]
    ways: frozenset[tuple[int, int]] = frozenset()
    """The directions of ``links`` that tasks and results may take."""

    def hosts(self, block: int) -> tuple[int, ...]:
        """Ranks that host ``block``, ascending."""
        return tuple(rank for rank in range(self.ranks) if block in self.blocks[rank])
