"""The page for a referee: what runs support, what they do not, and what would settle it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mdibench.__main__ import run as mdibench
from mdibench.analysis.run_groups import evaluate_run, group_repeats
from mdibench.record.reader import RunReader
from mdibench.report.comparisons import referee_page
from tests.synthetic_runs import PAIR, Model, write_big_run


def claims(folder: Path, *models: Model) -> dict[str, list[tuple[str, ...]]]:
    """Claims about the models' groups, the first one being the baseline: by table, as text."""
    for model in models:
        write_big_run(folder / f"{model.label}-{model.seed}", model)
    runs = sorted(folder.iterdir())
    groups = group_repeats(evaluate_run(RunReader(run)) for run in runs)
    (section,) = referee_page(groups).sections
    return {t.key: [tuple(map(str, row)) for row in t.rows] for t in section.tables}


def test_a_planted_change_is_supported_and_no_change_is_not(tmp_path: Path) -> None:
    models = [
        replace(PAIR, label=label, seed=seed, rate_per_s=rate, items=15 * rate)
        for seed in (1, 2, 3, 4, 5)
        for label, rate in (("a", 100), ("b", 100), ("c", 80))
    ]
    found = claims(tmp_path, *models)
    supported = [claim for claim, _ in found["supported"]]
    assert any(c.startswith("c is worse than a in rate: 0.8") for c in supported)
    assert "a measured a steady system" in supported
    (rate,) = [row for row in found["unsupported"] if row[0] == "b differs from a in rate"]
    assert rate[2] == "nothing: a change of 5% would show"


def test_one_short_run_supports_little_and_says_what_to_do(tmp_path: Path) -> None:
    found = claims(tmp_path, replace(PAIR, label="a", items=300))
    unsupported = {row[0]: row[1:] for row in found["unsupported"]}
    reason, remedy = unsupported["a would show the same figures in another run"]
    assert "one run" in reason and "seeds" in remedy
    (tail,) = [row for row in found["unsupported"] if "latency p99" in row[0]]
    assert tail[0].endswith("[?, ?]") and "times the items" in tail[2]


def test_an_overloaded_group_supports_no_steady_system(tmp_path: Path) -> None:
    found = claims(tmp_path, replace(PAIR, label="a", rate_per_s=300))
    (steady,) = [row for row in found["unsupported"] if "steady system" in row[0]]
    assert "more than it sustains" in steady[1]


def test_the_command_prints_it_and_writes_it(
    run_set: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["report", str(run_set), "--referee"]) == 0
    assert "Not supported" in capfd.readouterr().out
    file = tmp_path / "claims.json"
    assert mdibench(["report", str(run_set), "--referee", "--json", str(file)]) == 0
    (section,) = json.loads(file.read_text())["sections"]
    assert set(section["tables"]) == {"supported", "unsupported"}
