"""The browser, a sweep, a replay and a killed rank in a real terminal, at four widths."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdibench.record.run_folder import find_runs, read_manifest
from tests.monitor.support import start
from tests.monitor.synthetic import Synthetic
from tests.mpi.jobs import SMALL
from tests.terminals import Tmux

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]
LONG = SMALL.replace("duration_s = 0.5", 'duration_s = 60.0\nresults = "results"')
SHORT = Synthetic(ranks=2, rate=20, duration_s=2.0)


WIDTHS = (50, 80, 120, 200)


@pytest.fixture(scope="module")
def tmux() -> Iterator[Tmux]:
    one = Tmux()
    yield one
    one.close()


def pause_near_the_start(tmux: Tmux) -> None:
    """Home plays from the start; a key that comes while the screen opens may be lost."""
    for _ in range(40):
        tmux.key("Home")
        if "space pause" in tmux.screen():
            break
        time.sleep(0.25)
    tmux.key("space")
    tmux.until("‖ paused")


def test_from_a_sweep_to_a_replay_and_back(tmux: Tmux, tmp_path: Path) -> None:
    results = tmp_path / "grid"
    for label in ("cell one", "cell two"):
        start(results, SHORT, label=label).finish()
    record = {
        "schema": [1, 0], "name": "grid", "repeats": 1,
        "cells": [{"label": label, "ranks": 2} for label in ("cell one", "cell two")],
        "runs": [{"cell": "cell one", "repeat": 1, "status": "complete", "wall_s": 2.0}],
    }  # fmt: skip
    (results / "sweep.json").write_text(json.dumps(record), encoding="utf-8")
    tmux.run(f"clear; {sys.executable} -m mdibench monitor {results}; echo status-$?")
    assert "1 of 2 runs done" in tmux.until("highest rate so far: cell one")
    for columns in WIDTHS:
        tmux.resize(columns, 20)
        text = tmux.until("open")
        assert "cell one" in text
        assert max(map(len, text.splitlines())) <= columns
    tmux.key("Enter")
    tmux.until("1 of 2 runs ")
    tmux.key("Enter")
    tmux.until("space play")
    pause_near_the_start(tmux)
    for columns in WIDTHS:
        tmux.resize(columns, 20)
        assert "? help  q quit  space" in tmux.until("? help").splitlines()[-1]
    tmux.key("q")
    tmux.until("1 of 2 runs ")
    tmux.key("q")
    tmux.until("status-0")
    run = next(results.glob("2*"))
    tmux.run(f"clear; {sys.executable} -m mdibench monitor {run}")
    tmux.until("space play")
    pause_near_the_start(tmux)
    tmux.key("q")
    tmux.until("the replay stood at 00:0")


def test_the_list_of_runs(tmux: Tmux, tmp_path: Path) -> None:
    ends = {"good": ("complete", ""), "bad": ("aborted", "rank 1 on a died (signal 9)")}
    for label, end in ends.items():
        start(tmp_path, SHORT, label=label).finish(*end)
    tmux.run(f"clear; {sys.executable} -m mdibench monitor {tmp_path}; echo status-$?")
    for columns in WIDTHS:
        tmux.resize(columns, 20)
        text = tmux.until_all("94.", "2 runs", "⏎ open", "complete good", "aborted  bad", "q quit")
        assert max(map(len, text.splitlines())) <= columns
    tmux.key("/")
    tmux.until("filter: Enter keeps it")
    tmux.run("bad")
    tmux.until_all("1 of 2 runs")
    assert "good" not in tmux.screen()
    tmux.key("q")
    tmux.until("status-0")


@pytest.mark.mpi
@pytest.mark.alone  # the first rank to die is told by when its end is seen
def test_a_killed_rank(tmux: Tmux, tmp_path: Path) -> None:
    config = tmp_path / "long.toml"
    config.write_text(LONG, encoding="utf-8")
    tmux.resize(120, 30)
    command = f"{sys.executable} -m mdibench run {config} --ranks 3 --tui"
    tmux.run(f"clear; cd {tmp_path}; {command}; echo status-$?; cd -")
    tmux.until("● running")
    (run,) = find_runs([tmp_path / "results"])
    facts = read_manifest(run)["ranks"][2]
    os.kill(facts["pid"], signal.SIGKILL)
    line = f"rank 2 on {facts['host']} died (signal 9); run aborted"
    tmux.until("✗ aborted")
    for columns in WIDTHS:
        tmux.resize(columns, 30)
        text = tmux.until_all(line, "? help  q quit", "✗ aborted")
        assert max(map(len, text.splitlines())) <= columns
    tmux.key("q")
    tmux.until_all(f"{line} after 00:0", "status-")
    assert "status-0" not in tmux.screen()
