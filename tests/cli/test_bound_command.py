"""``mdibench bound`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mdibench.__main__ import run
from mdibench.errors import OK, USAGE_ERROR

pytestmark = pytest.mark.slow

CONFIG = """
[scheme]
threshold = 0.8
[placement]
replicate = true
[emulation]
link = "wifi-5ghz"
"""
BLOCKS = "emulation.devices.board={block_ms=[10, 10, 10, 10, 10]}"
BOARD = ["--set", BLOCKS, "--set", "emulation.device=board"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    return path


def found(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert run(["bound", str(config), *BOARD, *options, "--json"]) == OK
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_the_first_block_bounds_a_mesh(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10 ms of every item stay at the source; with raw data offloaded, four share everything."""
    bound = found(config, capsys, "--ranks", "4", "--rate", "50")
    assert bound["rate_per_s"] == pytest.approx(100.0)
    assert bound["binding"] == "worker 0 (100%)"
    raw = found(config, capsys, "--ranks", "4", "--set", "scheme.source_offloads_raw=true")
    assert raw["rate_per_s"] == pytest.approx(bound["raw_offloaded_per_s"])
    tasks = 1 + sum_of_reach(raw["go_on"])
    assert raw["rate_per_s"] == pytest.approx(4 * 100 / tasks)


def sum_of_reach(go_on: list[float]) -> float:
    """Mean number of blocks after the first."""
    reach, total = 1.0, 0.0
    for share in go_on:
        reach *= share
        total += reach
    return total


def test_without_early_exits_everything_is_computed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bound = found(config, capsys, "--ranks", "1", "--set", "scheme.early_exit=false")
    assert bound["rate_per_s"] == pytest.approx(20.0)
    assert bound["best_accuracy"] == []


def test_what_a_person_reads(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bound", str(config), *BOARD, "--ranks", "4"]) == OK
    text = capsys.readouterr().out
    assert "at most 100.00 items per second, whatever the policy" in text
    assert "with source_offloads_raw = true" in text
    assert "beyond what any threshold allows" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_program_without_a_bound(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--ranks", "1", "--set", "model.name=null", "--set", "scheme.name=local"]
    assert run(["bound", str(config), *options]) == USAGE_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert "the rate has no bound" in line
