"""The record of a sweep: finished runs are kept, killed runs are repeated."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from mdibench.errors import UserError
from mdibench.record import run_folder
from mdibench.record.run_folder import SWEEP_RECORD, RunWriter, find_runs
from mdibench.sweep.matrix import Cell, Matrix, read_matrix
from mdibench.sweep.sweep_record import ABANDONED, SweepRecord

TEXT = """
[run]
name = "trial"
[topology]
name = "2-node"
[sweep]
repeats = 2
[sweep.axes]
"scheme.name" = ["local", "mdi-exit"]
"""
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def matrix() -> Matrix:
    return read_matrix(TEXT, "sweep.toml")


def open_record(folder: Path, matrix: Matrix) -> SweepRecord:
    """The record as a sweep opens it, with the earlier runs taken over."""
    record = SweepRecord(folder / "trial", matrix, "sweep.toml")
    record.resume()
    return record


def a_run(record: SweepRecord, cell: Cell, repeat: int, status: str, pid: int = 0) -> Path:
    """A run's folder where the sweep wants it, as a rank would have left it."""
    place = record.folder / cell.name / f"repeat-{repeat}"
    folder = run_folder.create(place, "trial", NOON, "abcd")
    writer = RunWriter(folder, {"pid": pid or os.getpid(), "host": os.uname().nodename})
    if status == "running":
        writer.flush()
    else:
        writer.finish(status, "" if status == "complete" else "because")
    return folder


def test_a_finished_run_is_remembered(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    cell = matrix.cells[0]
    run = a_run(record, cell, 1, "complete")
    assert record.enter(cell, 1, "", 3.25).status == "complete"
    again = open_record(tmp_path, matrix)
    assert again.finished(cell, 1)
    assert not again.finished(cell, 2)
    assert not again.finished(matrix.cells[1], 1)
    written = json.loads((record.folder / SWEEP_RECORD).read_text())
    assert written["runs"] == [
        {
            "cell": "local",
            "repeat": 1,
            "status": "complete",
            "run": str(run.relative_to(record.folder)),
            "reason": "",
            "wall_s": 3.25,
        }
    ]
    assert [cell["label"] for cell in written["cells"]] == ["local", "mdi-exit"]


def test_a_finished_run_whose_folder_is_gone_is_done_again(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    cell = matrix.cells[0]
    run = a_run(record, cell, 1, "complete")
    record.enter(cell, 1, "", 1.0)
    run.rename(tmp_path / "elsewhere")
    assert not open_record(tmp_path, matrix).finished(cell, 1)


@pytest.mark.parametrize("status", ["failed", "aborted"])
def test_what_failed_is_not_finished_and_says_why(
    tmp_path: Path, matrix: Matrix, status: str
) -> None:
    record = open_record(tmp_path, matrix)
    cell = matrix.cells[0]
    a_run(record, cell, 1, status)
    done = record.enter(cell, 1, "", 1.0)
    assert (done.status, done.reason) == (status, "because")
    assert not open_record(tmp_path, matrix).finished(cell, 1)


def test_a_job_that_left_no_run_has_failed(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    done = record.enter(matrix.cells[0], 1, "exit status 2: no such file", 0.5)
    assert (done.status, done.run) == ("failed", "")


def test_an_unfinished_run_is_moved_to_where_no_report_finds_it(
    tmp_path: Path, matrix: Matrix
) -> None:
    record = open_record(tmp_path, matrix)
    cell = matrix.cells[0]
    a_run(record, cell, 1, "aborted")
    place = record.place(cell, 1)
    assert not place.exists()
    assert find_runs([record.folder]) == []
    assert len(list((record.folder / ABANDONED).iterdir())) == 1


def test_a_run_that_ended_after_its_sweep_was_killed_counts(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    record.write()
    a_run(record, matrix.cells[1], 2, "complete")
    assert open_record(tmp_path, matrix).finished(matrix.cells[1], 2)


def test_a_complete_run_can_be_forgotten(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    for repeat in (1, 2):
        a_run(record, matrix.cells[0], repeat, "complete")
        record.enter(matrix.cells[0], repeat, "", 1.0)
    record.forget(lambda run: run.parent.name == "repeat-2")
    assert record.finished(matrix.cells[0], 1)
    assert not record.finished(matrix.cells[0], 2)


def test_an_active_run_stops_a_second_sweep(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    record.write()
    a_run(record, matrix.cells[0], 1, "running")
    with pytest.raises(UserError, match="is still active"):
        open_record(tmp_path, matrix)


def test_another_base_config_is_refused(tmp_path: Path, matrix: Matrix) -> None:
    open_record(tmp_path, matrix).write()
    other = read_matrix(TEXT, "sweep.toml", ("scheme.threshold=0.5",))
    with pytest.raises(UserError, match="started with another config"):
        open_record(tmp_path, other)


def test_more_cells_of_the_same_base_are_accepted(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    a_run(record, matrix.cells[0], 1, "complete")
    record.enter(matrix.cells[0], 1, "", 1.0)
    more = read_matrix(TEXT.replace('"mdi-exit"]', '"mdi-exit", "ddi"]'), "sweep.toml")
    assert open_record(tmp_path, more).finished(more.cells[0], 1)


def test_a_damaged_record_is_a_user_error(tmp_path: Path, matrix: Matrix) -> None:
    record = open_record(tmp_path, matrix)
    record.write()
    (record.folder / SWEEP_RECORD).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        open_record(tmp_path, matrix)
