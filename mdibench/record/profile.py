"""A profile folder: what ``mdibench profile`` measured of a network on one machine.

* ``profile.json``: the machine, the network, and for every block its costs and times;
* ``exits.parquet``: one row per evaluation item: ``sample``, ``label``, and for every exit k
  ``prediction_k`` and ``confidence_k``.

The balanced partition, emulated devices and the simulator read it; nothing in it is a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mdibench.errors import Problem, UserError

MAJOR = 2
MINOR = 0
JSON_FILE = "profile.json"
PARQUET_FILE = "exits.parquet"


@dataclass(frozen=True, slots=True)
class Timing:
    """Time of one batch: median of ``repeats``, with the 95 % interval of that median, seconds.

    ``deciles_s`` is the spread of single calls: shortest, 10 %, 20 %, ..., longest.
    """

    batch: int
    median_s: float
    low_s: float
    high_s: float
    repeats: int
    deciles_s: tuple[float, ...] = ()


def alone(times: Sequence[Timing]) -> Timing:
    """Of ``times``, the one of a single item."""
    return next(timing for timing in times if timing.batch == 1)


@dataclass(frozen=True, slots=True)
class BlockProfile:
    """Block ``block`` (from 1) with its exit head; per item unless a batch is named.

    ``codec_bytes`` is the size of its feature map under each codec, and ``working_bytes`` the
    largest sum of inputs, weights and outputs of one of its operations at batch 1. ``times`` are
    of block and head together, ``body_times`` of the block alone, as in a run without early exits.
    """

    block: int
    flops: int
    parameters: int
    weight_bytes: int
    working_bytes: int
    output_shape: tuple[int, ...]
    output_bytes: int
    codec_bytes: Mapping[str, int]
    times: tuple[Timing, ...]
    body_times: tuple[Timing, ...]

    @property
    def seconds(self) -> float:
        """Median time of one item alone, with the head."""
        return alone(self.times).median_s

    def times_of(self, head: bool) -> tuple[Timing, ...]:
        """With the exit head or without."""
        return self.times if head else self.body_times


@dataclass(frozen=True, slots=True)
class Profile:
    """``machine`` and ``model`` are facts for people; ``accuracy[k-1]`` is exit k's at T_e = 1."""

    created_utc: str
    machine: Mapping[str, Any]
    model: Mapping[str, Any]
    items: int
    accuracy: tuple[float, ...]
    blocks: tuple[BlockProfile, ...]


@dataclass(frozen=True, slots=True)
class ExitTable:
    """``predictions[k-1][sample]`` and ``confidences[k-1][sample]`` of exit k, and the labels."""

    labels: Sequence[int]
    predictions: Sequence[Sequence[int]]
    confidences: Sequence[Sequence[float]]


def write_profile(folder: Path, profile: Profile, exits: ExitTable) -> None:
    """Write both files into ``folder``, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_as_arrow(exits), folder / PARQUET_FILE)
    text = json.dumps({"schema": [MAJOR, MINOR], **asdict(profile)}, indent=1)
    (folder / JSON_FILE).write_text(text + "\n")


def read_profile(folder: Path) -> Profile:
    """The profile in ``folder``; UserError where it is missing, damaged or of another version."""
    path = folder / JSON_FILE
    try:
        raw = json.loads(path.read_text())
        if raw.pop("schema")[0] != MAJOR:
            remedy = "measure it again with this version"
            raise UserError(Problem("a profile of another version", str(path), remedy))
        blocks = tuple(_block(block) for block in raw.pop("blocks"))
        return Profile(**{**raw, "accuracy": tuple(raw["accuracy"]), "blocks": blocks})
    except (FileNotFoundError, NotADirectoryError) as failure:
        remedy = "give a folder that `mdibench profile` wrote"
        raise UserError(Problem("no profile here", str(folder), remedy)) from failure
    except (OSError, ValueError, TypeError, KeyError, IndexError) as failure:
        what = f"damaged profile ({type(failure).__name__}: {failure})"
        raise UserError(Problem(what, str(path), "measure it again")) from failure


def read_exits(folder: Path) -> ExitTable:
    """The table in ``folder``; UserError where it is missing or damaged."""
    path = folder / PARQUET_FILE
    try:
        table = pq.read_table(path)
        exits = sum(name.startswith("prediction_") for name in table.column_names)
        numbers = range(1, exits + 1)
        return ExitTable(
            table["label"].to_pylist(),
            [table[f"prediction_{k}"].to_pylist() for k in numbers],
            [table[f"confidence_{k}"].to_pylist() for k in numbers],
        )
    except (OSError, pa.ArrowException, KeyError) as failure:
        what = f"missing or damaged ({type(failure).__name__})"
        raise UserError(Problem(what, str(path), "measure it again")) from failure


def _as_arrow(exits: ExitTable) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "sample": pa.array(range(len(exits.labels)), pa.int32()),
        "label": pa.array(exits.labels, pa.int32()),
    }
    rows = zip(exits.predictions, exits.confidences, strict=True)
    for number, (predictions, confidences) in enumerate(rows, start=1):
        columns[f"prediction_{number}"] = pa.array(predictions, pa.int32())
        columns[f"confidence_{number}"] = pa.array(confidences, pa.float32())
    return pa.table(columns)


def _block(raw: dict[str, Any]) -> BlockProfile:
    changes = {
        "output_shape": tuple(raw["output_shape"]),
        "times": tuple(_timing(timing) for timing in raw["times"]),
        "body_times": tuple(_timing(timing) for timing in raw["body_times"]),
    }
    return BlockProfile(**{**raw, **changes})


def _timing(raw: dict[str, Any]) -> Timing:
    return Timing(**{**raw, "deciles_s": tuple(raw.get("deciles_s", ()))})
