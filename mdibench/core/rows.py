"""The rows of a run's files: one class per table, and the rows of ``steps`` from what they tell.

A field is a column: its name (with unit), type and meaning. ``mdibench.record.schema`` derives the
columns of the files from them, in the order of the fields. Times end in ``_s`` and are seconds
since the run's start on the source's clock; counters are cumulative since that start. No field has
a default: a producer names every column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeAlias

from mdibench.core.neighbours import Neighbour
from mdibench.core.queues import Entry
from mdibench.policy.algorithms import Keep, OffloadView


class ItemRow(NamedTuple):
    """One row per offered item, written once, when the item ends."""

    item: Annotated[int, "index of the item in the run, in order of scheduled arrival"]
    sample: Annotated[int, "index of its input in the evaluation data"]
    label: Annotated[int, "true class"]
    prediction: Annotated[int | None, "class given; null unless status is ok"]
    correct: Annotated[bool | None, "prediction equals label; null unless status is ok"]
    exit: Annotated[int | None, "exit taken, 1 to K; null unless status is ok"]
    confidence: Annotated[float | None, "C_k of the exit taken"]
    threshold: Annotated[float | None, "T_e of that exit when it was taken"]
    scheduled_s: Annotated[float, "when the arrival schedule wanted the item to arrive"]
    admitted_s: Annotated[float | None, "when it was admitted; null when it was turned away"]
    completed_s: Annotated[float | None, "when its result reached the source's ledger"]
    latency_s: Annotated[float | None, "completed_s - scheduled_s"]
    hops: Annotated[int | None, "transfers of its tasks between ranks, relays included"]
    wire_bytes: Annotated[int | None, "bytes those transfers carried, headers included"]
    path: Annotated[str, "ranks that computed, in order, as 0>2>2>1; blocks of one call count once"]
    attempts: Annotated[int, "1, plus one per re-run after a suspected worker"]
    status: Annotated[str, "ok, dropped or lost"]
    reason: Annotated[str, "why it was dropped or lost, else empty"]


class TelemetryRow(NamedTuple):
    """One row per rank and sample; counters are cumulative since the start."""

    t_s: Annotated[float, "when the sample was taken"]
    rank: Annotated[int, "rank it describes"]
    input_queue: Annotated[int, "|I_n|"]
    output_queue: Annotated[int, "|O_n|"]
    input_peak: Annotated[int, "largest |I_n| so far"]
    output_peak: Annotated[int, "largest |O_n| so far"]
    input_waited_s: Annotated[float, "summed waiting time of the tasks that have left I_n"]
    output_waited_s: Annotated[float, "summed waiting time of the tasks that have left O_n"]
    tasks: Annotated[int, "tasks computed"]
    busy_s: Annotated[float, "time spent in compute (emulated pacing included)"]
    encode_s: Annotated[float, "time spent encoding and decoding feature maps"]
    send_s: Annotated[float, "time with nothing to compute and at least one transfer under way"]
    wait_s: Annotated[float, "time with nothing to compute while tasks wait in the output queue"]
    gamma_s: Annotated[float, "Γ_n, mean compute time of one task"]
    sent_bytes: Annotated[int, "bytes of tasks, results and states sent"]
    received_bytes: Annotated[int, "the same, received"]
    gossip_bytes: Annotated[int, "bytes of pure state messages sent"]
    exits: Annotated[Sequence[int], "items that left here, by exit 1 to K"]
    block_tasks: Annotated[Sequence[int], "tasks computed, by the first block of their call"]
    block_busy_s: Annotated[Sequence[float], "time spent computing these"]
    threshold: Annotated[float, "T_e in force (the first exit's where they differ)"]
    interarrival_s: Annotated[float | None, "μ; rank 0 only"]
    offered: Annotated[int | None, "items scheduled so far; rank 0 only"]
    in_flight: Annotated[int | None, "admitted items without a result; rank 0 only"]
    overruns: Annotated[int, "tasks that real compute delayed past the emulated device's time"]
    flops: Annotated[int, "FLOPs executed, heads included"]
    refused: Annotated[int, "messages with a malformed header"]
    rss_bytes: Annotated[int | None, "resident memory; null in a simulation"]
    cpu_s: Annotated[float | None, "processor time of the process; null in a simulation"]
    energy_j: Annotated[
        float | None, "energy of the host since the start; its first rank, with a meter"
    ]
    temperature_c: Annotated[
        float | None, "temperature of the host's processor; its first rank, with a sensor"
    ]
    clock_hz: Annotated[float | None, "mean clock frequency of the host's cores; its first rank"]
    throttled: Annotated[
        bool | None,
        "whether heat, current or low voltage slowed the host since the sample before; "
        "its first rank",
    ]


class LinkRow(NamedTuple):
    """One row per direction of a link and sample; counters are cumulative."""

    t_s: Annotated[float, "when the sample was taken"]
    source: Annotated[int, "sending rank"]
    target: Annotated[int, "receiving rank"]
    messages: Annotated[int, "messages sent"]
    tasks: Annotated[int, "tasks sent"]
    bytes: Annotated[int, "bytes sent, headers included"]
    hop_delay_s: Annotated[float | None, "D_nm; null until a task crossed"]
    ping_pongs: Annotated[int, "tasks sent back to the rank they had just come from"]


class StepRow(NamedTuple):
    """One row per computation of a traced item or decision about it."""

    t_s: Annotated[float, "when the step ended"]
    rank: Annotated[int, "rank that took it"]
    item: Annotated[int, "item it belongs to"]
    attempt: Annotated[int, "0, plus one per re-run"]
    block: Annotated[int, "compute: block run; else: block of the task"]
    kind: Annotated[str, "compute, keep (from O_n to I_n) or send"]
    queued_s: Annotated[float, "time in I_n (compute) or O_n (keep, send) before the step"]
    duration_s: Annotated[float | None, "compute: time of the block and head"]
    confidence: Annotated[float | None, "compute: C_k"]
    threshold: Annotated[float | None, "compute: T_e^k"]
    prediction: Annotated[int | None, "compute: class that the head gave"]
    verdict: Annotated[str, "compute: exit, input or output; else: the rule that decided"]
    target: Annotated[int | None, "send: receiving rank"]
    input_queue: Annotated[int, "|I_n| as the policy saw it"]
    output_queue: Annotated[int, "|O_n| as the policy saw it"]
    gamma_s: Annotated[float, "Γ_n as the policy saw it"]
    target_input_queue: Annotated[int | None, "send: |I_m| as the policy saw it"]
    target_gamma_s: Annotated[float | None, "send: Γ_m as the policy saw it"]
    hop_delay_s: Annotated[float | None, "send: D_nm as the policy saw it"]
    info_age_s: Annotated[float | None, "send: age of what m last told"]
    payload_bytes: Annotated[int | None, "send: bytes of the feature map before the codec"]
    batch: Annotated[int | None, "compute: tasks that were computed together, in duration_s"]
    price: Annotated[
        float | None, "compute, send; scheme pressure: tasks of the block here when it was chosen"
    ]
    next_price: Annotated[
        float | None, "the price that price exceeded: after the block, or at m; biases included"
    ]


class EventRow(NamedTuple):
    """One row per notable event."""

    t_s: Annotated[float, "when it happened"]
    rank: Annotated[int, "rank it happened on"]
    level: Annotated[str, "info, warning or error"]
    kind: Annotated[str, "phase, suspect, recovered, log, or what a script of [[events]] did"]
    text: Annotated[str, "one line for a person"]


Row: TypeAlias = ItemRow | TelemetryRow | LinkRow | StepRow | EventRow

ROWS: dict[str, type[Row]] = {
    "items": ItemRow,
    "telemetry": TelemetryRow,
    "links": LinkRow,
    "steps": StepRow,
    "events": EventRow,
}
"""The class of a table's rows."""
_TABLES = {row: table for table, row in ROWS.items()}


def table_of(row: Row) -> str:
    """The table that ``row`` belongs to."""
    return _TABLES[type(row)]


# --- rows of steps ---------------------------------------------------------------------------
# What a worker did with a task, and the numbers it went by. ``StepRow.__new__`` as a method:
# CPython 3.11 makes a dict of more than 15 keywords in any other call, which takes a microsecond
# longer.

Prices: TypeAlias = tuple[float | None, float | None]
"""``price`` and ``next_price``."""
NO_PRICES: Prices = (None, None)

_GOLDEN = 0x9E3779B1
"""Knuth's multiplicative hash: spreads consecutive items evenly over 32 bits."""


def traced(item: int, share: float) -> bool:
    """Whether the steps of ``item`` are recorded; every rank answers the same."""
    return share > 0 and item * _GOLDEN % 2**32 < share * 2**32


def compute_step(
    *,
    now: float,
    rank: int,
    entry: Entry,
    batch: tuple[int, float],
    confidence: float,
    threshold: float,
    prediction: int,
    verdict: str,
    queues: tuple[int, int],
    gamma_s: float,
    prices: Prices,
) -> StepRow:
    """A block was run on a ``batch`` of so many tasks, in so many seconds together.

    ``queues`` are |I_n| and |O_n| before the task joined one of them.
    """
    task, (count, batch_s), (input_queue, output_queue) = entry.task, batch, queues
    return StepRow.__new__(
        StepRow,
        t_s=now, rank=rank, item=task.item, attempt=task.attempt, block=task.block, kind="compute",
        queued_s=max(0.0, now - entry.since_s - batch_s), duration_s=batch_s,
        confidence=confidence, threshold=threshold, prediction=prediction, verdict=verdict,
        target=None, input_queue=input_queue, output_queue=output_queue, gamma_s=gamma_s,
        target_input_queue=None, target_gamma_s=None, hop_delay_s=None, info_age_s=None,
        payload_bytes=None, batch=count, price=prices[0], next_price=prices[1],
    )  # fmt: skip


def keep_step(now: float, rank: int, entry: Entry, decision: Keep, view: OffloadView) -> StepRow:
    """A task left O_n for I_n: the rule that decided, and what the policy saw."""
    task = entry.task
    return StepRow.__new__(
        StepRow,
        t_s=now, rank=rank, item=task.item, attempt=task.attempt, block=task.block, kind="keep",
        queued_s=now - entry.since_s, duration_s=None,
        confidence=None, threshold=None, prediction=None, verdict=decision.rule, target=None,
        input_queue=view.input_queue, output_queue=view.output_queue, gamma_s=view.gamma_s,
        target_input_queue=None, target_gamma_s=None, hop_delay_s=None, info_age_s=None,
        payload_bytes=None, batch=None, price=None, next_price=None,
    )  # fmt: skip


def send_step(
    *,
    now: float,
    rank: int,
    entry: Entry,
    rule: str,
    queues: tuple[int, int],
    gamma_s: float,
    target: Neighbour,
    prices: Prices = NO_PRICES,
) -> StepRow:
    """A task was offloaded: the rule that decided, and what the policy saw of both sides."""
    task = entry.task
    return StepRow.__new__(
        StepRow,
        t_s=now, rank=rank, item=task.item, attempt=task.attempt, block=task.block, kind="send",
        queued_s=now - entry.since_s, duration_s=None,
        confidence=None, threshold=None, prediction=None, verdict=rule, target=target.rank,
        input_queue=queues[0], output_queue=queues[1], gamma_s=gamma_s,
        target_input_queue=target.input_queue, target_gamma_s=target.gamma_s,
        hop_delay_s=target.hop_delay_s, info_age_s=now - target.told_s,
        payload_bytes=task.payload_bytes, batch=None, price=prices[0], next_price=prices[1],
    )  # fmt: skip
