"""Runs with recorded answers: the same as computed ones, without torch or ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdibench.analysis.comparison import IncomparableRuns, refuse_incomparable
from mdibench.analysis.run_groups import Run, RunGroup, evaluate_run
from mdibench.config.schema import ModelSection
from mdibench.record.reader import RunReader
from mdibench.training.recordings import record
from mdibench.training.scores import known_info

from .jobs import ROOT, Done, Job, job

pytestmark = [pytest.mark.slow, pytest.mark.mpi, pytest.mark.alone]

TEXT = """
[run]
name = "recorded"
warmup_s = 0.0
items = 300
[model]
engine = "{engine}"
[admission]
mode = "offline"
max_in_flight = 8
[placement]
replicate = true
[topology]
name = "2-node"
[emulation]
device = "slow"
link = "wifi-5ghz"
[emulation.devices.slow]
block_ms = [12.0, 12.0, 12.0, 12.0, 12.0]
"""


def without_libraries(folder: Path) -> str:
    """A search path on which importing torch or ONNX Runtime fails."""
    for name in ("torch", "onnxruntime"):
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} was loaded')")
    return os.pathsep.join([str(folder), str(ROOT)])


def evaluated(done: Done) -> Run:
    assert done.status == 0, done.err
    return evaluate_run(RunReader(done.run))


def answers(run: Run) -> dict[int, tuple[object, ...]]:
    table = run.reader.table("items").to_pydict()
    columns = zip(table["item"], table["exit"], table["prediction"], strict=True)
    return {item: said for item, *said in columns}


def test_recorded_and_computed_runs_agree(tmp_path: Path) -> None:
    record(ModelSection())
    known_info(ModelSection())
    folders = [tmp_path / name for name in ("computed", "recorded", "libraries")]
    for folder in folders:
        folder.mkdir()
    computed = evaluated(job(folders[0], 2, TEXT.format(engine="torch")))
    path = without_libraries(folders[2])
    done = Job(folders[1], 2, TEXT.format(engine="recorded"), PYTHONPATH=path).done()
    recorded = evaluated(done)

    assert answers(recorded) == answers(computed)
    a, b = computed.summary.measured, recorded.summary.measured
    assert b.accuracy == a.accuracy
    assert b.rate_per_s.value == pytest.approx(a.rate_per_s.value, rel=0.02)
    links = [run.reader.table("links").to_pydict()["bytes"] for run in (computed, recorded)]
    assert max(links[0]) > 0.8 * max(links[1]) > 0

    assert recorded.summary.identity.kind == "emulated, recorded answers"
    assert "emulated, recorded answers" in done.out
    groups = [RunGroup("a", (computed,)), RunGroup("b", (recorded,))]
    with pytest.raises(IncomparableRuns, match="recorded answers"):
        refuse_incomparable(*groups)


def test_without_an_emulated_device_nothing_can_be_recorded(tmp_path: Path) -> None:
    text = TEXT.format(engine="recorded").partition("[emulation]")[0]
    done = job(tmp_path, 2, text)
    assert done.status == 2
    assert "config.toml:7: model.engine" in done.err
    assert done.err.count("\n") == 1
