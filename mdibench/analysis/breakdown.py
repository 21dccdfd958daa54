"""Where the time of an average item went, what each block cost, and how offloading decided.

Out of the ``steps`` of traced items. No two clocks are ever subtracted: waiting and computing are
durations that one rank measured, latency is the source's, and moving is what remains of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis.metrics import due_in, read_items
from mdibench.analysis.reader import RunReader
from mdibench.analysis.workers import Window

PARTS = ("admission", "input queue", "compute", "output queue", "moving")
"""Parts of an item's latency, in order. Moving: codec, transfers and the result's way home."""

STEP_NUMBERS = (
    "rank", "item", "block", "queued_s", "duration_s", "target", "info_age_s", "payload_bytes",
    "batch",
)  # fmt: skip

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ItemTime:
    """Mean seconds by ``PARTS`` of the traced items that left at ``exit`` (0: all of them)."""

    exit: int
    items: int
    parts: Mapping[str, float]

    @property
    def latency_s(self) -> float:
        """Their sum, the mean latency."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class BlockTime:
    """Mean seconds of one task of ``block`` on ``rank``, and how many were traced."""

    block: int
    rank: int
    tasks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Decisions:
    """Offloading of traced tasks: how many by rule, between whom, on how old information."""

    rules: Mapping[str, int]
    matrix: NDArray[np.int64]
    """``[source, target]`` tasks sent."""
    info_age_s: tuple[float, float]
    """Median and 95th percentile; NaN where nothing was sent."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """All that the steps of a run tell."""

    times: tuple[ItemTime, ...]
    blocks: tuple[BlockTime, ...]
    decisions: Decisions


@dataclass(frozen=True, slots=True)
class _Steps:
    """Columns of the table, with the kinds told apart."""

    columns: Mapping[str, Numbers]
    computes: NDArray[np.bool_]
    sends: NDArray[np.bool_]
    keeps: NDArray[np.bool_]
    verdicts: NDArray[np.int64]
    verdict_names: list[str]

    def sums(self, of: str, chosen: NDArray[np.bool_], items: int) -> Numbers:
        """Sum of a column by item, over some of the steps."""
        at = self.columns["item"][chosen].astype(np.int64)
        values = np.nan_to_num(self.columns[of][chosen])
        return np.bincount(at, values, minlength=items).astype(np.float64)


def break_down(reader: RunReader, window: Window, ranks: int) -> Breakdown | None:
    """The breakdown of a run over its measured window; ``None`` where no step was recorded."""
    steps = _read(reader)
    if not steps.computes.any():
        return None
    times = _item_times(reader, steps, window)
    return Breakdown(times, _block_times(steps), _decisions(steps, ranks))


def _read(reader: RunReader) -> _Steps:
    columns = reader.numbers("steps", STEP_NUMBERS)
    kinds, names = reader.texts("steps", "kind")
    verdicts, verdict_names = reader.texts("steps", "verdict")
    known = np.isfinite(columns["item"]) & (columns["item"] >= 0)

    def of(kind: str) -> NDArray[np.bool_]:
        code = names.index(kind) if kind in names else -2
        return np.equal(kinds, code) & known

    return _Steps(columns, of("compute"), of("send"), of("keep"), verdicts, verdict_names)


def _item_times(reader: RunReader, steps: _Steps, window: Window) -> tuple[ItemTime, ...]:
    items = read_items(reader)
    chosen = due_in(items, window) & items.ok
    ids = items["item"][chosen].astype(np.int64)
    room = int(max(ids.max(initial=0), steps.columns["item"].max(initial=0))) + 1
    traced = np.bincount(steps.columns["item"][steps.computes].astype(np.int64), minlength=room)
    seen = traced[ids] > 0
    ids = ids[seen]
    parts = {
        "admission": (items["admitted_s"] - items["scheduled_s"])[chosen][seen],
        "input queue": steps.sums("queued_s", steps.computes, room)[ids],
        "compute": steps.sums("duration_s", steps.computes, room)[ids],
        "output queue": steps.sums("queued_s", steps.sends | steps.keeps, room)[ids],
    }
    latency_s, exits = items["latency_s"][chosen][seen], items["exit"][chosen][seen]
    parts["moving"] = np.maximum(latency_s - sum(parts.values()), 0.0)
    rows = [_item_time(0, parts, np.ones(len(ids), np.bool_))]
    rows += [_item_time(int(k), parts, exits == k) for k in np.unique(exits)]
    return tuple(row for row in rows if row.items)


def _item_time(exit_: int, parts: Mapping[str, Numbers], here: NDArray[np.bool_]) -> ItemTime:
    n = int(here.sum())
    means = {name: float(values[here].mean()) if n else np.nan for name, values in parts.items()}
    return ItemTime(exit_, n, means)


def _block_times(steps: _Steps) -> tuple[BlockTime, ...]:
    blocks, ranks = steps.columns["block"][steps.computes], steps.columns["rank"][steps.computes]
    together = np.nan_to_num(steps.columns["batch"][steps.computes], nan=1.0)
    seconds = steps.columns["duration_s"][steps.computes] / together
    wide = int(np.nan_to_num(ranks).max()) + 1
    at = (np.nan_to_num(blocks) * wide + np.nan_to_num(ranks)).astype(np.int64)
    tasks = np.bincount(at)
    sums = np.bincount(at, np.nan_to_num(seconds))
    return tuple(
        BlockTime(int(key) // wide, int(key) % wide, int(tasks[key]), float(sums[key] / tasks[key]))
        for key in np.flatnonzero(tasks)
    )


def _decisions(steps: _Steps, ranks: int) -> Decisions:
    source, target = steps.columns["rank"][steps.sends], steps.columns["target"][steps.sends]
    known = np.isfinite(source) & np.isfinite(target)
    size = int(max(ranks - 1, source.max(initial=0), np.nan_to_num(target).max(initial=0))) + 1
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (source[known].astype(np.int64), target[known].astype(np.int64)), 1)
    codes = steps.verdicts[steps.sends]
    counts = np.bincount(codes[codes >= 0], minlength=len(steps.verdict_names))
    rules = {name: int(n) for name, n in zip(steps.verdict_names, counts, strict=True) if n}
    ages = steps.columns["info_age_s"][steps.sends]
    ages = ages[np.isfinite(ages)]
    spread = np.quantile(ages, (0.5, 0.95)) if ages.size else (np.nan, np.nan)
    return Decisions(rules, matrix, (float(spread[0]), float(spread[1])))
