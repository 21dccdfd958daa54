"""A run in a few lines of plain text: printed after the monitor has left the screen."""

from __future__ import annotations

import math

from mdibench.view.snapshot import Snapshot
from mdibench.view.text import (
    accuracy,
    bare_milliseconds,
    clock,
    count,
    margin,
    rate,
    whole_percent,
)


def summary(snapshot: Snapshot, folder: str) -> str:
    """State, flow, quality, latency, exits and ranks of the moment shown; ends with a newline."""
    facts, flow, state = snapshot.facts, snapshot.flow, snapshot.state
    reason = f" ({state.reason})" if state.reason else ""
    lines = [
        f"{facts.name} · {facts.setting}",
        f"  {state.word}{reason} after {clock(snapshot.end_s)}",
        f"  items      {count(flow.offered)} offered, {count(flow.completed)} done, "
        f"{count(flow.dropped)} dropped, {count(flow.lost)} lost{_under_way(snapshot)}",
        f"  rate       {_mean_rate(snapshot)}",
        f"  accuracy   {accuracy(snapshot.quality.run)} {margin(snapshot.quality.run)}"
        f" of {count(snapshot.quality.run.count)} measured,"
        f" {accuracy(snapshot.quality.of_offered)} of those offered",
        f"  latency    p50 {bare_milliseconds(snapshot.latency.p50)}"
        f"  p95 {bare_milliseconds(snapshot.latency.p95)}"
        f"  p99 {bare_milliseconds(snapshot.latency.p99)}"
        f"  max {bare_milliseconds(snapshot.latency.largest)} ms",
        "  exits      " + "  ".join(f"{e.exit}: {whole_percent(e.share)}" for e in snapshot.exits),
        f"  files      {folder}",
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _under_way(snapshot: Snapshot) -> str:
    under_way = snapshot.flow.in_flight
    return f", {count(under_way)} in flight" if under_way and not snapshot.over else ""


def _mean_rate(snapshot: Snapshot) -> str:
    """Completions per second in the measured window."""
    if math.isnan(snapshot.flow.mean_per_s):
        return "nothing measured yet"
    return f"{rate(snapshot.flow.mean_per_s)} /s done in the measured window"
