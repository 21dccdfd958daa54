"""The monitor's source of rows: a run folder, live or finished, polled for new rows.

``RunFeed.read`` reads what is new; ``now_s`` and ``signs`` give the run time and the signs of the
run's state. Clocks are parameters, so that tests set the time. The monitor writes only one file
here: ``request_stop`` asks the run to end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdibench.errors import MdibenchError, Problem, UserError
from mdibench.monitor.columns import CodedColumn, NamedValues, Values
from mdibench.monitor.facts import facts_of
from mdibench.monitor.snapshot import Signs, Snapshot
from mdibench.monitor.snapshot_view import ViewRequest, snapshot_at
from mdibench.monitor.story import Story, story_of
from mdibench.monitor.tables import Tables
from mdibench.record import run_folder
from mdibench.record.stream import LiveReader

CHECK_EVERY_S = 0.2
"""Interval between two checks of the manifest and the writer's process."""
STORED_COLUMNS: Mapping[str, Sequence[str]] = {
    "items": (
        "item", "sample", "correct", "exit", "confidence", "scheduled_s", "completed_s",
        "latency_s", "status",
    ),
    "telemetry": (
        "t_s", "rank", "input_queue", "output_queue", "tasks", "busy_s", "encode_s", "send_s",
        "wait_s", "gamma_s", "sent_bytes", "received_bytes", "gossip_bytes", "exits", "threshold",
        "interarrival_s", "offered", "in_flight", "overruns", "refused", "rss_bytes", "cpu_s",
        "temperature_c", "clock_hz", "throttled",
    ),
    "links": (
        "t_s", "source", "target", "messages", "tasks", "bytes", "hop_delay_s", "ping_pongs",
    ),
    "events": ("t_s", "rank", "level", "kind", "text"),
}  # fmt: skip
"""Columns of a finished run that the screen needs; stories are read one item at a time."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """A monotonic clock, and seconds since the epoch (for comparison with file times)."""

    monotonic: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time


class RunFeed:
    """The records of one run. ``UserError`` from the constructor where ``folder`` is no run.

    One thread may ``read`` while another takes snapshots and stories: a lock protects the tables
    while rows are appended.
    """

    def __init__(self, folder: Path, clocks: Clocks | None = None) -> None:
        self.folder = folder
        self.clocks = clocks or Clocks()
        self.manifest = run_folder.read_manifest(folder)
        self.facts = facts_of(self.manifest)
        self.tables = Tables(self.facts.ranks, self.facts.exits)
        self.problem = ""
        """The error that stopped reading; empty while there is none."""
        self._lock = threading.Lock()
        self._loads = 0
        self._snapshot: Snapshot | None = None
        self._seen: tuple[object, ...] = ()
        """The inputs of the last snapshot."""
        self._reader = LiveReader(folder / run_folder.STREAM)
        self._status = str(self.manifest.get("status", "aborted"))
        self._bulk = self._status != "running" and not (folder / run_folder.STREAM).exists()
        self._offset_s: float | None = None
        self._checked_s = -1e9
        self._manifest_ns = 0

    @property
    def over(self) -> bool:
        """Whether the run has ended, so that no more rows can come."""
        return self._reader.ended is not None or self._status != "running"

    @property
    def damaged(self) -> int:
        """Complete lines of the stream that cannot be parsed."""
        return self._reader.damaged

    def read(self) -> bool:
        """Read what is new; returns whether anything was."""
        if self.problem:
            return False
        try:
            self._check()
            if self.over and not self._reader.columns and has_tables(self.folder):
                self._bulk = True  # the run ended and removed its stream before it was opened
            changed = self._read_tables() if self._bulk else self._read_stream()
        except (MdibenchError, OSError) as failure:
            self.problem = str(failure)
            return True
        return changed

    def close(self) -> None:
        """Release the files."""
        self._reader.close()

    # --- time and state ---------------------------------------------------------------------------

    def now_s(self) -> float:
        """Run time now; for a run that has ended, the time of its last record."""
        newest_s = self.tables.newest_s
        if self.over or self._offset_s is None:
            return newest_s
        return max(newest_s, self.clocks.monotonic() - self._offset_s)

    def signs(self) -> Signs:
        """The signs of the run's state now."""
        silence_s = self.now_s() - self.tables.newest_s if self.tables.newest_s > 0 else 0.0
        reason = str(self.manifest.get("reason") or "")
        return Signs(self._status, reason, self._reader.ended, silence_s, self.facts.sample_s)

    def snapshot(
        self, moment_s: float | None = None, request: ViewRequest | None = None
    ) -> Snapshot:
        """The snapshot of ``moment_s`` (now, by default); ``request`` gives span and cache.

        The snapshot of the same moment is reused until there are new rows: showing a finished or a
        paused run costs nothing.
        """
        now_s = self.now_s()
        base = request or ViewRequest(now_s, now_s)
        moment_s = now_s if moment_s is None else moment_s
        full = ViewRequest(moment_s, now_s, self.signs(), base.span_s, base.cache)
        seen = (self._loads, self.facts, moment_s, now_s, full.signs, full.span_s)
        if self._snapshot is None or seen != self._seen:
            with self._lock:
                self._snapshot = snapshot_at(self.tables, self.facts, full)
            self._seen = seen
        return self._snapshot

    def request_stop(self) -> None:
        """Ask the run to drain and end. ``UserError`` where the folder cannot be written."""
        try:
            (self.folder / run_folder.STOP).touch()
        except OSError as failure:
            what = f"cannot ask the run to end: {failure.strerror}"
            raise UserError(Problem(what, str(self.folder))) from None

    def _check(self) -> None:
        """Check the manifest and the writer every ``CHECK_EVERY_S`` while the run goes on."""
        now_s = self.clocks.monotonic()
        if now_s - self._checked_s < CHECK_EVERY_S:
            return
        self._checked_s = now_s
        if not self.folder.is_dir():
            what = "the run was removed or moved while it was shown"
            raise UserError(Problem(what, str(self.folder)))
        if self._bulk or (self.over and self._status != "aborted"):
            return
        self._status = run_folder.status(self.folder, self.clocks.epoch())
        written_ns = (self.folder / run_folder.MANIFEST).stat().st_mtime_ns
        if written_ns != self._manifest_ns:
            self._manifest_ns = written_ns
            self.manifest = run_folder.read_manifest(self.folder)
            self.facts = facts_of(self.manifest)

    # --- rows -------------------------------------------------------------------------------------

    def _read_stream(self) -> bool:
        before_s, over = self.tables.newest_s, self.over
        changed = False
        while rows := self._reader.poll_values():
            self._take(rows)
            changed = True
        if self.tables.newest_s > before_s:
            self._set_clock(first=before_s == 0)
        return changed or over != self.over

    def _take(self, rows: Sequence[tuple[str, list[Any]]]) -> None:
        by_table: dict[str, list[list[Any]]] = {}
        for table, values in rows:
            by_table.setdefault(table, []).append(values)
        for table, some in by_table.items():
            names = self._reader.columns[table]
            columns = dict(zip(names, zip(*some, strict=True), strict=True))
            self._load(table, columns)

    def _load(self, table: str, columns: Mapping[str, Values]) -> None:
        with self._lock:
            self.tables.load(table, columns)
            self._loads += 1

    def _set_clock(self, first: bool) -> None:
        """Run time is at least that of a row just read; the first rows may be older than that."""
        offset_s = self.clocks.monotonic() - self.tables.newest_s
        if first:
            offset_s -= min(self._age_of_stream_s(), run_folder.SILENCE_S)
        if self._offset_s is None or offset_s < self._offset_s:
            self._offset_s = offset_s

    def _age_of_stream_s(self) -> float:
        try:
            written_s = (self.folder / run_folder.STREAM).stat().st_mtime
        except OSError:
            return 0.0
        return max(0.0, self.clocks.epoch() - written_s)

    def _read_tables(self) -> bool:
        from mdibench.record.columns import read_columns

        if len(self.tables.items) or self.tables.newest_s > 0:
            return False
        for table, names in STORED_COLUMNS.items():
            stored = read_columns(self.folder, table, names)
            columns = {name: _as_values(each) for name, each in stored.items()}
            self._load(table, columns)
        return True

    # --- stories ----------------------------------------------------------------------------------

    def story(self, item: int) -> Story:
        """The story of ``item``, from memory, from the stored tables, or from the stream."""
        if self._bulk:
            return self._stored_story(item)
        with self._lock:
            row, steps = self.tables.items.find(item), self.tables.steps_of(item)
        return story_of(item, row, steps or self._steps_in_stream(item), self.facts, self.over)

    def _stored_story(self, item: int) -> Story:
        found = Tables(self.facts.ranks, self.facts.exits)
        for table in ("items", "steps"):
            found.load(table, self._stored(table, item))
        return story_of(item, found.items.find(item), found.steps_of(item), self.facts, self.over)

    def _stored(self, table: str, item: int) -> Mapping[str, Values]:
        """All columns of the rows of ``table`` that belong to ``item``."""
        from mdibench.record import schema
        from mdibench.record.columns import read_columns

        stored = read_columns(self.folder, table, schema.names(table), ("item", item))
        columns = {name: _as_values(each) for name, each in stored.items()}
        whole = [c.name for c in schema.TABLES[table] if c.type == "int" and c.name in columns]
        return columns | {name: _whole(stored[name]) for name in whole}

    def _steps_in_stream(self, item: int) -> list[NamedValues]:
        reader = LiveReader(self.folder / run_folder.STREAM)
        found: list[NamedValues] = []
        try:
            while rows := reader.poll_values():
                names = reader.columns.get("steps", [])
                place = names.index("item") if "item" in names else None
                for table, values in rows:
                    if table == "steps" and place is not None and values[place] == item:
                        found.append(dict(zip(names, values, strict=True)))
        finally:
            reader.close()
        return found


def has_tables(folder: Path) -> bool:
    """Whether the run left its tables as Parquet files."""
    return (folder / "items.parquet").is_file()


def _as_values(values: Any) -> Values:
    """A column of ``record`` in the form of the monitor's tables."""
    return CodedColumn(*values) if isinstance(values, tuple) else values


def _whole(values: Any) -> list[object]:
    """Whole numbers that came as floats."""
    return [None if value != value else int(value) for value in values]
