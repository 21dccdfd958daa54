"""The tables of a run: one definition for the live stream, the Parquet files and the reader.

A table is a tuple of columns; a row is a tuple of values in that order. Times end in ``_s`` and
are seconds since the run's start on the source's clock; counters are cumulative since that start.
Adding a column raises ``MINOR``; a reader accepts every minor of its own major, newer ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAJOR = 1
MINOR = 0

ColumnType = Literal["int", "float", "bool", "text", "ints"]


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its name (with unit), type and meaning. Any value may be missing (null)."""

    name: str
    type: ColumnType
    meaning: str


ITEMS = (
    Field("item", "int", "index of the item in the run, in order of scheduled arrival"),
    Field("sample", "int", "index of its input in the evaluation data"),
    Field("label", "int", "true class"),
    Field("prediction", "int", "class given; null unless status is ok"),
    Field("correct", "bool", "prediction equals label; null unless status is ok"),
    Field("exit", "int", "exit taken, 1 to K; null unless status is ok"),
    Field("confidence", "float", "C_k of the exit taken"),
    Field("threshold", "float", "T_e of that exit when it was taken"),
    Field("scheduled_s", "float", "when the arrival schedule wanted the item to arrive"),
    Field("admitted_s", "float", "when it was admitted; null when it was turned away"),
    Field("completed_s", "float", "when its result reached the source's ledger"),
    Field("latency_s", "float", "completed_s - scheduled_s"),
    Field("hops", "int", "transfers of its tasks between ranks, relays included"),
    Field("wire_bytes", "int", "bytes those transfers carried, headers included"),
    Field("path", "text", "ranks that computed its blocks, in order, as 0>2>2>1"),
    Field("attempts", "int", "1, plus one per re-run after a suspected worker"),
    Field("status", "text", "ok, dropped or lost"),
    Field("reason", "text", "why it was dropped or lost, else empty"),
)

TELEMETRY = (
    Field("t_s", "float", "when the sample was taken"),
    Field("rank", "int", "rank it describes"),
    Field("input_queue", "int", "|I_n|"),
    Field("output_queue", "int", "|O_n|"),
    Field("input_peak", "int", "largest |I_n| so far"),
    Field("output_peak", "int", "largest |O_n| so far"),
    Field("input_waited_s", "float", "summed waiting time of the tasks that have left I_n"),
    Field("output_waited_s", "float", "summed waiting time of the tasks that have left O_n"),
    Field("tasks", "int", "tasks computed"),
    Field("busy_s", "float", "time spent in compute (emulated pacing included)"),
    Field("encode_s", "float", "time spent encoding and decoding feature maps"),
    Field("send_s", "float", "time with nothing to compute and at least one transfer under way"),
    Field("wait_s", "float", "time with nothing to compute while tasks wait in the output queue"),
    Field("gamma_s", "float", "Γ_n, mean compute time of one task"),
    Field("sent_bytes", "int", "bytes of tasks, results and states sent"),
    Field("received_bytes", "int", "the same, received"),
    Field("gossip_bytes", "int", "bytes of pure state messages sent"),
    Field("exits", "ints", "items that left here, by exit 1 to K"),
    Field("threshold", "float", "T_e in force (the first exit's where they differ)"),
    Field("interarrival_s", "float", "μ; rank 0 only"),
    Field("offered", "int", "items scheduled so far; rank 0 only"),
    Field("in_flight", "int", "admitted items without a result; rank 0 only"),
    Field("overruns", "int", "tasks that real compute delayed past the emulated device's time"),
    Field("flops", "int", "FLOPs executed, heads included"),
    Field("refused", "int", "messages with a malformed header"),
    Field("rss_bytes", "int", "resident memory; null in a simulation"),
    Field("cpu_s", "float", "processor time of the process; null in a simulation"),
    Field("energy_j", "float", "energy of the host since the start; its first rank, with a meter"),
)

LINKS = (
    Field("t_s", "float", "when the sample was taken"),
    Field("source", "int", "sending rank"),
    Field("target", "int", "receiving rank"),
    Field("messages", "int", "messages sent"),
    Field("tasks", "int", "tasks sent"),
    Field("bytes", "int", "bytes sent, headers included"),
    Field("hop_delay_s", "float", "D_nm; null until a task crossed"),
    Field("ping_pongs", "int", "tasks sent back to the rank they had just come from"),
)

STEPS = (
    Field("t_s", "float", "when the step ended"),
    Field("rank", "int", "rank that took it"),
    Field("item", "int", "item it belongs to"),
    Field("attempt", "int", "0, plus one per re-run"),
    Field("block", "int", "compute: block run; else: block of the task"),
    Field("kind", "text", "compute, keep (from O_n to I_n) or send"),
    Field("queued_s", "float", "time in I_n (compute) or O_n (keep, send) before the step"),
    Field("duration_s", "float", "compute: time of the block and head"),
    Field("confidence", "float", "compute: C_k"),
    Field("threshold", "float", "compute: T_e^k"),
    Field("prediction", "int", "compute: class that the head gave"),
    Field("verdict", "text", "compute: exit, input or output; else: the rule that decided"),
    Field("target", "int", "send: receiving rank"),
    Field("input_queue", "int", "|I_n| as the policy saw it"),
    Field("output_queue", "int", "|O_n| as the policy saw it"),
    Field("gamma_s", "float", "Γ_n as the policy saw it"),
    Field("target_input_queue", "int", "send: |I_m| as the policy saw it"),
    Field("target_gamma_s", "float", "send: Γ_m as the policy saw it"),
    Field("hop_delay_s", "float", "send: D_nm as the policy saw it"),
    Field("info_age_s", "float", "send: age of what m last told"),
    Field("payload_bytes", "int", "send: bytes of the feature map before the codec"),
    Field("batch", "int", "compute: tasks that were computed together, in duration_s"),
)

EVENTS = (
    Field("t_s", "float", "when it happened"),
    Field("rank", "int", "rank it happened on"),
    Field("level", "text", "info, warning or error"),
    Field("kind", "text", "phase, suspect, recovered, log, or what a script of [[events]] did"),
    Field("text", "text", "one line for a person"),
)

TABLES: dict[str, tuple[Field, ...]] = {
    "items": ITEMS,
    "telemetry": TELEMETRY,
    "links": LINKS,
    "steps": STEPS,
    "events": EVENTS,
}


def names(table: str) -> list[str]:
    """The column names of ``table``, in the order of a row's values."""
    return [column.name for column in TABLES[table]]
