"""Kinds of config values, and the keys of the network under a run: its links and its devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = NotNegative
PositiveSeconds = Positive
Probability = Annotated[float, Field(ge=0, le=1)]
LARGEST = 2**63 - 1
"""TOML's largest whole number."""
Rank = Annotated[int, Field(ge=0, le=LARGEST)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
Natural = Annotated[int, Field(ge=0, le=LARGEST)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
"""Strictly between 0 and 1."""
Spread = Annotated[float, Field(ge=0, le=5)]
"""Standard deviation of a logarithm; at 5 one rank in six is 148 times slower than its device."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
Codec = Literal["none", "fp16", "int8", "bottleneck"]
RankPair = Annotated[tuple[Rank, Rank], Strict(False)]
"""Two ranks; not strict about the container, since TOML and JSON only have lists."""


class ConfigSection(BaseModel):
    """A table of the config: unknown keys are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class LinkEntry(ConfigSection):
    """An edge of the topology with what it can carry; both directions unless ``one_way``.

    ``profile`` is a base (see ``mdibench.network.devices``) that the other keys refine.
    """

    between: RankPair
    """Two neighbours."""
    one_way: bool = False
    """Whether the figures hold from the first to the second rank only."""
    profile: str | None = None
    """A named link; the other keys refine it."""
    bandwidth_mbps: Positive | None = None
    """Megabits per second that the link carries each way."""
    delay_ms: NotNegative | None = None
    """Propagation delay, one way."""
    jitter_ms: NotNegative | None = None
    """Up to this much is added to the delay, evenly drawn; order is kept."""
    loss: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of messages that TCP has to send again, after its time-out."""
    codec: Codec | None = None
    """How feature maps travel here; by default as ``transport.codec`` says."""


class TopologySection(ConfigSection):
    """Which ranks are neighbours."""

    name: str | None = None
    """A named topology; ``full`` when neither this nor ``edges`` is given."""
    edges: list[RankPair] | None = None
    """Pairs of neighbours."""
    one_way: bool = False
    """Whether ``edges`` carry tasks from their first to their second rank only."""
    degree: Count = 4
    """Neighbours of a rank in a generated topology (children in a tree; a grid has its own)."""
    seed: Natural = 1
    """Of generated topologies: small-world and geometric."""
    links: list[LinkEntry] = []


class TransportSection(ConfigSection):
    """How feature maps and states travel."""

    codec: Codec = "none"
    """How feature maps travel: 32-bit, 16-bit, 8-bit, or through a bottleneck."""
    bottleneck: Positive = 8.0
    """How many times smaller the codec ``bottleneck`` makes a feature map: chooses the pairs."""
    bottleneck_pairs: str | None = None
    """File of the pairs; by default those of the package for this network."""
    gossip_s: PositiveSeconds = 0.02
    """Time between two state messages to neighbours while tasks are in flight."""
    link_window: Count = 2
    """Tasks in flight on one link; the rest wait in O_n, where policies see them."""
    suspect_after_s: Seconds = 1.0
    """Silence after which a neighbour gets no more tasks; 0: never."""
    on_suspect: Literal["rerun", "lost"] = "rerun"
    """Tasks in flight to a silent neighbour: computed again, or lost."""
    smoothing: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Weight of the newest value in the means Γ_n and D_nm."""


class DeviceTable(ConfigSection):
    """A user's own device for emulation: how long a task takes there."""

    gflops: Positive | None = None
    """Sustained rate on this kind of network; block time = FLOPs / rate + overhead."""
    overhead_ms: NotNegative = 0.0
    """Added to every block's time."""
    block_ms: list[Positive] | None = None
    """Measured time of each block with its head; takes precedence over ``gflops``."""
    memory_mb: Positive | None = None
    """Memory of the device, in MiB, which its blocks must fit into."""
    basis: str = ""
    """Where the figures come from."""


class EmulationSection(ConfigSection):
    """Devices and links to emulate; absent: real ones."""

    device: str | list[str] | None = None
    """One device for all ranks, or one per rank."""
    drawn: dict[str, Positive] | None = None
    """Device -> weight: each rank's device is drawn from ``topology.seed``."""
    tiers: list[str] | None = None
    """Devices by distance from the source in hops (edge, fog, cloud); the last holds beyond."""
    speed_spread: Spread = 0.0
    """Standard deviation of the logarithm of a rank's block times around its device's."""
    rate_spread: Spread = 0.0
    """The same of an edge's bandwidth around its link's."""
    link: str | None = None
    """Profile of every link that ``topology.links`` does not describe."""
    devices: dict[str, DeviceTable] = {}
