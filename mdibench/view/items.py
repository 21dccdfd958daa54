"""Items that ended, one row each, in the order in which they ended."""

from __future__ import annotations

import numpy as np

from mdibench.view.batch import Batch, Row, Words
from mdibench.view.columns import Array, Columns, steady, within
from mdibench.view.statistics import bucket

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

    def find(self, item: int) -> Row | None:
        """Everything known about ``item``, or ``None`` while it is under way."""
        places = np.flatnonzero(self.columns["item"] == item)
        return self.row(int(places[-1])) if len(places) else None

    def row(self, place: int) -> Row:
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
        known_s = steady(batch.pop("ended_s"), floor_s)
        return batch | counts | {"known_s": known_s}


_COUNTS = ("ok", "correct", "dropped", "lost")
_ITEM_COLUMNS = (
    "item", "exit", "hops", "label", "prediction", "attempts", "right", "wire_bytes",
    "scheduled_s", "admitted_s", "completed_s", "latency_s", "confidence", "threshold",
)  # fmt: skip
