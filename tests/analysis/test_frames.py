"""``mdibench.load``: the same tables as frames, for finished, partial and damaged runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import mdibench
from mdibench.errors import UserError
from mdibench.record import schema
from mdibench.record.reader import RunReader


def test_one_run_as_typed_frames(one_run: Path) -> None:
    frames = mdibench.load(one_run)
    assert len(frames.items) == 1500
    assert frames.problems == ()
    for name in schema.TABLES:
        assert list(getattr(frames, name).columns) == ["run", *schema.names(name)]
    assert frames.items.dtypes["correct"] == pd.BooleanDtype()
    assert frames.items.dtypes["exit"] == pd.Int64Dtype()
    assert frames.items.dtypes["latency_s"] == pd.Float64Dtype()
    assert frames.runs.loc[0, "scheme"] == "mdi-exit"
    assert frames.runs.loc[0, "ok"] == 1500
    assert not frames.runs.loc[0, "partial"]


def test_a_folder_of_runs_is_distinguished_by_run(run_set: Path) -> None:
    frames = mdibench.load(run_set)
    assert len(frames.runs) == 6
    counts = frames.items.groupby("run", observed=True).size()
    assert counts.to_dict() == dict.fromkeys(frames.runs["run"], 1500)


def test_a_partial_run_reads_from_its_stream_and_is_marked(partial_run: Path) -> None:
    frames = mdibench.load(partial_run)
    assert len(frames.items) == 600
    assert frames.runs.loc[0, "partial"]
    assert frames.runs.loc[0, "status"] in ("running", "aborted")
    assert frames.telemetry["exits"].iloc[-1] is not None


def test_a_cut_and_damaged_stream_is_read_and_named(partial_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "cut"
    shutil.copytree(partial_run, run)
    stream = run / "live.jsonl"
    lines = stream.read_bytes().split(b"\n")
    lines[5] = lines[5][:9] + b"\x00"
    stream.write_bytes(b"\n".join(lines[:100]))
    frames = mdibench.load(run)
    assert len(frames.items) == 97
    assert frames.problems == (f"{stream}: 1 damaged lines skipped",)


def test_a_damaged_table_is_named_and_skipped(one_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "damaged"
    shutil.copytree(one_run, run)
    (run / "steps.parquet").write_bytes(b"PAR1 not really")
    (run / "links.parquet").unlink()
    frames = mdibench.load(run)
    assert len(frames.items) == 1500
    assert len(frames.steps) == len(frames.links) == 0
    assert [problem.split(": ")[1][:7] for problem in frames.problems] == ["missing", "damaged"]


def test_an_older_minor_with_fewer_columns_reads_null(one_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "older"
    shutil.copytree(one_run, run)
    table = pq.read_table(run / "items.parquet").drop_columns(["wire_bytes", "path"])
    pq.write_table(table, run / "items.parquet")
    frames = mdibench.load(run)
    assert frames.items["wire_bytes"].isna().all()
    assert frames.items["latency_s"].notna().all()


def test_damaged_manifests_are_skipped_and_a_folder_without_runs_says_so(
    one_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(one_run, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "run.json").write_text(json.dumps({"schema": [9, 0]}))
    frames = mdibench.load(tmp_path)
    assert len(frames.runs) == 1
    assert ["damaged" in frames.problems[0], "schema 9" in frames.problems[1]] == [True, True]
    with pytest.raises(UserError, match="no run found here"):
        mdibench.load(newer)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="mdibench run CONFIG makes one"):
        mdibench.load(tmp_path / "empty")


def test_two_copies_of_a_run_keep_different_names(one_run: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        shutil.copytree(one_run, tmp_path / place / one_run.name)
    frames = mdibench.load(tmp_path)
    assert frames.runs["run"].is_unique


def test_columns_as_numbers_and_texts(one_run: Path) -> None:
    reader = RunReader(one_run)
    numbers = reader.numbers("items", ["item", "correct"])
    assert numbers["item"].tolist() == list(range(1500))
    assert set(numbers["correct"]) == {0.0, 1.0}
    codes, texts = reader.texts("items", "status")
    assert texts == ["ok"] and (codes == 0).all()
