"""The Python interface: the tables of one or more runs as typed pandas frames.

Every frame has the columns of ``mdibench.record.schema`` (their meaning is in ``docs/files.md``)
and ``run``, the id of the run that a row belongs to. Null is pandas' own missing value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from mdibench.record import schema
from mdibench.record.reader import RunReader, open_runs

PANDAS_TYPES: dict[pa.DataType, Any] = {
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}

RUN_COLUMNS: Mapping[str, tuple[str, str]] = {
    "run": ("string", "the run's id"),
    "folder": ("string", "where its files are"),
    "name": ("string", "run.name of its config"),
    "label": ("string", "run.label of its config"),
    "status": ("string", "complete, running, aborted or failed"),
    "partial": ("boolean", "whether its records end before the run's orderly end"),
    "reason": ("string", "why it ended, where it did not end by itself"),
    "kind": ("string", "hardware; emulated; emulated, recorded answers; shaped link; simulated"),
    "scheme": ("string", "the scheme that decides"),
    "model": ("string", "the network"),
    "seed": ("Int64", "seed of everything random in the run"),
    "ranks": ("Int64", "ranks, the source included"),
    "exits": ("Int64", "K"),
    "topology": ("string", "the topology"),
    "placement": ("string", "the placement of the blocks"),
    "started_utc": ("string", "when it started, ISO 8601"),
    "window_start_s": ("Float64", "start of the measured window, since the run's start"),
    "window_end_s": ("Float64", "its end"),
    "offered": ("Int64", "items that the schedule let arrive, over the whole run"),
    "admitted": ("Int64", "of these, admitted"),
    "ok": ("Int64", "of these, classified"),
    "dropped": ("Int64", "offered items that were turned away"),
    "lost": ("Int64", "admitted items without a result"),
}
"""Columns of the frame ``runs``: type and meaning."""


@dataclass(frozen=True)
class RunFrames:
    """The tables of one or more runs.

    ``items`` has one row per offered item, ``telemetry`` one per rank and sample, ``links`` one
    per direction of a link and sample, ``steps`` one per traced computation or decision, ``events``
    one per notable event, ``runs`` one per run (see ``RUN_COLUMNS``). ``problems`` names every
    file that was damaged and skipped.
    """

    items: pd.DataFrame
    telemetry: pd.DataFrame
    links: pd.DataFrame
    steps: pd.DataFrame
    events: pd.DataFrame
    runs: pd.DataFrame
    problems: tuple[str, ...] = ()


def load_frames(path: str | Path) -> RunFrames:
    """Frames of the run at ``path``, or of every run below it, oldest first.

    Partial runs are read from their live stream and have ``runs.partial`` set. Raises
    ``UserError`` where there is no run.
    """
    readers, skipped = open_runs([path])
    tables = {name: _frame(readers, name) for name in schema.TABLES}
    problems = [*skipped, *(problem for reader in readers for problem in reader.problems)]
    return RunFrames(**tables, runs=_runs(readers), problems=tuple(problems))


def _frame(readers: list[RunReader], name: str) -> pd.DataFrame:
    tables = [reader.table(name) for reader in readers]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas(types_mapper=PANDAS_TYPES.get)
    ids = [reader.id for reader in readers]
    codes = np.repeat(np.arange(len(ids)), [len(table) for table in tables])
    frame.insert(0, "run", pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(ids))))
    return frame


def _runs(readers: list[RunReader]) -> pd.DataFrame:
    facts = [run_facts(reader) for reader in readers]
    return pd.DataFrame(
        {
            name: pd.Series([fact.get(name) for fact in facts], dtype=dtype)
            for name, (dtype, _) in RUN_COLUMNS.items()
        }
    )


def run_facts(reader: RunReader) -> dict[str, Any]:
    """What the manifest says of a run, by the names of ``RUN_COLUMNS``."""
    manifest = reader.manifest
    plan, window = manifest.get("plan") or {}, manifest.get("window") or {}
    facts = {name: manifest.get(name) for name in RUN_COLUMNS}
    facts |= {name: plan.get(name) for name in ("ranks", "exits", "topology", "placement")}
    facts |= manifest.get("totals") or {}
    return facts | {
        "run": reader.id,
        "folder": str(reader.folder),
        "status": reader.status,
        "partial": reader.partial,
        "model": (manifest.get("model") or {}).get("name"),
        "window_start_s": window.get("start_s"),
        "window_end_s": window.get("end_s"),
    }
