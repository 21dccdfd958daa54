"""Telemetry rows of a node and lines of the log, the same in every world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mdibench.core.node import Node
from mdibench.core.wire import TableRow
from mdibench.transport.links import Traffic


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """What only a real process can tell; not known in a simulation."""

    rss_bytes: int | None = None
    cpu_s: float | None = None
    energy_j: float | None = None


NO_PROCESS = ProcessFacts()


def telemetry_row(
    node: Node, traffic: Traffic, t_s: float, process: ProcessFacts = NO_PROCESS
) -> TableRow:
    """One row of the table ``telemetry`` about ``node`` at ``t_s``."""
    worker, source, counters = node.worker, node.source, node.worker.counters
    waiting, leaving = worker.input_queue.statistics(), worker.output_queue.statistics()
    row = (
        t_s, worker.setup.rank, worker.waiting, leaving.length,
        waiting.peak, leaving.peak, waiting.waited_s, leaving.waited_s,
        counters.tasks, counters.busy_s, traffic.encode_s, counters.send_s, counters.wait_s,
        worker.gamma_s, traffic.sent_bytes, traffic.received_bytes, traffic.gossip_bytes,
        list(counters.exits), worker.thresholds[0],
        source.interarrival_s if source else None,
        source.totals.offered if source else None,
        source.in_flight if source else None,
        traffic.overruns, traffic.flops, traffic.refused, process.rss_bytes, process.cpu_s,
        process.energy_j,
    )  # fmt: skip
    return "telemetry", row


def link_rows(node: Node, traffic: Traffic, t_s: float) -> list[TableRow]:
    """One row of the table ``links`` for each neighbour of ``node``."""
    rows: list[TableRow] = []
    for rank, neighbour in node.worker.neighbours.items():
        link = traffic.links[rank]
        row = (
            t_s, node.worker.setup.rank, rank, link.messages, link.tasks, link.bytes,
            neighbour.hop_delay_s or None, neighbour.ping_pongs,
        )  # fmt: skip
        rows.append(("links", row))
    return rows


def log_line(row: Sequence[object]) -> str:
    """A row of the table ``events`` as a line of ``log.txt``."""
    t_s, rank, level, kind, text = row
    return f"{t_s:10.4f} rank {rank} {level} {kind}: {text}\n"
