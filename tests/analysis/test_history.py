"""Change points: found where they are, seldom where there are none, and told with what changed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mdibench.analysis.history import LEAST_RUNS, change_points
from mdibench.cli.report import report
from mdibench.record.run_folder import MANIFEST
from tests.synthetic_runs import PAIR, write_big_run

FIRST = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy"])
def test_without_a_change_at_most_one_history_in_twenty_shows_one(draw: str) -> None:
    generator, sets = np.random.default_rng(3), 300
    found = sum(bool(change_points(getattr(generator, draw)(size=20), 0.05)) for _ in range(sets))
    assert found / sets <= 0.05 + 2.6 * (0.05 * 0.95 / sets) ** 0.5


def test_levels_that_change_are_found_where_they_do() -> None:
    generator = np.random.default_rng(4)
    levels = np.concatenate([np.full(15, 10.0), np.full(12, 13.0), np.full(15, 9.0)])
    found = change_points(levels + generator.normal(size=42), 0.01)
    assert len(found) == 2
    assert all(abs(at - true) <= 2 for (at, _), true in zip(found, (15, 27), strict=True))
    assert change_points(np.full(40, 7.0), 0.05) == []
    assert change_points(np.arange(LEAST_RUNS - 1.0), 0.05) == []


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run a day: from the tenth on with another version, and a fifth slower."""
    folder = tmp_path_factory.mktemp("weeks")
    for day in range(18):
        rate = 100 if day < 10 else 80
        model = replace(PAIR, rate_per_s=rate, items=6 * rate, seed=day + 1)
        run = write_big_run(folder / f"day-{day:02}", model)
        told = json.loads((run / MANIFEST).read_text())
        told["started_utc"] = (FIRST + timedelta(days=day)).isoformat()
        told["config"]["admission"] = {"mode": "adapt-rate"}
        told["ranks"][0]["mdibench"] = "0.1.0" if day < 10 else "0.2.0"
        (run / MANIFEST).write_text(json.dumps(told))
    return folder


def test_a_change_is_told_with_its_date_and_what_changed_with_it(weeks: Path) -> None:
    told = CliRunner().invoke(report, [str(weeks), "--history"])
    assert told.exit_code == 0, told.output
    assert "18 VALID runs, 2026-09-01 to 2026-09-18" in told.output
    (line,) = [line for line in told.output.splitlines() if "rate became worse" in line]
    assert "with day-10 (2026-09-11): " in line
    assert line.endswith("what changed with it: mdibench 0.1.0 → 0.2.0.")
    assert "accuracy became" not in told.output


@pytest.mark.slow
def test_a_history_is_a_page_and_json_too(weeks: Path, tmp_path: Path) -> None:
    page = tmp_path / "history.html"
    options = ["--history", "--html", str(page), "--json", "-"]
    made = CliRunner().invoke(report, [str(weeks), *options])
    assert made.exit_code == 0, made.output
    assert 'id="figure-history-1"' in page.read_text()
    content = json.loads(made.stdout)
    (section,) = content["sections"]
    levels = [row for row in section["tables"]["levels_1"] if row["metric"] == "rate"]
    assert [(row["from_run"], row["runs"]) for row in levels] == [("day-00", 10), ("day-10", 8)]
    assert levels[1]["change"].startswith("-2") or levels[1]["change"].startswith("-1")


def test_two_pages_at_once_and_a_single_run_are_refused(weeks: Path) -> None:
    assert CliRunner().invoke(report, [str(weeks), "--history", "--referee"]).exit_code == 2
    one = CliRunner().invoke(report, [str(weeks / "day-00"), "--history"])
    assert one.exit_code != 0
    assert "no group has two VALID runs with a date" in str(one.exception)
