"""A config file as frozen records: every key, its default, its range and its meaning.

The docstring of a key is its text in ``mdibench keys`` and docs/config.md.

Only types and ranges of single keys are checked here. Contradictions between keys are found when a
file is read (``config.checks``), and conflicts with the number of ranks and the network when the
plan of a run is made (``network.planning``).

A value derived from the keys of one section is a property of the section, so that a run, its plan,
its simulation and its record agree on it.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, Strict

from mdibench.config.network_keys import (
    ConfigSection,
    Count,
    EmulationSection,
    Name,
    Natural,
    NotNegative,
    OpenShare,
    Positive,
    PositiveSeconds,
    Probability,
    Rank,
    RankPair,
    Seconds,
    TopologySection,
    TransportSection,
)
from mdibench.config.origins import KeyPath, Origins
from mdibench.policy.schemes import SCHEMES, Scheme

UNTIL = r"^(?P<figure>rate|latency|latency p95|accuracy) *(±|\+-) *(?P<percent>\d+(\.\d+)?) *%$"
"""What ``run.until`` may say."""
DEFAULT_THRESHOLD = 0.8
"""T_e if the config gives neither a threshold nor a target."""
CLOCKED_MODES = ("fixed-rate", "adapt-threshold")
"""Admission modes in which arrivals follow a schedule."""
ALTERNATIVES: tuple[tuple[KeyPath, ...], ...] = (
    (("scheme", "threshold"), ("scheme", "target_accuracy"), ("scheme", "accuracy_drop")),
    (
        ("placement", "partition"),
        ("placement", "copies"),
        ("placement", "replicate"),
        ("placement", "blocks"),
        ("placement", "optimise"),
    ),
    (("topology", "name"), ("topology", "edges")),
    (("emulation", "device"), ("emulation", "drawn"), ("emulation", "tiers")),
)
"""Keys that exclude each other, group by group."""


def wanted_precision(until: str | None) -> tuple[str, float] | None:
    """Figure and share, above 0, of a text such as "rate ± 2 %"; None where it is none."""
    found = re.match(UNTIL, until or "")
    share = float(found["percent"]) / 100 if found else 0.0
    return (found["figure"], share) if found and share > 0 else None


class RunSection(ConfigSection):
    """How long to run, with which seed, and where the files go."""

    name: Name = "run"
    """Part of the name of the run's folder."""
    seed: Natural = 1
    """Of every random draw of a run: arrivals, ties, loss, jitter, the corruption of digits."""
    warmup_s: Seconds = 2.0
    """Time before the measurement window, in which queues and controllers settle."""
    duration_s: PositiveSeconds = 10.0
    """Length of the measurement window: figures are of the items scheduled in it."""
    drain_s: Seconds = 10.0
    """Longest wait for items in flight after the last admission; what is left then is lost."""
    items: Count | None = None
    """Admit exactly this many items, however long it takes, instead of stopping by the clock."""
    until: str | None = None
    """Measure until a figure is known: "rate ± 2 %", or latency (its mean), latency p95, accuracy.

    Half the 95 % interval, as a share of the figure; ``duration_s`` is the longest time for it.
    """
    max_failed_share: Probability = 0.01
    """Share of the window's items that may be dropped or lost before a run is INVALID.

    More where dropping is the point of a run: up to 1.
    """
    results: str = "results"
    """Folder in which the run's own folder is made."""
    sample_s: PositiveSeconds = 0.2
    """Time between two telemetry samples of a rank."""
    trace: Probability = 1.0
    """Share of items whose steps are recorded for the item story."""
    threads: Natural = 0
    """Torch threads per rank; 0 means cores of the host / ranks on it, at least 1."""
    measured_on: Literal["hardware", "shaped link"] = "hardware"
    """How figures are labelled: ``shaped link`` when the network is shaped from outside (tc)."""
    label: str = ""
    """Free text that the report groups by, e.g. the cell of a sweep."""

    @property
    def precision(self) -> tuple[str, float] | None:
        """The figure of ``until``, and half its interval as a share."""
        return wanted_precision(self.until)

    @property
    def admission_end_s(self) -> float:
        """When the clock ends admission, from the start of the run; infinite where ``items`` do."""
        return math.inf if self.items else self.warmup_s + self.duration_s

    @property
    def measured_window_s(self) -> tuple[float, float]:
        """Planned start and end of the measured window; a run may be stopped before its end."""
        return self.warmup_s, self.admission_end_s

    @property
    def latest_end_s(self) -> float:
        """When the run is over at the latest, from its start; infinite where ``items`` end it."""
        return self.admission_end_s + self.drain_s


class PicturesSection(ConfigSection):
    """How the pictures of ``model.dataset = "images:FOLDER"`` become items."""

    side: Count = 224
    """Height and width of an item: the square in the middle of its picture."""
    broken: Literal["refuse", "skip"] = "refuse"
    """What a file that does not decode does: end the run, or be named and left out."""


class ModelSection(ConfigSection):
    """The network, its data and how it computes."""

    name: str = "digits-cnn"
    """A network of the package (docs/models.md), or your own: ``package.module:function``.

    Or ``torchvision:resnet18``, ``timm:vit_tiny_patch16_224`` where those packages are installed.
    """
    cuts: Annotated[tuple[str, ...], Strict(False)] | Count | None = None
    """Modules behind which a whole network is cut into blocks, or how many cuts to choose.

    By default 3, chosen by measured time. Weights remember where they were cut.
    """
    dataset: str = "digits"
    """The items to classify (docs/models.md), or your own pictures: ``images:FOLDER``."""
    weights: str | None = None
    """A safetensors file; by default the package's weights of this network."""
    data_dir: str | None = None
    """Folder of the data set's files; by default $MDIBENCH_DATA, else the user's cache."""
    max_batch: Count = 1
    """Waiting tasks of the same block that are computed together, at most."""
    engine: Literal["auto", "torch", "onnxruntime", "recorded"] = "auto"
    """What runs the blocks; ``auto``: ONNX Runtime where the network exports faithfully.

    ``recorded``: nothing; a rank sleeps for its emulated device's time, sends maps of the right
    size and answers what the network once said of each item.
    """
    device: Literal["cpu", "cuda", "tensorrt", "openvino", "auto"] = "cpu"
    """What every rank computes its blocks on; ``auto``: CUDA on the ranks that have it."""
    confidence: Literal["max-softmax", "entropy", "margin", "patience"] = "max-softmax"
    """What C_k is (docs/models.md)."""
    pictures: PicturesSection = PicturesSection()
    """Read where ``dataset`` is ``images:FOLDER``."""

    @property
    def recorded(self) -> bool:
        """Whether answers are recorded ones, and no rank computes."""
        return self.engine == "recorded"


class SchemeSection(ConfigSection):
    """The scheme and its parameters (algorithms 1 and 2)."""

    name: str = "mdi-exit"
    """The policies and the placement; ``mdi-exit`` is the paper's."""
    threshold: Probability | list[Probability] | None = None
    """T_e, or one per exit; 0.8 when no target is given either. At 1 an exit is closed."""
    target_accuracy: Probability | None = None
    """Choose T_e on the calibration split: as low as keeps this accuracy there."""
    accuracy_drop: Probability | None = None
    """The same, relative: as low as loses at most this much of the last exit's accuracy."""
    early_exit: bool | None = None
    """Whether items may leave early; by default as the scheme says."""
    output_queue_limit: Natural = 50
    """T_O of algorithm 1."""
    source_offloads_raw: bool = False
    """Whether τ_1 may join O_0 too."""
    admission_price: Count = 100
    """V of ``pressure``: raw items that wait at the source when it admits no more.

    The gap to the capacity bound halves as V doubles, and the latency under saturation doubles.
    """
    price_threshold: NotNegative = 1.0
    """θ of ``pressure``: what a price must fall by, in tasks, beyond the cost of a hop."""
    hop_limit: Count = 64
    """``pressure``: after so many hops, a task is computed by the next worker that can."""

    @property
    def policies(self) -> Scheme:
        """The scheme called ``name``; KeyError where there is none (a file's is checked)."""
        return SCHEMES[self.name]

    @property
    def exits_early(self) -> bool:
        """Whether items may leave before the last exit: as given, else as the scheme says."""
        return self.policies.early_exit if self.early_exit is None else self.early_exit

    @property
    def offers_raw(self) -> bool:
        """Whether τ_1 may leave the source: by the scheme, or as ``source_offloads_raw`` says."""
        return self.policies.offers_raw or self.source_offloads_raw

    @property
    def calibrated(self) -> bool:
        """Whether T_e is chosen on the calibration split, to meet a target."""
        return self.target_accuracy is not None or self.accuracy_drop is not None

    @property
    def start_threshold(self) -> float | list[float]:
        """T_e, or one per exit, as given or by default; meaningless where it is ``calibrated``."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold

    def thresholds(self, exits: int) -> tuple[float, ...]:
        """``start_threshold`` as T_e^k for each of ``exits`` exits."""
        start = self.start_threshold
        return tuple(start) if isinstance(start, list) else (start,) * exits


class AdmissionSection(ConfigSection):
    """How items arrive, and what the source adapts (algorithms 3 and 4)."""

    mode: Literal["adapt-rate", "adapt-threshold", "fixed-rate", "offline", "single-stream"] = (
        "adapt-rate"
    )
    """``adapt-rate`` (algorithm 3) moves μ, ``adapt-threshold`` (algorithm 4) moves T_e.

    ``fixed-rate`` moves nothing, ``offline`` admits as fast as there is room, ``single-stream``
    admits an item when the one before it has ended.
    """
    interarrival_s: PositiveSeconds = 0.05
    """μ; with adapt-rate only its start value."""
    arrivals: Literal["constant", "poisson", "trace"] = "constant"
    """Spacing of arrivals around μ, or ``trace``: as ``trace_file`` says."""
    trace_file: str | None = None
    """One arrival time in seconds per line, ascending; repeated when it is too short."""
    period_s: PositiveSeconds = 0.5
    """Time between two steps of the controller."""
    queue_low: Natural = 10
    """T_Q1, in tasks: with fewer waiting, the controller takes its larger step."""
    queue_high: Natural = 30
    """T_Q2, in tasks: with more waiting, the controller steps back."""
    alpha: OpenShare = 0.2
    """α: the larger step forward, a share of μ or of T_e."""
    beta: OpenShare = 0.1
    """β: the smaller step forward, from T_Q1 to T_Q2; at most α."""
    zeta: OpenShare = 0.2
    """ζ: the step back, above T_Q2."""
    threshold_min: Probability = 0.05
    """T_e never goes below it."""
    exits: Literal["together", "each"] = "together"
    """How ``adapt-threshold`` moves one threshold per exit (algorithm 4).

    ``together``: along the curve through the given ones, by one severity, so that what was
    calibrated keeps its proportions and comes back; ``each``: as the paper has it, each exit's
    own, which become equal once all have been at 1.
    """
    max_in_flight: Count = 1000
    """Items in flight beyond which an arrival is turned away (offline: held back).

    ``adapt-rate`` takes arrivals that were turned away for a queue beyond T_Q2: behind a bottleneck
    of another rank the source's own queues stay short.
    """

    @property
    def clocked(self) -> bool:
        """Whether arrivals follow a schedule, independent of the system."""
        return self.mode in CLOCKED_MODES

    @property
    def rate_per_s(self) -> float:
        """1 / μ: the rate of arrivals, at the start where a controller moves it."""
        return 1 / self.interarrival_s


class PlacementSection(ConfigSection):
    """Which ranks hold which blocks: one of the five ways; ``partition`` when none is given."""

    partition: bool = False
    """Each block on one rank: contiguous pieces, the slowest rank as fast as possible."""
    copies: Count | None = None
    """The partition, with each block on this many ranks."""
    replicate: bool = False
    """Every block on every rank."""
    blocks: dict[str, list[Count]] | None = None
    """Explicit: rank -> blocks, e.g. ``0 = [1, 2]``."""
    optimise: Literal["rate", "latency"] | None = None
    """What fits the devices' memory, by a mixed-integer program: for the highest rate, or for the
    least latency of a single item. Needs ``emulation.device``."""
    go_on: list[Probability] | None = None
    """``optimise``: the share of items that go on after each exit but the last, as ``mdibench
    bound`` prints it; by default every item goes all the way."""


class SearchSection(ConfigSection):
    """Search for the highest rate that keeps a latency percentile under an objective."""

    objective_ms: Positive
    """The latency objective."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 99.0
    """Percentile of the latency that must stay within it."""
    precision: OpenShare = 0.05
    """Stop when the answer is known to this share of the rate."""


class SweepSection(ConfigSection):
    """A matrix of runs (``mdibench sweep``): every combination of the axes, several times."""

    repeats: Count = 5
    """Runs of each cell; repeat r has the seed ``run.seed + r - 1``."""
    until: str | None = None
    """Repeat further where differences are not settled: "rate ± 2 %", or as in ``run.until``.

    Of every cell it must be known whether it differs from the best cell that it can be compared
    with, or lies within that share of it. Until then it runs again, and the best one with it.
    """
    max_repeats: Count = 20
    """With ``until``: most runs of a cell."""
    seed: Natural = 1
    """Of the order of the cells, which is another one in every repeat."""
    ranks: Count | None = None
    """World size of cells whose axes do not give one; by default what the topology needs."""
    fresh: bool = False
    """New processes for every run, as figures of memory need them; slower."""
    axes: dict[str, Any] = Field({})
    """Config key -> its values. A value may be a table of keys, with a ``label`` and ``ranks``."""

    @property
    def precision(self) -> tuple[str, float] | None:
        """The figure of ``until``, and how near to the best cell's is as good as equal."""
        return wanted_precision(self.until)


class EventEntry(ConfigSection):
    """An event during a run, simulated or real, at a time of its clock.

    ``join``: the worker is absent before; ``leave``: it takes no new tasks and finishes its own;
    ``fail``: it stops without notice; ``slow``: its blocks take ``factor`` times as long as at the
    start; ``link``: both directions of an edge change; ``load``: items arrive ``factor`` times as
    fast as at the start.
    """

    at_s: Seconds
    """When, from the start of the run."""
    kind: Literal["join", "leave", "fail", "slow", "link", "load"]
    """What happens."""
    rank: Rank | None = None
    """To whom: ``join``, ``leave``, ``fail`` and ``slow``."""
    between: RankPair | None = None
    """To which edge: ``link``."""
    factor: Positive | None = None
    """How much: ``slow`` and ``load``."""
    bandwidth_mbps: Positive | None = None
    """New bandwidth: ``link``."""
    delay_ms: NotNegative | None = None
    """New delay: ``link``."""


class RunConfig(ConfigSection):
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
    sweep: SweepSection | None = None
    """Used by ``mdibench sweep`` only."""
    events: list[EventEntry] = Field([])
    """What happens during the run, simulated or real."""
    _origins: Origins = PrivateAttr(default_factory=Origins)

    def where(self, *path: str | int) -> str:
        """Where the value at ``path`` was written: ``file:line: key``, ``--set key`` or the key."""
        return self._origins.where(path)

    def with_origins(self, origins: Origins) -> RunConfig:
        """A copy of this config with the places where its values were written."""
        twin = self.model_copy()
        twin._origins = origins
        return twin
