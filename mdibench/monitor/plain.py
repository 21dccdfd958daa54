"""A run as plain text: progress lines where there is no terminal, and the summary at the end.

Called by ``cli.monitor``, with ``--plain`` and after the full screen has closed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from shlex import quote

from mdibench.analysis.formatting import (
    accuracy,
    bare_milliseconds,
    clock,
    count,
    margin,
    rate,
    whole_percent,
)
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.snapshot import Snapshot

READ_EVERY_S = 0.25


def progress_line(snapshot: Snapshot) -> str:
    """One line about one moment."""
    flow, state = snapshot.flow, snapshot.state
    parts = [
        f"{snapshot.t_s:7.1f} s",
        f"{state.word:<9}",
        f"{rate(flow.completed_per_s):>6} /s of {rate(flow.offered_per_s)} offered",
        f"accuracy {accuracy(snapshot.quality.run)} {margin(snapshot.quality.run)}".rstrip(),
        f"p95 {bare_milliseconds(snapshot.recent_latency.p95)} ms",
        f"in flight {count(flow.in_flight)}",
        f"dropped {count(flow.dropped)}  lost {count(flow.lost)}",
    ]
    return "  ".join(parts)


def follow(
    feed: RunFeed,
    write: Callable[[str], object],
    every_s: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """Write a line every ``every_s`` seconds and whenever the state changes, then the summary.

    Stops without a summary where the feed has a problem.
    """
    due_s, word = -1.0, ""
    while True:
        feed.read()
        snapshot = feed.snapshot()
        if feed.problem:
            return snapshot
        if snapshot.over:
            write(summary(snapshot, str(feed.folder)))
            return snapshot
        now_s = feed.clocks.monotonic()
        if now_s >= due_s or snapshot.state.word != word:
            write(progress_line(snapshot) + "\n")
            due_s, word = now_s + every_s, snapshot.state.word
        sleep(READ_EVERY_S)


def summary(snapshot: Snapshot, folder: str) -> str:
    """State, flow, quality, latency, exits and ranks of the moment shown; ends with a newline.

    Of a run that is over, an earlier moment than its end is named as such: its figures are not the
    run's.
    """
    facts, flow = snapshot.facts, snapshot.flow
    lines = [
        f"{facts.name} · {facts.setting}",
        f"  {_how_it_stands(snapshot)}",
        f"  items      {count(flow.offered)} offered, {count(flow.completed)} done, "
        f"{count(flow.dropped)} dropped, {count(flow.lost)} lost{_in_flight(snapshot)}",
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
    if _is_earlier(snapshot) and snapshot.over:
        lines.append(f"  the whole run: mdibench report {quote(folder)}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _is_earlier(snapshot: Snapshot) -> bool:
    return clock(snapshot.t_s) != clock(snapshot.end_s)


def _how_it_stands(snapshot: Snapshot) -> str:
    state = snapshot.state
    end = clock(snapshot.end_s)
    if state.over and not state.healthy:
        how = f"{state.reason or 'no reason was recorded'}; run {state.word} after {end}"
    else:
        how = f"{state.word}{f' ({state.reason})' if state.reason else ''} after {end}"
    if not _is_earlier(snapshot):
        return how
    shown = "the replay" if state.over else "the picture"
    return f"{shown} stood at {clock(snapshot.t_s)}, and so do these figures; {how}"


def _in_flight(snapshot: Snapshot) -> str:
    in_flight = snapshot.flow.in_flight
    return f", {count(in_flight)} in flight" if in_flight and not snapshot.over else ""


def _mean_rate(snapshot: Snapshot) -> str:
    """Completions per second in the measured window."""
    if math.isnan(snapshot.flow.mean_per_s):
        return "nothing measured yet"
    return f"{rate(snapshot.flow.mean_per_s)} /s done in the measured window"
