"""A run as a timeline in Chrome's trace format, for ui.perfetto.dev and chrome://tracing.

Every rank is a process with one track per role: compute (one slice per batch), offload (a mark
per task sent) and, at the source, results. Slices of a track never overlap; arrows (flow events)
lead from a send to where the task was computed or passed on. Queues are counters. Times are
microseconds since the run's start on the source's clock, as well as offsets could correct them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis import workers
from mdibench.analysis.metrics import read_items
from mdibench.record.reader import RunReader

COMPUTE, OFFLOAD, RESULTS = 1, 2, 3
ROLES = {COMPUTE: "compute", OFFLOAD: "offload", RESULTS: "results"}
MARK_S = 100e-6
"""Length of the mark of a send, shorter where the next one follows sooner."""
COUNTERS = {
    "queues": ("input_queue", "output_queue"),
    "items": ("in_flight",),
    "T_e": ("threshold",),
    "μ": ("interarrival_s",),
}
"""A rank's counters by their name, with the columns of telemetry that each shows."""

Event = dict[str, Any]
Key = tuple[int, int, int]
"""Item, attempt and block: what a flow carries."""


def write(reader: RunReader, path: Path) -> int:
    """Write the timeline of a run to ``path``; returns how many events it has."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ms","otherData":' + _text(_facts(reader)))
        file.write(',"traceEvents":[\n')
        for event in events(reader):
            file.write((",\n" if count else "") + _text(event))
            count += 1
        file.write("\n]}\n")
    return count


def _text(value: Event) -> str:
    """JSON without escapes: Perfetto shows those of names as they stand."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _facts(reader: RunReader) -> dict[str, Any]:
    manifest = reader.manifest
    facts = {key: manifest.get(key) for key in ("name", "kind", "scheme", "seed", "started_utc")}
    error_s = manifest.get("clock_error_s")
    return facts | {"run": reader.id, "status": reader.status, "clock_error_s": error_s}


def events(reader: RunReader) -> Iterator[Event]:
    """Every event of the timeline."""
    steps = _steps(reader)
    yield from _names(reader, steps)
    computes, marks = _computes(steps), _marks(steps)
    yield from (event for _, event in computes)
    yield from (event for _, event in marks)
    yield from _flows(computes, marks, steps)
    yield from _results(reader)
    yield from _counters(reader)
    yield from _notes(reader)


def _steps(reader: RunReader) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = reader.table("steps").to_pylist()
    known = [row for row in rows if row["t_s"] is not None and row["rank"] is not None]
    return sorted(known, key=lambda row: row["t_s"])


def _names(reader: RunReader, steps: list[dict[str, Any]]) -> Iterator[Event]:
    plan = reader.manifest.get("plan") or {}
    hosts, devices = plan.get("hosts") or [], plan.get("devices") or []
    ranks = max([int(plan.get("ranks") or 1), *(row["rank"] + 1 for row in steps)])
    for rank in range(ranks):
        where = [
            str(names[rank]) for names in (hosts, devices) if rank < len(names) and names[rank]
        ]
        yield _meta("process_name", rank, 0, " · ".join([f"rank {rank}", *where]))
        yield {"ph": "M", "name": "process_sort_index", "pid": rank, "args": {"sort_index": rank}}
        for role, name in ROLES.items():
            if role != RESULTS or rank == 0:
                yield _meta("thread_name", rank, role, name)


def _meta(name: str, rank: int, role: int, text: str) -> Event:
    return {"ph": "M", "name": name, "pid": rank, "tid": role, "args": {"name": text}}


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 3)


# --- slices --------------------------------------------------------------------------------------


def _computes(steps: list[dict[str, Any]]) -> list[tuple[list[Key], Event]]:
    """One slice per batch: steps of a rank that ended together after the same time."""
    batches: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in steps:
        if row["kind"] == "compute" and row["duration_s"] is not None:
            key = (row["rank"], row["t_s"], row["duration_s"], row["block"])
            batches.setdefault(key, []).append(row)
    found: list[tuple[list[Key], Event]] = []
    free_s: dict[int, float] = {}
    for (rank, end_s, duration_s, block), rows in batches.items():
        start_s = max(end_s - duration_s, free_s.get(rank, 0.0))
        free_s[rank] = max(end_s, start_s)
        items = [row["item"] for row in rows]
        title = f"block {block} · item {items[0]}" + (f" +{len(items) - 1}" * (len(items) > 1))
        event = _slice(rank, COMPUTE, title, start_s, free_s[rank] - start_s, _told(rows[0]))
        event["args"]["items"] = items
        found.append(([(row["item"], row["attempt"], block) for row in rows], event))
    return found


def _marks(steps: list[dict[str, Any]]) -> list[tuple[list[Key], Event]]:
    """One short slice per send, none beyond the start of the next one of its rank."""
    sends = [row for row in steps if row["kind"] == "send"]
    following: dict[int, float] = {}
    found = []
    for row in reversed(sends):
        rank, at_s = row["rank"], row["t_s"]
        length_s = min(MARK_S, following.get(rank, np.inf) - at_s)
        following[rank] = at_s
        title = f"block {row['block']} · item {row['item']} to rank {row['target']}"
        event = _slice(rank, OFFLOAD, title, at_s, length_s, _told(row))
        found.append(([(row["item"], row["attempt"], row["block"])], event))
    return found[::-1]


def _slice(rank: int, role: int, name: str, start_s: float, length_s: float, args: Event) -> Event:
    start_us = _us(start_s)
    length_us = round(_us(start_s + length_s) - start_us, 3)
    return {
        "ph": "X", "name": name, "cat": ROLES[role], "pid": rank, "tid": role,
        "ts": start_us, "dur": max(0.0, length_us), "args": args,
    }  # fmt: skip


def _told(row: dict[str, Any]) -> Event:
    """What the record says of a step, without what the slice itself shows."""
    shown = ("t_s", "rank", "kind", "duration_s")
    return {key: value for key, value in row.items() if key not in shown and value is not None}


# --- flows ---------------------------------------------------------------------------------------


def _flows(
    computes: list[tuple[list[Key], Event]],
    marks: list[tuple[list[Key], Event]],
    steps: list[dict[str, Any]],
) -> Iterator[Event]:
    """An arrow from each send to the next slice of that task on the rank it went to."""
    places: dict[tuple[Key, int], list[Event]] = {}
    for keys, event in (*computes, *marks):
        for key in keys:
            places.setdefault((key, event["pid"]), []).append(event)
    sends = (row for row in steps if row["kind"] == "send")
    for at, (row, (keys, start)) in enumerate(zip(sends, marks, strict=True)):
        arrived = places.get((keys[0], row["target"]), [])
        later = [event for event in arrived if event["ts"] >= start["ts"]]
        if later:
            end = min(later, key=lambda event: event["ts"])
            yield _flow("s", at, start)
            yield _flow("f", at, end) | {"bp": "e"}


def _flow(phase: str, number: int, at: Event) -> Event:
    return {
        "ph": phase, "id": number, "name": "hop", "cat": "hop",
        "pid": at["pid"], "tid": at["tid"], "ts": at["ts"],
    }  # fmt: skip


# --- everything else -----------------------------------------------------------------------------


def _results(reader: RunReader) -> Iterator[Event]:
    """A mark per result that reached the source's ledger."""
    items = read_items(reader)
    done = items["completed_s"][items.ok]
    order = np.argsort(done, kind="stable")
    columns = [items[name][items.ok][order] for name in ("item", "exit", "latency_s")]
    done = done[order]
    lengths: NDArray[np.float64] = np.minimum(MARK_S, np.diff(done, append=np.inf))
    for at_s, length_s, item, exit_, latency_s in zip(done, lengths, *columns, strict=True):
        args = {"item": int(item), "exit": int(exit_), "latency_ms": round(1e3 * latency_s, 3)}
        name = f"item {item:.0f} · exit {exit_:.0f}"
        yield _slice(0, RESULTS, name, float(at_s), float(length_s), args)


def _counters(reader: RunReader) -> Iterator[Event]:
    for rank, series in workers.telemetry(reader, tuple(chain(*COUNTERS.values()))).items():
        for name, columns in COUNTERS.items():
            values = np.column_stack([series.columns[column] for column in columns])
            for at_s, row in zip(series.t_s, values, strict=True):
                if np.isfinite(row).all():
                    args = dict(zip(columns, row.tolist(), strict=True))
                    yield {"ph": "C", "name": name, "pid": rank, "ts": _us(at_s), "args": args}


def _notes(reader: RunReader) -> Iterator[Event]:
    for row in reader.table("events").to_pylist():
        if row["t_s"] is not None:
            yield {
                "ph": "i", "s": "p", "name": f"{row['kind']}: {row['text']}", "cat": "event",
                "pid": row["rank"] or 0, "tid": COMPUTE, "ts": _us(row["t_s"]),
            }  # fmt: skip
