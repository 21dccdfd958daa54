"""The list of runs: found, read, sorted, filtered; sweeps; the browser's screens."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from mdibench.__main__ import run as mdibench
from mdibench.monitor.app.browser import BrowserApp, BrowserState
from mdibench.monitor.app.dialogs import Compare
from mdibench.monitor.runs import (
    Catalogue,
    RunEntry,
    age_text,
    read_sweep,
    scan,
    sorted_entries,
    with_manifest,
)
from tests.monitor.support import screen_text, start
from tests.monitor.synthetic import Synthetic

SHORT = Synthetic(ranks=2, rate=20, duration_s=2.0)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs: complete, aborted, running."""
    for status, label in (("complete", "cell one"), ("aborted", "cell two"), ("running", "")):
        run = start(tmp_path / "results", SHORT, label=label)
        run.until(1e9)
        if status != "running":
            run.writer.finish(status, "a rank died" if status == "aborted" else "")
    return tmp_path / "results"


def read_all(app: BrowserApp) -> None:
    """What the app's thread does, until nothing is left."""
    while app.read_some():
        app.show()
    app.show()


def browser(path: Path, **given: Any) -> BrowserApp:
    return BrowserApp(Catalogue(path), BrowserState(), reads=False, **given)


def test_entries_are_found_by_their_folders_and_read_later(results: Path) -> None:
    entries = scan(results)
    assert [entry.name for entry in entries] == ["fixed_acc"] * 3
    assert {entry.state for entry in entries} == {""}
    assert {with_manifest(entry).state for entry in entries} == {"complete", "aborted", "running"}


def test_the_order_of_a_list() -> None:
    def entry(name: str, started_s: float, rate: float) -> RunEntry:
        return RunEntry(Path(name), name, started_s, rate_per_s=rate)

    entries = [entry("a", 1.0, 5.0), entry("b", 3.0, math.nan), entry("c", 2.0, 9.0)]
    assert [e.name for e in sorted_entries(entries, "age", False)] == ["b", "c", "a"]
    assert [e.name for e in sorted_entries(entries, "rate", False)] == ["c", "a", "b"]
    assert [e.name for e in sorted_entries(entries, "name", True)] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(40, "40 s"), (150, "2 min"), (7300, "2 h"), (3e5, "3 d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(1000.0, 1000.0 + seconds) == text


@pytest.mark.slow
async def test_the_list_shows_figures_filters_and_sorts(results: Path) -> None:
    app = browser(results)
    async with app.run_test(size=(120, 20)) as pilot:
        read_all(app)
        await pilot.pause()
        text = screen_text(app)
        assert "3 runs" in text
        assert "cell one · fixed_acc" in text
        complete = next(line for line in text.splitlines() if "cell one" in line)
        assert "complete" in complete
        assert "mdi-exit" in complete
        assert "%" in complete
        await pilot.press("slash", *"cell", "enter")
        await pilot.pause()
        assert "2 of 3 runs" in screen_text(app)
        await pilot.press("s")
        await pilot.pause()
        assert "run↓" in screen_text(app)
        assert app.shown[0].label == "cell one"


@pytest.mark.slow
async def test_two_marked_runs_stand_on_one_time_line(results: Path) -> None:
    app = browser(results)
    async with app.run_test(size=(120, 36)) as pilot:
        read_all(app)
        await pilot.press("space", "space")
        while "completed, items/s" not in screen_text(app):
            await pilot.pause(0.01)
        assert isinstance(app.screen, Compare)
        await pilot.press("home")
        await pilot.pause()
        assert "00:00 / 00:0" in screen_text(app).splitlines()[0]
        await pilot.press("escape")
        await pilot.pause()
        assert "both marked" in screen_text(app)


@pytest.mark.slow
async def test_a_run_that_disappears_is_one_clear_line(results: Path) -> None:
    app = browser(results)
    async with app.run_test(size=(100, 20)) as pilot:
        read_all(app)
        await pilot.pause()
        gone = app.shown[0].folder
        shutil.rmtree(gone)
        await pilot.press("enter")
        await pilot.pause()
        (line,) = [x for x in screen_text(app).splitlines() if "was removed while it was" in x]
        assert gone.name[:20] in line
        app.catalogue.rescan()
        assert app.catalogue.entries[gone].state == "gone"


@pytest.mark.parametrize("size", [(50, 14), (80, 24), (120, 36), (200, 50)])
async def test_every_width_keeps_the_list_and_the_footer(
    results: Path, size: tuple[int, int]
) -> None:
    app = browser(results)
    async with app.run_test(size=size) as pilot:
        app.catalogue.rescan()
        while app.catalogue.read_some(()):
            pass
        app.show()
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert "open" in lines[-1]
        assert "complete" in "".join(lines)
        assert max(map(len, lines)) <= size[0]


# --- sweeps ---------------------------------------------------------------------------------------


def sweep_in(results: Path) -> None:
    """The record of a sweep over the runs in ``results``."""
    cells = [{"label": f"cell {n}", "ranks": 2, "overrides": []} for n in ("one", "two")]

    def outcome(cell: str, status: str, wall_s: float) -> dict[str, Any]:
        own = {"cell": cell, "repeat": 1, "status": status, "wall_s": wall_s}
        return own | {"run": "", "reason": ""}

    runs = [outcome("cell one", "complete", 4.0), outcome("cell two", "failed", 2.0)]
    record = {"schema": [1, 0], "name": "grid", "repeats": 2, "cells": cells, "runs": runs}
    (results / "sweep.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_sweep_is_its_record_and_its_runs(results: Path) -> None:
    sweep_in(results)
    entries = [with_manifest(entry) for entry in scan(results)]
    sweep = read_sweep(results, entries)
    assert sweep is not None
    assert (sweep.total, sweep.done, sweep.failed, sweep.running) == (4, 1, 1, 0)
    assert sweep.left_s == 2 * 3.0
    assert [(c.label, c.done, c.failed) for c in sweep.cells] == [
        ("cell one", 1, 0),
        ("cell two", 0, 1),
    ]
    (results / "sweep.json").write_text("{", encoding="utf-8")
    assert read_sweep(results, entries) is None


@pytest.mark.slow
async def test_a_sweep_has_its_own_screen(results: Path) -> None:
    sweep_in(results)
    app = browser(results)
    async with app.run_test(size=(120, 20)) as pilot:
        read_all(app)
        await pilot.pause()
        text = screen_text(app)
        assert "1 of 4 runs done" in text
        assert "about 6 s left" in text
        assert "1/2" in text
        await pilot.press("enter")
        await pilot.pause()
        assert [entry.label for entry in app.shown] == ["cell one"]
        await pilot.press("c")
        await pilot.pause()
        assert app.by_cell


# --- ten thousand runs, and the command -----------------------------------------------------------


@pytest.mark.slow
async def test_ten_thousand_runs_open_at_once(tmp_path: Path) -> None:
    manifest = b'{"schema": [1, 0], "status": "complete", "name": "n", "scheme": "mdi"}'
    for place in range(10_000):
        folder = tmp_path / f"20260101T{place % 24:02}{place % 60:02}00Z-many-{place:04x}"
        folder.mkdir()
        (folder / "run.json").write_bytes(manifest)
    begun_s = time.process_time()
    app = browser(tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        app.read_some()  # finds them
        app.show()
        await pilot.pause()
        assert "10,000 runs" in screen_text(app)
        app.read_some()  # reads those on the screen
        app.show()
        await pilot.pause()
        assert screen_text(app).count("complete") > 30
    assert time.process_time() - begun_s < 2.0


def test_the_command_lists_runs_as_text_and_json(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["list", str(results), "--filter", "cell"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:2] == ["state", "run"]
    assert mdibench(["list", str(results), "--json", "--sort", "rate"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} == {"complete", "aborted", "running"}
    assert mdibench(["list", str(results / "none")]) == 2
    assert "no runs yet" in capsys.readouterr().err
