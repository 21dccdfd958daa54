"""A sweep repeats where differences are not settled, and stops where they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import tomli

from mdibench.config.schema import SweepSection
from mdibench.errors import OK, UserError
from mdibench.record.run_folder import MANIFEST
from mdibench.sweep import sweep
from mdibench.sweep.crew import Assignment
from mdibench.sweep.sweep import Goal, Settling, Sweep, SweepOptions
from tests.synthetic_runs import PAIR, write_big_run

RATES = {"local": 60.0, "mdi": 100.0, "mdi-exit": 100.3}
CONFIG = """
[run]
name = "settling"
results = "{folder}"
[topology]
name = "2-node"
[emulation]
device = "jetson-nano"
[sweep]
repeats = 3
until = "rate ± 5 %"
max_repeats = {most}
[sweep.axes]
"scheme.name" = ["local", "mdi", "mdi-exit"]
"""


def made(place: Path, rate_per_s: float, seed: int) -> Path:
    """A run of a source that finds its rate itself, 4 s long."""
    model = replace(PAIR, rate_per_s=rate_per_s, seed=seed, items=4 * int(rate_per_s))
    folder = write_big_run(place / f"run-{seed}", model)
    told = json.loads((folder / MANIFEST).read_text())
    told["config"]["admission"]["mode"] = "adapt-rate"
    (folder / MANIFEST).write_text(json.dumps(told))
    return folder


class SimulatingCrew:
    """Does all its runs at once: simulated ones, as fast as their scheme."""

    def __init__(self, path: Path, assignments: Sequence[Assignment]) -> None:
        self.over = False
        self._number = len(assignments)
        for assignment in assignments:
            keys = dict(text.split("=", 1) for text in assignment.job.overrides)
            read = {name: tomli.loads(f"value={value}")["value"] for name, value in keys.items()}
            rate_per_s = RATES[str(read["scheme.name"])]
            seed = 10 * int(read["run.seed"]) + len(str(read["scheme.name"]))
            made(Path(str(read["run.results"])), rate_per_s, seed)

    def poll(self) -> list[tuple[str, float]]:
        self.over = True
        done, self._number = self._number, 0
        return [("", 1.0)] * done

    def stop(self) -> None:
        pass


def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> tuple[Sweep, list[int]]:
    monkeypatch.setattr(sweep, "Crew", SimulatingCrew)
    monkeypatch.setattr(sweep, "POLL_S", 0.0)
    config = tmp_path / "sweep.toml"
    config.write_text(CONFIG.format(folder=tmp_path / "results", most=most))
    ready, rounds = Sweep(SweepOptions(config)), []
    assert ready.run(lambda done, left_s: None, rounds.append) == OK
    return ready, rounds


def test_repeats_go_where_a_difference_is_not_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, rounds = swept(tmp_path, monkeypatch, most=40)
    runs = Counter(cell for cell, _ in ready.record.runs)
    assert runs["mdi"] > 3 and runs["mdi-exit"] > 3  # as good as equal, which takes more runs
    assert runs["local"] < runs["mdi"] < 40
    assert sum(rounds) == sum(runs.values()) - 9
    again = Sweep(SweepOptions(tmp_path / "sweep.toml"))  # goes on where it was: nothing is left
    assert again.run(lambda done, left_s: None) == OK
    assert len(again.record.runs) == sum(runs.values())


def test_the_most_repeats_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, rounds = swept(tmp_path, monkeypatch, most=4)
    runs = Counter(cell for cell, _ in ready.record.runs)
    assert max(runs.values()) == 4
    assert len(rounds) == 1


def test_every_look_is_a_test(tmp_path: Path) -> None:
    """With many looks still to come, a difference must be clearer."""
    folders = {name: [made(tmp_path / name, rate, s) for s in (1, 2, 3)] for name, rate in
               (("fast", 100.0), ("slow", 94.0))}  # fmt: skip
    goals = [Goal.of(SweepSection(repeats=3, until="rate ± 1 %", max_repeats=m)) for m in (3, 3000)]
    found = [Settling(goal).open(folders) for goal in goals if goal]
    assert found == [[], ["fast", "slow"]]


def test_a_goal_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    config = tmp_path / "sweep.toml"
    text = CONFIG.format(folder=tmp_path, most=2).replace("rate ± 5 %", "until it is known")
    config.write_text(text)
    with pytest.raises(UserError) as failure:
        Sweep(SweepOptions(config))
    told = str(failure.value)
    assert 'sweep.until: cannot read "until it is known"' in told
    assert "2 runs of a cell at most, and 3 at least" in told
