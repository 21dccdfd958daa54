"""The browser, a sweep and a replay in a real terminal, at four widths."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.support import start
from tests.monitor.synthetic import Synthetic
from tests.terminals import Tmux

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]
SHORT = Synthetic(ranks=2, rate=20, duration_s=2.0)


@pytest.fixture
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
    for columns in (50, 80, 120, 200):
        tmux.resize(columns, 20)
        text = tmux.until("open")
        assert "cell one" in text
        assert max(map(len, text.splitlines())) <= columns
    tmux.key("Enter")
    tmux.until("1 of 2 runs ")
    tmux.key("Enter")
    tmux.until("space play")
    pause_near_the_start(tmux)
    for columns in (50, 80, 120, 200):
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
