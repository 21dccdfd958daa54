"""Everything that the monitor shows of one moment, as frozen records without any drawing.

Rates and shares named ``recent`` look back ``RECENT_S`` seconds. Times are run time in seconds.
NaN means "not known".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mdibench.analysis.shares import Share
from mdibench.core.rows import EventRow
from mdibench.monitor.facts import RunFacts

StateWord = Literal[
    "starting", "warm-up", "running", "draining", "complete", "aborted", "stalled", "failed"
]
RunPhase = Literal["warm-up", "running", "draining"]
STALLED_AFTER_S = 3.0
"""Ranks report every ``sample_s`` (0.2 s by default): a longer silence means that a rank hangs."""
STALLED_AFTER_SAMPLES = 10
OVER = ("complete", "aborted", "failed")


@dataclass(frozen=True, slots=True)
class RunState:
    """State and reason."""

    word: StateWord
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.word in OVER

    @property
    def healthy(self) -> bool:
        """Whether the run neither failed nor stalled."""
        return self.word not in ("aborted", "failed", "stalled")


@dataclass(frozen=True, slots=True)
class Signs:
    """The observable signs of a run's state.

    ``status`` is that of ``run_folder.status`` (``aborted`` where the writer is gone), ``ended``
    the stream's end line, ``silence_s`` the time since the newest record.
    """

    status: str = "running"
    reason: str = ""
    ended: tuple[str, str] | None = None
    silence_s: float = 0.0
    sample_s: float = 0.2


def state_of(signs: Signs, phase: RunPhase, newest_s: float) -> RunState:
    """The state of a run, by the first sign that decides: end line, status, silence."""
    if signs.ended is not None:
        return _final(*signs.ended)
    if signs.status != "running":
        died = "the run died: its writer is gone" if signs.status == "aborted" else ""
        return _final(signs.status, signs.reason or died)
    if signs.silence_s > max(STALLED_AFTER_S, STALLED_AFTER_SAMPLES * signs.sample_s):
        return RunState("stalled", f"no report for {signs.silence_s:.0f} s")
    return RunState("starting" if newest_s <= 0 else phase)


def phase_at(moment_s: float, warmup_s: float, events: Sequence[EventRow]) -> RunPhase:
    """The source's phase at ``moment_s``; ``events`` are those up to that moment."""
    phases = [event.text for event in events if event.kind == "phase"]
    if phases and phases[-1].startswith(("draining", "ended")):
        return "draining"
    warm = moment_s >= warmup_s or any(text.startswith("warm-up over") for text in phases)
    return "running" if warm else "warm-up"


def _final(status: str, reason: str) -> RunState:
    word: StateWord = "aborted"
    if status == "complete":
        word = "complete"
    elif status == "failed":
        word = "failed"
    return RunState(word, reason)


# --- snapshot ------------------------------------------------------------------------------------

RECENT_S = 5.0
Floats = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Items that arrived and ended, since the start and per second recently."""

    offered: int
    admitted: int
    completed: int
    dropped: int
    lost: int
    in_flight: int | None
    offered_per_s: float
    completed_per_s: float
    mean_per_s: float
    """Completions per second since warm-up, up to the end of the measured window."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Accuracy of admitted items (a lost one is wrong) and of all offered (so is a dropped one)."""

    run: Share
    recent: Share
    of_offered: Share


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in seconds, from the scheduled arrival."""

    p50: float
    p95: float
    p99: float
    largest: float
    count: int


@dataclass(frozen=True, slots=True)
class ControlView:
    """Inputs and outputs of the source's controller."""

    mode: str
    threshold: float
    interarrival_s: float
    queue: int | None
    """q = |I_0| + |O_0|."""
    queue_low: int
    queue_high: int


@dataclass(frozen=True, slots=True)
class RankView:
    """One worker. Rates are recent ones; ``age_s`` is the time since its last report."""

    rank: int
    host: str
    device: str
    blocks: tuple[int, ...]
    reported: bool
    age_s: float
    stale: bool
    input_queue: int
    output_queue: int
    busy: float
    send: float
    wait: float
    gamma_s: float
    tasks: int
    tasks_per_s: float
    sent_per_s: float
    """Bytes per second, all messages."""
    received_per_s: float
    exits: tuple[int, ...]
    overruns: int
    refused: int
    rss_bytes: float
    cpu: float
    """Processor time per second: 1.0 is one core."""
    temperature_c: float
    clock_hz: float
    throttled: bool
    """Of its host, told by the host's first rank."""
    input_history: Floats
    output_history: Floats


@dataclass(frozen=True, slots=True)
class ExitView:
    """One exit: number, share, accuracy and confidence of the items that left there."""

    exit: int
    left: int
    share: float
    accuracy: Share
    confidence: float


@dataclass(frozen=True, slots=True)
class LinkView:
    """Matrices [source][target]; NaN in ``hop_delay_s`` until a task crossed."""

    tasks: tuple[Floats, ...]
    tasks_per_s: tuple[Floats, ...]
    bytes_per_s: tuple[Floats, ...]
    hop_delay_s: tuple[Floats, ...]
    ping_pongs: int


@dataclass(frozen=True, slots=True)
class History:
    """Series over ``edges_s`` (one more edge than values); the newest bin may be incomplete."""

    edges_s: Floats
    completed_per_s: Floats
    offered_per_s: Floats
    accuracy: Floats
    p50_s: Floats
    p95_s: Floats
    p99_s: Floats
    threshold: Floats
    interarrival_s: Floats
    in_flight: Floats
    input_queue: tuple[Floats, ...]
    output_queue: tuple[Floats, ...]
    """Per rank, in the order of ``Snapshot.ranks``."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of the event log."""

    t_s: float
    rank: int
    level: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark on the time line: ``kind`` is phase, trouble, loss or change."""

    t_s: float
    kind: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the screen shows about one moment of a run."""

    facts: RunFacts
    state: RunState
    """The state of the run now, whatever moment is shown."""
    phase: RunPhase
    """The source's phase at ``t_s``."""
    t_s: float
    """The moment shown."""
    end_s: float
    """The newest moment that can be shown: now in a live run, the end of a finished one."""
    flow: Throughput
    quality: Quality
    latency: Latency
    recent_latency: Latency
    control: ControlView
    ranks: tuple[RankView, ...]
    exits: tuple[ExitView, ...]
    links: LinkView
    history: History
    events: tuple[EventLine, ...]
    marks: tuple[Mark, ...]
    slowest: tuple[int, ...]
    """Items of the last seconds with the largest latencies, slowest first."""

    @property
    def over(self) -> bool:
        """Whether the run has ended, completely or not."""
        return self.state.over
