"""``mdibench simulate`` from the command line: what users see, their own mistakes included."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.__main__ import run
from mdibench.errors import OK, USAGE_ERROR
from mdibench.record.run_folder import find_runs, read_manifest

pytestmark = pytest.mark.slow

CONFIG = """
[run]
results = "{results}"
warmup_s = 0.0
duration_s = 1.0
[model]
name = "null"
[scheme]
threshold = 0.5
[admission]
mode = "fixed-rate"
interarrival_s = 0.02
[topology]
name = "grid"
[placement]
replicate = true
[emulation]
drawn = {{jetson-nano = 2, raspberry-pi-4 = 1}}
link = "ethernet-1g"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG.format(results=tmp_path / "results"))
    return path


def test_a_run_and_its_summary(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", str(config), "--workers", "9", "-q"]) == OK
    shown = capsys.readouterr()
    assert "simulated · mdi-exit · 9 ranks grid" in shown.out
    assert shown.err == ""
    (folder,) = find_runs([config.parent / "results"])
    manifest = read_manifest(folder)
    assert manifest["kind"] == "simulated"
    assert manifest["plan"]["ranks"] == 9
    assert set(manifest["plan"]["devices"]) == {"jetson-nano", "raspberry-pi-4"}


def test_progress_goes_to_stderr(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", str(config)]) == OK
    shown = capsys.readouterr()
    assert "admitting" in shown.err
    assert "admitting" not in shown.out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set", "emulation.drawn={abacus=1}"], 'unknown device "abacus"'),
        (["--set", "topology.name=moebius"], 'unknown topology "moebius"'),
        (["--profile", "nowhere"], "no profile here"),
        (["--set", "run.sed=1"], "unknown key"),
        (["--set", 'emulation.tiers=["abacus"]'], 'unknown device "abacus"'),
        (["--set", "emulation.speed_spread=-1"], "emulation.speed_spread"),
    ],
)
def test_one_line_for_each_mistake(
    config: Path, options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", str(config), *options]) == USAGE_ERROR
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert problem in line
    assert shown.out == ""
    assert not (config.parent / "results").exists()


def test_an_event_of_a_worker_that_is_not_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text() + '[[events]]\nat_s = 1\nkind = "fail"\nrank = 70\n')
    assert run(["simulate", str(config)]) == USAGE_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{config}:20: events[0]: there is no rank 70 among the 4 ranks of this run" in line
    assert not (config.parent / "results").exists()
