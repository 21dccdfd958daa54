"""The plan of a run: which rank hosts which blocks, neighbours, routes, links and devices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """What the plan must know of block k with its head.

    ``flops`` are those of the block with its head, ``head_flops`` of the head alone. ``seconds`` is
    the time of one item on the machine that measured it, 0 where unknown; ``output_bytes`` the size
    of the feature map it hands on, without a codec.
    """

    flops: int
    parameters: int
    output_shape: tuple[int, ...]
    output_bytes: int
    seconds: float = 0.0
    head_flops: int = 0


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

    def with_heads(self, heads: Collection[int]) -> ModelInfo:
        """The network of which only the exit heads of blocks ``heads`` are computed."""
        blocks = tuple(
            block
            if number in heads
            else replace(block, flops=block.flops - block.head_flops, head_flops=0)
            for number, block in enumerate(self.blocks, 1)
        )
        return replace(self, blocks=blocks)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ModelInfo:
        """The reverse of ``dataclasses.asdict`` after a way through JSON."""
        blocks = tuple(
            BlockInfo(**{**block, "output_shape": tuple(block["output_shape"])})
            for block in facts["blocks"]
        )
        shape = tuple(facts["input_shape"])
        return cls(**{**facts, "input_shape": shape, "blocks": blocks})


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

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON-able data, so that rank 0 can tell the others."""
        return {
            "ranks": self.ranks,
            "exits": self.exits,
            "topology": self.topology,
            "placement": self.placement,
            "blocks": [sorted(held) for held in self.blocks],
            "neighbours": self.neighbours,
            "next_hops": [list(hops.items()) for hops in self.next_hops],
            "toward_source": self.toward_source,
            "links": [(*pair, asdict(link)) for pair, link in self.links.items()],
            "devices": [device and asdict(device) for device in self.devices],
            "ways": sorted(self.ways),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Plan:
        """The reverse of ``to_json`` after a way through JSON."""
        return cls(
            ranks=facts["ranks"],
            exits=facts["exits"],
            topology=facts["topology"],
            placement=facts["placement"],
            blocks=tuple(frozenset(held) for held in facts["blocks"]),
            neighbours=tuple(tuple(ranks) for ranks in facts["neighbours"]),
            next_hops=tuple(
                {block: tuple(ranks) for block, ranks in hops} for hops in facts["next_hops"]
            ),
            toward_source=tuple(tuple(ranks) for ranks in facts["toward_source"]),
            links={(source, target): Link(**link) for source, target, link in facts["links"]},
            devices=tuple(
                device and Device(**device | {"block_s": tuple(device["block_s"])})
                for device in facts["devices"]
            ),
            ways=frozenset((source, target) for source, target in facts["ways"]),
        )

    def hosts(self, block: int) -> tuple[int, ...]:
        """Ranks that host ``block``, ascending."""
        return tuple(rank for rank in range(self.ranks) if block in self.blocks[rank])
