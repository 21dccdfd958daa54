"""Progress as plain lines, for terminals that are none: logs, CI, remote ranks."""

from __future__ import annotations

import time
from collections.abc import Callable

from mdibench.tui.feed import RunFeed
from mdibench.tui.summary import summary
from mdibench.view.snapshot import Snapshot
from mdibench.view.text import accuracy, bare_milliseconds, count, margin, rate

LOOK_EVERY_S = 0.25


def progress(snapshot: Snapshot) -> str:
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
        snapshot = feed.look()
        if feed.problem:
            return snapshot
        if snapshot.over:
            write(summary(snapshot, str(feed.folder)))
            return snapshot
        now_s = feed.clocks.steady()
        if now_s >= due_s or snapshot.state.word != word:
            write(progress(snapshot) + "\n")
            due_s, word = now_s + every_s, snapshot.state.word
        sleep(LOOK_EVERY_S)
