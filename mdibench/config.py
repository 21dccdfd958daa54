"""A config file as frozen records: every key, its default, its range and its meaning.

Only shape and ranges are checked here, key by key. What several keys, the world size or files
must agree on is checked where the plan of a run is made (``mdibench.network.plan``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Rank = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of the config: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RunSection(Section):
    """How long to run, with which seed, and where the files go."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]+$")
    seed: int = Field(1, ge=0)
    warmup_s: Seconds = 2.0
    duration_s: PositiveSeconds = 10.0
    drain_s: Seconds = 10.0
    """Longest wait for items in flight after the last admission; what is left then is lost."""
    items: Count | None = None
    """Admit exactly this many items, however long it takes, instead of stopping by the clock."""
    results: str = "results"
    sample_s: PositiveSeconds = 0.2
    """Time between two telemetry samples of a rank."""
    trace: Probability = 1.0
    """Share of items whose steps are recorded for the item story."""
    threads: int = Field(0, ge=0)
    """Torch threads per rank; 0 means cores of the host / ranks on it, at least 1."""
    label: str = ""
    """Free text that the report groups by, e.g. the cell of a sweep."""


class ModelSection(Section):
    """The network, its data and how it computes."""

    name: str = "digits-cnn"
    dataset: str = "digits"
    weights: str | None = None
    data_dir: str | None = None
    max_batch: Count = 1
    confidence: Literal["max-softmax", "entropy", "margin", "patience"] = "max-softmax"


class SchemeSection(Section):
    """Who decides, and by which numbers (algorithms 1 and 2)."""

    name: str = "mdi-exit"
    threshold: Probability | list[Probability] | None = None
    """T_e, or one per exit; 0.8 when neither this nor a target is given."""
    target_accuracy: Probability | None = None
    accuracy_drop: Probability | None = None
    early_exit: bool | None = None
    """Whether items may leave early; by default as the scheme says."""
    output_queue_limit: int = Field(50, ge=0)
    """T_O of algorithm 1."""
    source_offloads_raw: bool = False
    """Whether τ_1 may join O_0 too."""


class AdmissionSection(Section):
    """How items arrive, and what the source adapts (algorithms 3 and 4)."""

    mode: Literal[
        "adapt-rate", "adapt-threshold", "fixed-rate", "offline", "single-stream"
    ] = "adapt-rate"
    interarrival_s: PositiveSeconds = 0.05
    """μ; with adapt-rate only its start value."""
    arrivals: Literal["constant", "poisson", "trace"] = "constant"
    trace_file: str | None = None
    """One arrival time in seconds per line, ascending; repeated when it is too short."""
    period_s: PositiveSeconds = 0.5
    queue_low: int = Field(10, ge=0)
    """T_Q1."""
    queue_high: int = Field(30, ge=0)
    """T_Q2."""
    alpha: float = Field(0.2, gt=0, lt=1)
    beta: float = Field(0.1, gt=0, lt=1)
    zeta: float = Field(0.2, gt=0, lt=1)
    threshold_min: Probability = 0.05
    max_in_flight: Count = 1000
    """Items in flight beyond which an arrival is turned away (offline: held back)."""


class PlacementSection(Section):
    """Which ranks hold which blocks: one of the four ways; ``partition`` when none is given."""

    partition: bool = False
    copies: Count | None = None
    replicate: bool = False
    blocks: dict[str, list[Count]] | None = None
    """Explicit: rank -> blocks, e.g. ``0 = [1, 2]``."""


class LinkTable(Section):
    """One edge with what it can carry; both directions unless ``one_way``."""

    between: tuple[Rank, Rank]
    profile: str | None = None
    bandwidth_mbps: float | None = Field(None, gt=0, allow_inf_nan=False)
    delay_ms: float | None = Field(None, ge=0, allow_inf_nan=False)
    jitter_ms: float | None = Field(None, ge=0, allow_inf_nan=False)
    loss: float | None = Field(None, ge=0, lt=1)
    codec: Literal["none", "fp16", "int8", "bottleneck"] | None = None


class TopologySection(Section):
    """Who is whose neighbour."""

    name: str | None = None
    """A named topology; ``full`` when neither this nor ``edges`` is given."""
    edges: list[tuple[Rank, Rank]] | None = None
    links: list[LinkTable] = []


class TransportSection(Section):
    """How feature maps and states travel."""

    codec: Literal["none", "fp16", "int8", "bottleneck"] = "none"
    gossip_s: PositiveSeconds = 0.02
    link_window: Count = 2
    """Tasks that one link may have under way; the rest wait in O_n, where policies see them."""
    suspect_after_s: Seconds = 1.0
    """Silence after which a neighbour is left out of offloading; 0 trusts everybody for ever."""
    on_suspect: Literal["rerun", "lost"] = "rerun"


class DeviceTable(Section):
    """A user's own device for emulation: how long a task takes there."""

    gflops: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Sustained rate on this kind of network; block time = FLOPs / rate + overhead."""
    overhead_ms: float = Field(0.0, ge=0, allow_inf_nan=False)
    block_ms: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    """Measured time of each block with its head; takes precedence over ``gflops``."""
    memory_mb: float | None = Field(None, gt=0, allow_inf_nan=False)
    basis: str = ""
    """Where the figures come from."""


class EmulationSection(Section):
    """Devices and links to stand in for; absent: real ones."""

    device: str | list[str] | None = None
    """One device for all ranks, or one per rank."""
    link: str | None = None
    """Profile of every link that ``topology.links`` does not describe."""
    devices: dict[str, DeviceTable] = {}


class SearchSection(Section):
    """Search for the highest rate that keeps a latency percentile under an objective."""

    objective_ms: float = Field(gt=0)
    percentile: float = Field(99.0, gt=0, lt=100)
    precision: float = Field(0.05, gt=0, lt=1)


class RunConfig(Section):
    """A whole config file."""

    run: RunSection = RunSection()
    model: ModelSection = ModelSection()
    scheme: SchemeSection = SchemeSection()
    admission: AdmissionSection = AdmissionSection()
    placement: PlacementSection = PlacementSection()
    topology: TopologySection = TopologySection()
    transport: TransportSection = TransportSection()
    emulation: EmulationSection | None = None
    search: SearchSection | None = None
