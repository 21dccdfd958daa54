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
class Column:
    """A column: its name (with unit), type and meaning. Any value may be missing (null)."""

    name: str
    type: ColumnType
    meaning: str


ITEMS = (
    Column("item", "int", "index of the item in the run, in order of scheduled arrival"),
    Column("sample", "int", "index of its input in the evaluation data"),
    Column("label", "int", "true class"),
    Column("prediction", "int", "class given; null unless status is ok"),
    Column("correct", "bool", "prediction equals label; null unless status is ok"),
    Column("exit", "int", "exit taken, 1 to K; null unless status is ok"),
    Column("confidence", "float", "C_k of the exit taken"),
    Column("threshold", "float", "T_e of that exit when it was taken"),
    Column("scheduled_s", "float", "when the arrival schedule wanted the item to arrive"),
    Column("admitted_s", "float", "when it was admitted; null when it was turned away"),
    Column("completed_s", "float", "when its result reached the source's ledger"),
    Column("latency_s", "float", "completed_s - scheduled_s"),
    Column("hops", "int", "transfers of its tasks between ranks, relays included"),
    Column("wire_bytes", "int", "bytes those transfers carried, headers included"),
    Column("path", "text", "ranks that computed its blocks, in order, as 0>2>2>1"),
    Column("attempts", "int", "1, plus one per re-run after a suspected worker"),
    Column("status", "text", "ok, dropped or lost"),
    Column("reason", "text", "why it was dropped or lost, else empty"),
)

TELEMETRY = (
    Column("t_s", "float", "when the sample was taken"),
    Column("rank", "int", "rank it describes"),
    Column("input_queue", "int", "|I_n|"),
    Column("output_queue", "int", "|O_n|"),
    Column("input_peak", "int", "largest |I_n| so far"),
    Column("output_peak", "int", "largest |O_n| so far"),
    Column("input_waited_s", "float", "summed waiting time of the tasks that have left I_n"),
    Column("output_waited_s", "float", "summed waiting time of the tasks that have left O_n"),
    Column("tasks", "int", "tasks computed"),
    Column("busy_s", "float", "time spent in compute (emulated pacing included)"),
    Column("encode_s", "float", "time spent encoding and decoding feature maps"),
    Column("send_s", "float", "time with nothing to compute and at least one transfer under way"),
    Column("wait_s", "float", "time with nothing to compute while tasks wait in the output queue"),
    Column("gamma_s", "float", "Γ_n, mean compute time of one task"),
    Column("sent_bytes", "int", "bytes of tasks, results and states sent"),
    Column("received_bytes", "int", "the same, received"),
    Column("gossip_bytes", "int", "bytes of pure state messages sent"),
    Column("exits", "ints", "items that left here, by exit 1 to K"),
    Column("threshold", "float", "T_e in force (the first exit's where they differ)"),
    Column("interarrival_s", "float", "μ; rank 0 only"),
    Column("offered", "int", "items scheduled so far; rank 0 only"),
    Column("in_flight", "int", "admitted items without a result; rank 0 only"),
    Column("overruns", "int", "tasks that real compute delayed past the emulated device's time"),
    Column("flops", "int", "FLOPs executed, heads included"),
    Column("refused", "int", "messages with a malformed header"),
    Column("rss_bytes", "int", "resident memory; null in a simulation"),
    Column("cpu_s", "float", "processor time of the process; null in a simulation"),
    Column("energy_j", "float", "energy of the host since the start; its first rank, with a meter"),
)

LINKS = (
    Column("t_s", "float", "when the sample was taken"),
    Column("source", "int", "sending rank"),
    Column("target", "int", "receiving rank"),
    Column("messages", "int", "messages sent"),
    Column("tasks", "int", "tasks sent"),
    Column("bytes", "int", "bytes sent, headers included"),
    Column("hop_delay_s", "float", "D_nm; null until a task crossed"),
    Column("ping_pongs", "int", "tasks sent back to the rank they had just come from"),
)

STEPS = (
    Column("t_s", "float", "when the step ended"),
    Column("rank", "int", "rank that took it"),
    Column("item", "int", "item it belongs to"),
    Column("attempt", "int", "0, plus one per re-run"),
    Column("block", "int", "compute: block run; else: block of the task"),
    Column("kind", "text", "compute, keep (from O_n to I_n) or send"),
    Column("queued_s", "float", "time in I_n (compute) or O_n (keep, send) before the step"),
    Column("duration_s", "float", "compute: time of the block and head"),
    Column("confidence", "float", "compute: C_k"),
    Column("threshold", "float", "compute: T_e^k"),
    Column("prediction", "int", "compute: class that the head gave"),
    Column("verdict", "text", "compute: exit, input or output; else: the rule that decided"),
    Column("target", "int", "send: receiving rank"),
    Column("input_queue", "int", "|I_n| as the policy saw it"),
    Column("output_queue", "int", "|O_n| as the policy saw it"),
    Column("gamma_s", "float", "Γ_n as the policy saw it"),
    Column("target_input_queue", "int", "send: |I_m| as the policy saw it"),
    Column("target_gamma_s", "float", "send: Γ_m as the policy saw it"),
    Column("hop_delay_s", "float", "send: D_nm as the policy saw it"),
    Column("info_age_s", "float", "send: age of what m last told"),
    Column("payload_bytes", "int", "send: bytes of the feature map before the codec"),
    Column("batch", "int", "compute: tasks that were computed together, in duration_s"),
)

EVENTS = (
    Column("t_s", "float", "when it happened"),
    Column("rank", "int", "rank it happened on"),
    Column("level", "text", "info, warning or error"),
    Column("kind", "text", "phase, suspect, recovered, log, or what a script of [[events]] did"),
    Column("text", "text", "one line for a person"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "items": ITEMS,
    "telemetry": TELEMETRY,
    "links": LINKS,
    "steps": STEPS,
    "events": EVENTS,
}


def names(table: str) -> list[str]:
    """The column names of ``table``, in the order of a row's values."""
    return [column.name for column in TABLES[table]]
