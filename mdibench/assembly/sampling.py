"""Telemetry rows and log lines, the same for real and simulated runs."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass

from mdibench.assembly.environment import TERMINAL_VARIABLE
from mdibench.core.node import Node
from mdibench.core.rows import EventRow, LinkRow, TelemetryRow
from mdibench.core.source import Source
from mdibench.errors import write_stderr
from mdibench.transport.links import Traffic


@dataclass(frozen=True, slots=True)
class Condition:
    """How a host is doing; None where it does not tell."""

    temperature_c: float | None = None
    clock_hz: float | None = None
    throttled: bool | None = None


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """Figures of a real process; None in a simulation."""

    rss_bytes: int | None = None
    cpu_s: float | None = None
    energy_j: float | None = None
    condition: Condition = Condition()


NO_PROCESS = ProcessFacts()


def telemetry_row(
    node: Node, traffic: Traffic, t_s: float, process: ProcessFacts = NO_PROCESS
) -> TelemetryRow:
    """The telemetry of ``node`` at ``t_s``."""
    worker, source, counters = node.worker, node.source, node.worker.counters
    waiting, leaving = worker.input_queue.statistics(), worker.output_queue.statistics()
    return TelemetryRow(
        t_s=t_s,
        rank=worker.setup.rank,
        input_queue=worker.waiting,
        output_queue=leaving.length,
        input_peak=waiting.peak,
        output_peak=leaving.peak,
        input_waited_s=waiting.waited_s,
        output_waited_s=leaving.waited_s,
        tasks=sum(counters.block_tasks),
        busy_s=sum(counters.block_busy_s),
        encode_s=traffic.encode_s,
        send_s=counters.send_s,
        wait_s=counters.wait_s,
        gamma_s=worker.gamma_s,
        sent_bytes=traffic.sent_bytes,
        received_bytes=traffic.received_bytes,
        gossip_bytes=traffic.gossip_bytes,
        exits=list(counters.exits),
        block_tasks=list(counters.block_tasks),
        block_busy_s=list(counters.block_busy_s),
        threshold=worker.thresholds[0],
        interarrival_s=source.interarrival_s if source else None,
        offered=source.totals.offered if source else None,
        in_flight=source.in_flight if source else None,
        overruns=traffic.overruns,
        flops=traffic.flops,
        refused=traffic.refused,
        rss_bytes=process.rss_bytes,
        cpu_s=process.cpu_s,
        energy_j=process.energy_j,
        temperature_c=process.condition.temperature_c,
        clock_hz=process.condition.clock_hz,
        throttled=process.condition.throttled,
    )


def link_rows(node: Node, traffic: Traffic, t_s: float) -> list[LinkRow]:
    """The link from ``node`` to each of its neighbours at ``t_s``."""
    return [
        LinkRow(
            t_s=t_s,
            source=node.worker.setup.rank,
            target=rank,
            messages=traffic.links[rank].messages,
            tasks=traffic.links[rank].tasks,
            bytes=traffic.links[rank].bytes,
            hop_delay_s=neighbour.hop_delay_s or None,
            ping_pongs=neighbour.ping_pongs,
        )
        for rank, neighbour in node.worker.neighbours.items()
    ]


def log_line(row: EventRow) -> str:
    """An event as a line of ``log.txt``."""
    return f"{row.t_s:10.4f} rank {row.rank} {row.level} {row.kind}: {row.text}\n"


# --- progress ----------------------------------------------------------------------------------
# The progress line of a run on stderr: rewritten in place on a terminal, else a plain line.

_TERMINAL_PERIOD_S = 0.5
_PLAIN_PERIOD_S = 5.0
_WIDTH = 79


class Progress:
    """Shows the source's progress on stderr; ``end_s`` is when the clock ends admission."""

    def __init__(self, end_s: float, quiet: bool = False) -> None:
        self._end = f" of {end_s:.1f}" if math.isfinite(end_s) else ""
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() or TERMINAL_VARIABLE in os.environ
        self._next_s = 0.0

    def show(self, source: Source, now: float) -> None:
        """Write the line, at most once per period."""
        if self._quiet or now < self._next_s:
            return
        self._next_s = now + (_TERMINAL_PERIOD_S if self._terminal else _PLAIN_PERIOD_S)
        line = self._line(source, now)
        write_stderr(f"\r{line[:_WIDTH]:<{_WIDTH}}" if self._terminal else line + "\n")

    def clear(self) -> None:
        """Remove the line from the terminal."""
        if self._terminal and not self._quiet:
            write_stderr("\r" + " " * _WIDTH + "\r")

    def _line(self, source: Source, now: float) -> str:
        totals = source.totals
        accuracy = f"{totals.correct / totals.ok:.3f}" if totals.ok else "-"
        return (
            f"{now:6.1f}{self._end} s  {source.phase}  offered {totals.offered}  "
            f"ok {totals.ok}  in flight {source.in_flight}  dropped {totals.dropped}  "
            f"accuracy {accuracy}"
        )
