"""A run's folder: manifest, status, tables at the end, and nothing lost when the end goes wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mdibench.core.rows import EventRow
from mdibench.errors import UserError
from mdibench.record import schema, tables
from mdibench.record.run_folder import RunWriter, create, find_runs, read_manifest, status
from mdibench.record.stream import LiveReader
from tests.rows import row_of

STARTED = datetime(2026, 11, 3, 14, 25, 30, tzinfo=timezone.utc)
SAMPLE = {"t_s": 0.2, "rank": 1, "input_queue": 3, "tasks": 9, "exits": [4, 5]}
EVENT = EventRow(t_s=0.1, rank=0, level="warning", kind="overrun", text="block 2")


def manifest(**fields: Any) -> dict[str, Any]:
    facts = {"id": "x", "name": "smoke", "started_utc": STARTED.isoformat()}
    return facts | {"pid": os.getpid(), "host": socket.gethostname()} | fields


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return create(tmp_path / "results", "smoke", STARTED, "c0de")


def test_a_folder_is_named_by_utc_time_name_and_token(tmp_path: Path) -> None:
    east = STARTED.astimezone(timezone(timedelta(hours=9)))
    assert create(tmp_path, "smoke", east, "c0de").name == "20261103T142530Z-smoke-c0de"


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UserError, match="cannot make the run's folder"):
        create(tmp_path / "results", "smoke", STARTED, "c0de")


def test_a_run_from_first_record_to_tables(folder: Path) -> None:
    writer = RunWriter(folder, manifest())
    assert read_manifest(folder)["schema"] == [schema.MAJOR, schema.MINOR]
    assert status(folder) == "running"
    writer.append(row_of("telemetry", SAMPLE))
    writer.append(EVENT)
    writer.update(window={"start_s": 0.1, "end_s": float("nan")})
    writer.finish("complete", "", totals={"offered": 2})
    end = read_manifest(folder)
    assert (end["status"], end["totals"]) == ("complete", {"offered": 2})
    assert end["window"] == {"start_s": 0.1, "end_s": None}
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["run.json", *(f"{table}.parquet" for table in schema.TABLES)]
    )
    sample = pq.read_table(folder / "telemetry.parquet").to_pylist()
    assert sample == [row_of("telemetry", SAMPLE)._asdict()]
    assert pq.read_table(folder / "items.parquet").num_rows == 0


def test_a_failure_while_the_tables_are_written_keeps_the_stream(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunWriter(folder, manifest())
    writer.append(EVENT)

    def full(self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables._TableFile, "finish", full)
    with pytest.raises(UserError, match=r"No space left.*safe in live\.jsonl"):
        writer.finish("complete", "")
    end = read_manifest(folder)
    assert end["status"] == "complete"
    assert "safe in live.jsonl" in end["warnings"][0]
    assert [row["text"] for _, row in LiveReader(folder / "live.jsonl").poll()] == ["block 2"]
    assert not list(folder.glob("*.parquet")) and not list(folder.glob(".*.draft"))


def test_values_that_do_not_fit_become_null_and_are_told(folder: Path) -> None:
    writer = RunWriter(folder, manifest())
    writer.append(EVENT)
    strange: list[Any] = ["soon", 0.5, 7, "phase", "text"]
    writer.append(EventRow._make(strange))
    writer.finish("complete", "")
    rows = pq.read_table(folder / "events.parquet").to_pylist()
    assert list(rows[1].values()) == [None, None, "7", "phase", "text"]
    assert rows[0]["t_s"] == 0.1
    assert read_manifest(folder)["warnings"] == [
        "2 recorded values did not fit their column and became null"
    ]


def test_the_same_stream_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for token in ("aaaa", "bbbb"):
        writer = RunWriter(create(tmp_path, "twin", STARTED, token), manifest())
        for item in range(100):
            facts = {"item": item, "sample": item % 7, "path": "0>1", "attempts": 1}
            writer.append(row_of("items", facts | {"status": "ok", "reason": ""}))
        writer.finish("complete", "")
        written.append((writer.folder / "items.parquet").read_bytes())
    assert written[0] == written[1]


def test_row_groups_split_without_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 10)
    writer = RunWriter(folder, manifest())
    for t_s in range(25):
        writer.append(EVENT._replace(t_s=t_s))
    writer.finish("complete", "")
    table = pq.ParquetFile(folder / "events.parquet")
    assert table.num_row_groups == 3
    assert table.read(["t_s"])["t_s"].to_pylist() == list(range(25))


def test_a_dead_writer_makes_a_running_run_aborted(folder: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    RunWriter(folder, manifest(pid=dead.pid))
    assert status(folder) == "aborted"


def test_a_writer_on_another_host_is_judged_by_its_silence(folder: Path) -> None:
    RunWriter(folder, manifest(pid=1 << 22, host="elsewhere"))
    written_s = (folder / "live.jsonl").stat().st_mtime
    assert status(folder, written_s + 29) == "running"
    assert status(folder, written_s + 31) == "aborted"


def test_kill_9_leaves_what_was_flushed(folder: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from mdibench.core.rows import EventRow
from mdibench.record.run_folder import RunWriter
writer = RunWriter(Path({str(folder)!r}), {manifest()!r} | {{"pid": os.getpid()}})
writer.append({EVENT!r}); writer.flush(); writer.append({EVENT!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert status(folder) == "aborted"
    reader = LiveReader(folder / "live.jsonl")
    assert len(reader.poll()) == 1
    assert reader.ended is None


def test_recording_imports_neither_pyarrow_nor_pandas(folder: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from mdibench.core.rows import EventRow
from mdibench.record.run_folder import RunWriter
writer = RunWriter(Path({str(folder)!r}), {manifest()!r})
writer.append({EVENT!r}); writer.flush()
print([name for name in ("pyarrow", "pandas", "numpy", "torch") if name in sys.modules])
writer.finish("complete", "")
print([name for name in ("pyarrow", "pandas", "torch") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n['pyarrow']\n"


def test_find_runs_sorts_by_time_and_lists_each_once(tmp_path: Path) -> None:
    late, early = tmp_path / "a", tmp_path / "deep" / "b"
    for folder, hour in ((late, 9), (early, 8)):
        folder.mkdir(parents=True)
        RunWriter(folder, manifest(started_utc=f"2026-11-03T0{hour}:00:00+00:00"))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "run.json").write_text("{}")
    assert find_runs([tmp_path, late, late / "run.json"]) == [early, late]
    with pytest.raises(UserError, match="no such file or folder"):
        find_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "x"}', '{"schema": [1'])
def test_a_damaged_manifest_is_named(folder: Path, text: str) -> None:
    (folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json: is damaged"):
        read_manifest(folder)
    assert find_runs([folder]) == [folder]


def test_a_manifest_of_another_major_is_refused(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps({"schema": [schema.MAJOR + 1, 0]}))
    with pytest.raises(UserError, match="cannot be read, this version reads"):
        read_manifest(folder)


def test_links_to_runs_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    elsewhere = tmp_path / "other disk" / "run"
    elsewhere.mkdir(parents=True)
    RunWriter(elsewhere, {})
    results = tmp_path / "results"
    results.mkdir()
    (results / "linked").symlink_to(elsewhere)
    (results / "again").symlink_to(elsewhere)
    (results / "circle").symlink_to(results)
    (results / "broken").symlink_to(tmp_path / "nowhere")
    assert [run.resolve() for run in find_runs([results])] == [elsewhere]
