"""Deterministic runs out of a simple queueing model, labelled ``simulated``: material for tests.

Rank n hosts block n (the last rank all that are left) and serves one task at a time, first come
first served; items arrive by a Poisson process and leave at the exit that their confidence allows.
Everything is computed by numpy at once (Lindley's recursion), so that millions of items are cheap.
It knows no policy and stands for nothing but itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mdibench.core.rows import ROWS
from mdibench.record import run_folder, schema
from mdibench.record.run_folder import RunWriter
from mdibench.record.tables import arrow_schema

Columns = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """What to simulate. ``service_s`` is the mean time of one block, ``hop_s`` of one transfer."""

    items: int = 2000
    rate_per_s: float = 100.0
    ranks: int = 2
    exits: int = 3
    service_s: float = 0.004
    hop_s: float = 0.002
    threshold: float = 0.8
    accuracy: float = 0.95
    drop: float = 0.0
    seed: int = 1
    warmup_s: float = 1.0
    sample_s: float = 0.2
    scheme: str = "mdi-exit"
    topology: str = "line"
    label: str = ""
    kind: str = "simulated"
    traced: float = 1.0
    watts: float | None = None
    """Of the one host, told by rank 0."""

    @property
    def stages(self) -> list[list[int]]:
        """Blocks by rank."""
        blocks = list(range(1, self.exits + 1))
        cut = min(self.ranks, self.exits) - 1
        return [[b] for b in blocks[:cut]] + [blocks[cut:]] + [[]] * (self.ranks - cut - 1)


LOCAL = Model(ranks=1, scheme="local", topology="local", items=1500, rate_per_s=60)
PAIR = Model(items=1500)


@dataclass(frozen=True)
class Story:
    """What happened to every item: times ``[items]`` and, by rank, arrival, start and end."""

    scheduled_s: NDArray[np.float64]
    completed_s: NDArray[np.float64]
    exit: NDArray[np.int64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    admitted: NDArray[np.bool_]
    stages: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], Any]]


def simulate(model: Model) -> Story:
    generator = np.random.default_rng(model.seed)
    n = model.items
    scheduled = np.cumsum(generator.exponential(1 / model.rate_per_s, n))
    admitted = generator.random(n) >= model.drop
    confidences = np.sort(generator.beta(4, 1.2, (n, model.exits)), axis=1)
    leaves = confidences >= model.threshold
    leaves[:, -1] = True
    exit_ = leaves.argmax(axis=1) + 1
    confidence = confidences[np.arange(n), exit_ - 1]
    correct = generator.random(n) < model.accuracy
    completed, here = scheduled.copy(), np.flatnonzero(admitted)
    stages = []
    for blocks in model.stages:
        if not blocks:
            continue
        ran = np.clip(exit_[here] - blocks[0] + 1, 1, len(blocks))
        service = generator.gamma(8 * ran, model.service_s / 8)
        arrived = completed[here]
        worked = np.cumsum(service)
        ended = worked + np.maximum.accumulate(arrived - worked + service)
        completed[here] = ended
        stages.append((here, arrived, ended - service, ended))
        here = here[exit_[here] > blocks[-1]]
        completed[here] += model.hop_s
    completed += np.where(exit_ > len(model.stages[0]), model.hop_s, 0)
    return Story(scheduled, completed, exit_, confidence, correct, admitted, stages)


def items(model: Model, story: Story) -> Columns:
    ok = story.admitted
    label = np.arange(model.items) % 10
    hops = np.minimum(story.exit, model.ranks) - 1

    def given(values: NDArray[Any]) -> NDArray[Any]:
        return np.where(ok, values, None)

    return {
        "item": np.arange(model.items),
        "sample": np.arange(model.items) % 2000,
        "label": label,
        "prediction": given(np.where(story.correct, label, (label + 1) % 10)),
        "correct": given(story.correct),
        "exit": given(story.exit),
        "confidence": given(story.confidence),
        "threshold": given(np.full(model.items, model.threshold)),
        "scheduled_s": story.scheduled_s,
        "admitted_s": given(story.scheduled_s),
        "completed_s": given(story.completed_s),
        "latency_s": given(story.completed_s - story.scheduled_s),
        "hops": given(hops),
        "wire_bytes": given(hops * 4160),
        "path": [">".join(map(str, range(h + 1))) for h in hops],
        "attempts": np.ones(model.items, np.int64),
        "status": np.where(ok, "ok", "dropped"),
        "reason": np.where(ok, "", "too many items in flight"),
    }


def telemetry(model: Model, story: Story) -> Columns:
    times = np.arange(model.sample_s, story.completed_s.max() + model.sample_s, model.sample_s)
    rows: dict[str, list[Any]] = {name: [] for name in schema.names("telemetry")}
    counts = [story.exit[at] for at, *_ in story.stages]
    for rank, (_, arrived, started, ended) in enumerate(story.stages):
        done = np.searchsorted(ended, times)
        busy = np.concatenate([[0.0], np.cumsum(ended - started)])[done]
        sent = np.concatenate([[0], np.cumsum(counts[rank] > model.stages[rank][-1])])[done]
        offered = np.searchsorted(story.scheduled_s, times)
        completed = np.searchsorted(np.sort(story.completed_s[story.admitted]), times)
        admitted = np.searchsorted(story.scheduled_s[story.admitted], times)
        leaving = [
            np.searchsorted(ended[counts[rank] == k], times) * (k in model.stages[rank])
            for k in range(1, model.exits + 1)
        ]
        values: dict[str, Any] = {
            "t_s": times,
            "rank": np.full(len(times), rank),
            "input_queue": np.searchsorted(arrived, times) - np.searchsorted(started, times),
            "output_queue": np.zeros(len(times), int),
            "tasks": done,
            "busy_s": busy,
            "encode_s": 0.00001 * done,
            "send_s": 0.0001 * sent,
            "wait_s": np.zeros(len(times)),
            "gamma_s": np.full(len(times), model.service_s),
            "sent_bytes": sent * 4160 + 40 * np.arange(len(times)),
            "received_bytes": (done if rank else 0 * done) * 4160,
            "gossip_bytes": 40 * np.arange(len(times)),
            "exits": list(np.stack(leaving, axis=1).tolist()),
            "threshold": np.full(len(times), model.threshold),
            "interarrival_s": [None if rank else 1 / model.rate_per_s] * len(times),
            "offered": [None if rank else int(v) for v in offered],
            "in_flight": [None if rank else int(v) for v in admitted - completed],
            "overruns": np.zeros(len(times), int),
            "flops": done * 1_000_000,
            "refused": np.zeros(len(times), int),
            "rss_bytes": np.full(len(times), 200 << 20),
            "cpu_s": busy * 1.1,
            "energy_j": [None if rank or model.watts is None else model.watts * t for t in times],
            "temperature_c": [None] * len(times),
            "clock_hz": [None] * len(times),
            "throttled": [None] * len(times),
        }
        for name, column in values.items():
            rows[name] += list(column)
    return rows


def links(model: Model, story: Story) -> Columns:
    rows: dict[str, list[Any]] = {name: [] for name in schema.names("links")}
    times = np.arange(model.sample_s, story.completed_s.max() + model.sample_s, model.sample_s)
    for rank in range(1, len(story.stages)):
        sent = np.searchsorted(story.stages[rank][1], times)
        columns: Columns = {
            "t_s": times,
            "source": [rank - 1] * len(times),
            "target": [rank] * len(times),
            "messages": sent + np.arange(len(times)),
            "tasks": sent,
            "bytes": sent * 4160 + 40 * np.arange(len(times)),
            "hop_delay_s": [model.hop_s] * len(times),
            "ping_pongs": [0] * len(times),
        }
        for name, column in columns.items():
            rows[name] += list(column)
    return rows


def steps(model: Model, story: Story) -> Columns:
    rows: list[dict[str, Any]] = []
    for rank, (at, arrived, started, ended) in enumerate(story.stages):
        first, last = model.stages[rank][0], model.stages[rank][-1]
        for i in np.flatnonzero(at * 0x9E3779B1 % 2**32 < model.traced * 2**32):
            item, ran = int(at[i]), min(int(story.exit[at[i]]), last)
            each = (ended[i] - started[i]) / (ran - first + 1)
            for n, block in enumerate(range(first, ran + 1)):
                leaves = block == story.exit[item]
                rows.append(
                    {
                        "t_s": started[i] + (n + 1) * each, "rank": rank, "item": item,
                        "attempt": 0, "block": block, "kind": "compute",
                        "queued_s": started[i] - arrived[i] if n == 0 else 0.0,
                        "duration_s": each, "confidence": float(story.confidence[item]),
                        "threshold": model.threshold, "prediction": 0,
                        "verdict": "exit" if leaves else "input" if block < last else "output",
                        "input_queue": 0, "output_queue": 0, "gamma_s": model.service_s,
                    }
                )  # fmt: skip
            if story.exit[item] > last:
                rows.append(
                    {
                        "t_s": ended[i], "rank": rank, "item": item, "attempt": 0,
                        "block": last + 1, "kind": "send", "queued_s": 0.0, "verdict": "no choice",
                        "target": rank + 1, "info_age_s": 0.01, "payload_bytes": 4096,
                        "hop_delay_s": model.hop_s,
                    }
                )  # fmt: skip
    rows.sort(key=lambda row: row["t_s"])
    return {name: [row.get(name) for row in rows] for name in schema.names("steps")}


def tables(model: Model) -> dict[str, Columns]:
    story = simulate(model)
    events: list[list[Any]] = [
        [model.warmup_s, 0, "info", "phase", "warm-up over"],
        [float(story.scheduled_s[-1]), 0, "info", "phase", "draining"],
    ]
    return {
        "items": items(model, story),
        "telemetry": telemetry(model, story),
        "links": links(model, story),
        "steps": steps(model, story),
        "events": dict(zip(schema.names("events"), zip(*events, strict=True), strict=True)),
    }


def whole(columns: Columns, table: str) -> Columns:
    """``columns`` with null for those of the schema that the model does not fill."""
    rows = len(next(iter(columns.values())))
    return {
        name: columns[name] if len(columns.get(name, ())) == rows else [None] * rows
        for name in schema.names(table)
    }


def manifest(model: Model, **fields: Any) -> dict[str, Any]:
    story = simulate(replace(model, traced=0))
    ok = int(story.admitted.sum())
    blocks = model.stages
    cost = {"flops": 1_000_000, "parameters": 1000, "output_shape": [16, 8, 8]}
    config = {
        "run": {"name": "synthetic", "seed": model.seed, "warmup_s": model.warmup_s,
                "label": model.label, "drain_s": 10.0, "sample_s": model.sample_s},
        "model": {"name": "queueing", "dataset": "none"},
        "scheme": {"name": model.scheme, "threshold": model.threshold},
        "admission": {"mode": "fixed-rate", "interarrival_s": 1 / model.rate_per_s},
    }  # fmt: skip
    return {
        "schema": [schema.MAJOR, schema.MINOR],
        "name": "synthetic",
        "status": "complete",
        "reason": "",
        "started_utc": f"2026-11-03T14:{model.seed // 60 % 60:02}:{model.seed % 60:02}+00:00",
        "pid": 1,
        "host": "nowhere",
        "kind": model.kind,
        "config": config,
        "scheme": model.scheme,
        "label": model.label,
        "seed": model.seed,
        "plan": {
            "ranks": model.ranks, "exits": model.exits, "topology": model.topology,
            "placement": "partition", "blocks": blocks,
            "neighbours": [[m for m in (n - 1, n + 1) if 0 <= m < model.ranks]
                           for n in range(model.ranks)],
            "links": [
                {"source": n, "target": m, "bandwidth_bps": None, "delay_s": model.hop_s,
                 "jitter_s": 0.0, "loss": 0.0, "codec": "none"}
                for n in range(model.ranks) for m in (n - 1, n + 1) if 0 <= m < model.ranks
            ],
            "devices": [None] * model.ranks, "hosts": ["nowhere"] * model.ranks,
        },
        "model": {
            "name": "queueing", "classes": 10, "input_shape": [1, 32, 32], "input_bytes": 1024,
            "blocks": [cost | {"output_bytes": 4096, "seconds": model.service_s}] * model.exits,
        },
        "ranks": [{"rank": n, "host": "nowhere", "cores": 8, "python": "3.11"}
                  for n in range(model.ranks)],
        "clock_offsets_s": [0.0] * model.ranks,
        "clock_error_s": 0.0,
        "window": {"start_s": model.warmup_s, "end_s": float(story.scheduled_s[-1])},
        "totals": {"offered": model.items, "admitted": ok, "ok": ok,
                   "dropped": model.items - ok, "lost": 0, "duplicates": 0},
        "warnings": [],
    } | fields  # fmt: skip


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def write_run(folder: Path, model: Model, finish: bool = True, **fields: Any) -> Path:
    """Write the run through the package's own writer; without ``finish`` it stays partial."""
    folder.mkdir(parents=True)
    facts = manifest(model, **fields)
    writer = RunWriter(folder, facts | {"status": "running"})
    for name, columns in tables(model).items():
        for row in zip(*whole(columns, name).values(), strict=True):
            writer.append(ROWS[name]._make(_plain(value) for value in row))
    if finish:
        writer.finish(facts["status"], facts["reason"])
    else:
        writer.flush()
    return folder


def write_big_run(folder: Path, model: Model) -> Path:
    """The same, straight to Parquet and without steps, for runs of many items."""
    import json

    folder.mkdir(parents=True)
    for name, columns in (tables(replace(model, traced=0))).items():
        types, filled = arrow_schema(name), whole(columns, name)
        arrays = [pa.array(filled[f.name], f.type, from_pandas=True) for f in types]
        pq.write_table(pa.Table.from_arrays(arrays, schema=types), folder / f"{name}.parquet")
    (folder / run_folder.MANIFEST).write_text(json.dumps(manifest(model)))
    return folder
