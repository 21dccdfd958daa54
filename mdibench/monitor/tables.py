"""The tables of a run in memory, ordered by the time at which their rows became known.

A row is *known from* the latest time in it or in any row before it: a live monitor cannot have seen
it earlier, and a replay shows it at the same moment. Columns that a row lacks are null; columns and
tables that this version does not know are ignored. Filled by ``feed``, read by ``snapshot_view``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np

from mdibench.analysis.shares import bucket
from mdibench.core.rows import EventRow
from mdibench.monitor.columns import (
    Array,
    Batch,
    CodedColumn,
    Columns,
    NamedValues,
    Values,
    Words,
    non_decreasing,
    texts,
    within,
)

ITEMS_WITH_STEPS = 2000
"""Steps of this many items are kept in memory; older ones are read again on request."""


class RankTable:
    """Telemetry of one rank, in order of time."""

    NUMBERS = (
        "t_s", "input_queue", "output_queue", "tasks", "busy_s", "encode_s", "send_s", "wait_s",
        "gamma_s", "sent_bytes", "received_bytes", "gossip_bytes", "threshold", "interarrival_s",
        "offered", "in_flight", "overruns", "refused", "rss_bytes", "cpu_s",
        "temperature_c", "clock_hz", "throttled",
    )  # fmt: skip

    def __init__(self, exits: int) -> None:
        self.exits = exits
        names = (*self.NUMBERS, *(f"exit_{k}" for k in range(1, exits + 1)))
        self.columns = Columns(dict.fromkeys(names, np.float64))

    def __len__(self) -> int:
        return len(self.columns)

    def known(self, moment_s: float) -> int:
        """How many samples had been taken at ``moment_s``."""
        return within(self.columns["t_s"], moment_s)

    def value(self, name: str, count: int) -> float:
        """The newest value of a column among the first ``count`` samples; NaN before any."""
        return float(self.columns[name][count - 1]) if count else float("nan")

    def whole(self, name: str, count: int) -> int:
        """The same as a whole number; 0 where nothing is known."""
        value = self.value(name, count)
        return 0 if math.isnan(value) else int(value)

    def slope(self, name: str, count: int, seconds: float) -> float:
        """Increase per second of a counter over its last ``seconds``; NaN before two samples."""
        if count < 2:
            return math.nan
        times, values = self.columns["t_s"][:count], self.columns[name]
        start = int(np.searchsorted(times, times[-1] - seconds - 1e-9))
        start = min(start, count - 2)
        elapsed_s = float(times[-1] - times[start])
        grown = float(values[count - 1] - values[start])
        return grown / elapsed_s if elapsed_s > 0 else math.nan


class LinkMatrices:
    """Counters of every link. ``until`` gives them as matrices at a moment.

    Rows are written over a matrix in order; a copy of the matrix is kept every ``stride`` rows, so
    that a moment in the middle of a long run is fast to restore.
    """

    COUNTERS = ("tasks", "bytes", "hop_delay_s", "ping_pongs")

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.stride = max(1 << 15, 4 * ranks * ranks)
        numeric = dict.fromkeys(("known_s", *self.COUNTERS), np.float64)
        self.columns = Columns(numeric | {"source": np.int32, "target": np.int32})
        self._kept = [self._blank()]

    def load(self, get: Batch) -> None:
        """Append rows given by column; links of ranks that the plan does not know are left out."""
        source, target = get.whole("source", -1), get.whole("target", -1)
        wanted = (source >= 0) & (target >= 0) & (source < self.ranks) & (target < self.ranks)
        columns = self.columns
        floor_s = float(columns["known_s"][-1]) if len(columns) else 0.0
        batch = {name: get.number(name)[wanted] for name in self.COUNTERS}
        batch["known_s"] = non_decreasing(get.number("t_s")[wanted], floor_s)
        columns.extend(batch | {"source": source[wanted], "target": target[wanted]})

    def until(self, moment_s: float) -> dict[str, Array]:
        """Matrices [source, target] of every counter as known at ``moment_s``."""
        count = within(self.columns["known_s"], moment_s)
        stride = self.stride
        while len(self._kept) <= count // stride:
            done = len(self._kept) * stride
            self._kept.append(self._laid(self._kept[-1], done - stride, done))
        return self._laid(self._kept[count // stride], count // stride * stride, count)

    def _blank(self) -> dict[str, Array]:
        zeros = {name: np.zeros((self.ranks, self.ranks)) for name in self.COUNTERS}
        zeros["hop_delay_s"] = np.full((self.ranks, self.ranks), np.nan)
        return zeros

    def _laid(self, base: dict[str, Array], start: int, stop: int) -> dict[str, Array]:
        places = (self.columns["source"][start:stop], self.columns["target"][start:stop])
        laid = {}
        for name, matrix in base.items():
            laid[name] = matrix.copy()
            laid[name][places] = self.columns[name][start:stop]
        return laid


StoredStep: TypeAlias = tuple[tuple[str, ...], tuple[object, ...]]
"""Column names and values of a row of ``steps``: most are never shown, so kept as read."""


class Tables:
    """All tables of a run, as far as they have been read."""

    def __init__(self, ranks: int, exits: int) -> None:
        self.exits = exits
        self.items = ItemTable()
        self.ranks: dict[int, RankTable] = {rank: RankTable(exits) for rank in range(ranks)}
        self.links = LinkMatrices(ranks)
        self.events: list[EventRow] = []
        self._steps: OrderedDict[int, list[StoredStep]] = OrderedDict()
        self.newest_s = 0.0
        """The latest time that any row carries."""
        self._loaders = {
            "items": self._load_items,
            "telemetry": self._load_telemetry,
            "links": self._load_links,
            "events": self._load_events,
            "steps": self._load_steps,
        }

    def extend(self, rows: Iterable[tuple[str, NamedValues]]) -> None:
        """Append rows as (table, values by column), in stream order."""
        by_table: dict[str, list[NamedValues]] = {}
        for table, row in rows:
            by_table.setdefault(table, []).append(row)
        for table, some in by_table.items():
            names = dict.fromkeys(name for row in some for name in row)
            self.load(table, {name: [row.get(name) for row in some] for name in names})

    def load(self, table: str, columns: Mapping[str, Values]) -> None:
        """Append rows given by column: all columns of one length."""
        loader = self._loaders.get(table)
        length = max((_length(values) for values in columns.values()), default=0)
        if loader is not None and length:
            loader(Batch(columns, length))

    def _load_items(self, get: Batch) -> None:
        self.items.load(get)
        self._see(float(self.items.columns["known_s"][-1]))

    def _load_telemetry(self, get: Batch) -> None:
        rank_of, t_s = get.whole("rank", -1), get.number("t_s")
        exits = get.lists("exits", self.exits)
        columns = {name: get.number(name) for name in RankTable.NUMBERS}
        columns |= {f"exit_{k + 1}": exits[:, k] for k in range(self.exits)}
        for rank in np.unique(rank_of[(rank_of >= 0) & ~np.isnan(t_s)]).tolist():
            table = self.ranks.setdefault(rank, RankTable(self.exits))
            mine = np.flatnonzero(rank_of == rank)
            batch = {name: values[mine] for name, values in columns.items()}
            floor_s = table.value("t_s", len(table)) if len(table) else 0.0
            batch["t_s"] = non_decreasing(batch["t_s"], floor_s)
            table.columns.extend(batch)
        self._see(_largest(t_s))

    def _load_links(self, get: Batch) -> None:
        self.links.load(get)
        self._see(_largest(get.number("t_s")))

    def _load_events(self, get: Batch) -> None:
        t_s, rank = get.number("t_s"), get.whole("rank", -1)
        words = [texts(get.plain(name)) for name in ("level", "kind", "text")]
        for at_s, n, level, kind, text in zip(t_s.tolist(), rank.tolist(), *words, strict=True):
            self.events.append(EventRow(t_s=at_s, rank=n, level=level, kind=kind, text=text))
        self._see(_largest(t_s))

    def _load_steps(self, get: Batch) -> None:
        names, steps = tuple(get.columns), self._steps
        items = get.whole("item", -1).tolist()
        rows = zip(*(get.plain(name) for name in names), strict=True)
        for item, values in zip(items, rows, strict=True):
            steps.setdefault(item, []).append((names, values))
        while len(steps) > ITEMS_WITH_STEPS:
            steps.popitem(last=False)

    def steps_of(self, item: int) -> list[NamedValues]:
        """The steps of an item that are still in memory."""
        return [dict(zip(*step, strict=True)) for step in self._steps.get(item, ())]

    def _see(self, moment_s: float) -> None:
        self.newest_s = max(self.newest_s, moment_s)


def _largest(times: Array) -> float:
    known = times[~np.isnan(times)]
    return float(known.max()) if len(known) else 0.0


def _length(values: Values) -> int:
    return len(values.codes) if isinstance(values, CodedColumn) else len(values)


# --- items ----------------------------------------------------------------------------------------

OK, DROPPED, LOST = 0, 1, 2
STATUS = {"ok": OK, "dropped": DROPPED, "lost": LOST}


class ItemTable:
    """Items that ended, in the order in which they ended, with running counts."""

    def __init__(self) -> None:
        self.words = Words()
        whole = dict.fromkeys(("item", "sample", "wire_bytes", *_COUNTS), np.int64)
        small = dict.fromkeys(("exit", "bucket", "hops", "label", "prediction"), np.int16)
        times = ("known_s", "scheduled_s", "admitted_s", "completed_s", "latency_s", "confidence")
        self.columns = Columns(
            whole
            | small
            | dict.fromkeys(times, np.float64)
            | {"threshold": np.float64, "status": np.int8, "right": np.int8, "attempts": np.int16}
            | {"path": np.int32, "reason": np.int32}
        )

    def __len__(self) -> int:
        return len(self.columns)

    def known(self, moment_s: float) -> int:
        """How many items had ended at ``moment_s``."""
        return within(self.columns["known_s"], moment_s)

    def load(self, get: Batch) -> None:
        """Append rows given by column."""
        self.columns.extend(self._with_counts(self._batch(get, self._status(get))))

    def find(self, item: int) -> NamedValues | None:
        """The row of ``item``, or ``None`` while it is in flight."""
        places = np.flatnonzero(self.columns["item"] == item)
        return self.row(int(places[-1])) if len(places) else None

    def row(self, place: int) -> NamedValues:
        """The row at ``place`` as plain values by column name."""
        row = {name: self.columns[name][place].item() for name in _ITEM_COLUMNS}
        words = self.words.words
        return row | {
            "path": words[self.columns["path"][place]],
            "reason": words[self.columns["reason"][place]],
            "status": ("ok", "dropped", "lost")[self.columns["status"][place]],
        }

    def _status(self, get: Batch) -> Array:
        words = Words()
        codes = words.encode(get("status"))
        meaning = np.array([STATUS.get(word, LOST) for word in words.words] or [LOST], np.int8)
        return np.asarray(meaning[codes])

    def _batch(self, get: Batch, status: Array) -> dict[str, Array]:
        latency_s, completed_s = get.number("latency_s"), get.number("completed_s")
        scheduled_s = get.number("scheduled_s")
        ended_s = np.where(status == DROPPED, scheduled_s, completed_s)
        return {
            "ended_s": ended_s,
            "item": get.whole("item"),
            "sample": get.whole("sample", -1),
            "wire_bytes": get.whole("wire_bytes"),
            "exit": get.whole("exit"),
            "hops": get.whole("hops"),
            "label": get.whole("label", -1),
            "prediction": get.whole("prediction", -1),
            "attempts": get.whole("attempts", 1),
            "right": get.whole("correct"),
            "bucket": bucket(latency_s),
            "scheduled_s": scheduled_s,
            "admitted_s": get.number("admitted_s"),
            "completed_s": completed_s,
            "latency_s": latency_s,
            "confidence": get.number("confidence"),
            "threshold": get.number("threshold"),
            "status": status,
            "path": self.words.encode(get("path")),
            "reason": self.words.encode(get("reason")),
        }

    def _with_counts(self, batch: dict[str, Array]) -> dict[str, Array]:
        status, columns = batch["status"], self.columns
        last = {name: columns[name][-1] if len(self) else 0 for name in _COUNTS}
        floor_s = float(columns["known_s"][-1]) if len(self) else 0.0
        flags = {
            "ok": status == OK,
            "correct": (status == OK) & (batch["right"] == 1),
            "dropped": status == DROPPED,
            "lost": status == LOST,
        }
        counts = {name: last[name] + np.cumsum(flags[name]) for name in _COUNTS}
        known_s = non_decreasing(batch.pop("ended_s"), floor_s)
        return batch | counts | {"known_s": known_s}


_COUNTS = ("ok", "correct", "dropped", "lost")
_ITEM_COLUMNS = (
    "item", "exit", "hops", "label", "prediction", "attempts", "right", "wire_bytes",
    "scheduled_s", "admitted_s", "completed_s", "latency_s", "confidence", "threshold",
)  # fmt: skip
