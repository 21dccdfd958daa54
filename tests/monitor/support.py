"""Run folders made from synthetic rows, clocks that tests set, and screens as text."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mdibench.monitor.app.app import MonitorApp
from mdibench.monitor.feed import Clocks, RunFeed
from mdibench.record import run_folder
from mdibench.record.run_folder import RunWriter
from tests.monitor.synthetic import Synthetic
from tests.rows import row_of

STARTED = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass
class Time:
    """A clock that only a test advances. The epoch is that of the stream's file."""

    now_s: float = 100.0
    stream: Path | None = None
    late_s: float = 0.0

    def clocks(self) -> Clocks:
        return Clocks(monotonic=lambda: self.now_s, epoch=self.epoch)

    def epoch(self) -> float:
        try:
            written_s = self.stream.stat().st_mtime if self.stream else 0.0
        except FileNotFoundError:
            written_s = 0.0
        return written_s + self.late_s


@dataclass
class LiveRun:
    """A run that a test writes step by step."""

    synthetic: Synthetic
    writer: RunWriter
    rows: list[tuple[float, str, dict[str, Any]]]

    @property
    def folder(self) -> Path:
        return self.writer.folder

    def until(self, moment_s: float) -> None:
        """Write all rows up to a moment."""
        while self.rows and self.rows[0][0] <= moment_s:
            _, table, row = self.rows.pop(0)
            self.writer.append(row_of(table, row))
        self.writer.flush()

    def finish(self, status: str = "complete", reason: str = "") -> None:
        self.until(1e9)
        self.writer.finish(status, reason)


def start(results: Path, synthetic: Synthetic, **manifest: Any) -> LiveRun:
    """A run that has just begun."""
    folder = run_folder.create(results, "fixed_acc", STARTED, os.urandom(2).hex())
    writer = RunWriter(folder, synthetic.manifest() | manifest)
    known = known_times(synthetic.rows())
    return LiveRun(synthetic, writer, known)


def known_times(rows: Iterable[tuple[str, Any]]) -> list[tuple[float, str, dict[str, Any]]]:
    """Rows with the time they become known at."""
    timed = []
    for table, row in rows:
        times = [row.get(name) for name in ("t_s", "completed_s", "scheduled_s")]
        timed.append((next(t for t in times if t is not None), table, row))
    return timed


def monitor(folder: Path, time: Time | None = None, **given: Any) -> MonitorApp:
    """An app over ``folder`` that reads only when a test calls it."""
    time = time or Time()
    time.stream = folder / run_folder.STREAM
    return MonitorApp(RunFeed(folder, time.clocks()), pace_s=3600.0, **given)


async def ready(app: MonitorApp, pilot: Any) -> None:
    """Wait until the first picture is on the screen."""
    while app.snapshot is None:
        await pilot.pause()
    await pilot.pause()


async def again(app: MonitorApp, pilot: Any) -> None:
    """Read what is new and show it."""
    app.feed.read()
    app.step()
    await pilot.pause()


async def shows(pilot: Any, text: str) -> None:
    """Wait until ``text`` is on the screen: another thread reads."""
    for _ in range(400):
        if text in screen_text(pilot.app):
            return
        await pilot.pause(0.01)
    raise AssertionError(f"no {text!r} on:\n{screen_text(pilot.app)}")


def screen_text(app: MonitorApp) -> str:
    """The text on the screen, without colours."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"
