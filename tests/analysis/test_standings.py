"""Who leads, in words: at equal accuracy, among what can be compared, and no INVALID group."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdibench.analysis.comparable_sets import ComparableSet, comparable_sets
from mdibench.analysis.run_groups import RunGroup, evaluate_run, group_repeats
from mdibench.analysis.standings import sentences, standing
from mdibench.record.reader import RunReader
from tests.synthetic_runs import PAIR, Model, manifest, write_run


def written(folder: Path, model: Model, **changes: Any) -> RunGroup:
    """A group of three runs of ``model`` whose source looks for its rate itself."""
    runs = []
    for seed in (1, 2, 3):
        own = replace(model, seed=seed, items=6 * int(model.rate_per_s))
        config = manifest(own)["config"]
        config["admission"]["mode"] = "adapt-rate"
        for section, keys in changes.get("config", {}).items():
            config[section] = config.get(section, {}) | keys
        fields = {key: value for key, value in changes.items() if key != "config"}
        place = folder / f"{model.label}-{seed}"
        runs.append(evaluate_run(RunReader(write_run(place, own, config=config, **fields))))
    (group,) = group_repeats(runs)
    return replace(group, name=model.label)


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunGroup]:
    """``same`` ties with ``fast``, ``rash`` is faster and less accurate."""
    folder = tmp_path_factory.mktemp("standings")
    models = (
        replace(PAIR, label="fast", rate_per_s=100),
        replace(PAIR, label="same", rate_per_s=100.5),
        replace(PAIR, label="slow", rate_per_s=60, scheme="local"),
        replace(PAIR, label="rash", rate_per_s=120, accuracy=0.7),
    )
    return {model.label: written(folder, model) for model in models}


def words(*groups: RunGroup) -> str:
    (only,) = comparable_sets(groups)
    return " ".join(sentences(standing(only)))


def test_the_fastest_at_equal_accuracy_leads(groups: dict[str, RunGroup]) -> None:
    found = standing(ComparableSet("", tuple(groups.values())))
    assert found.leader is not None
    assert found.leader.name in ("fast", "same")
    assert [rival.group.name for rival in found.rivals][-1] == "slow"
    assert [group.name for group in found.others] == ["rash"]
    told = words(*groups.values())
    assert f"{found.leader.name} is the fastest at equal accuracy" in told
    assert "times as fast as slow" in told
    assert "ties with it" in told
    assert "Faster, but less accurate: rash (1" in told


def test_an_invalid_group_never_leads(groups: dict[str, RunGroup], tmp_path: Path) -> None:
    best = replace(PAIR, label="broken", rate_per_s=110)
    broken = written(tmp_path, best, totals={"offered": 7, "admitted": 7})
    assert broken.verdict == "0/3 VALID"
    found = standing(ComparableSet("", (broken, groups["fast"])))
    assert (found.leader, found.unfit) == (groups["fast"], (broken,))
    assert "as most of their runs are INVALID: broken" in words(broken, groups["fast"])
    assert words(broken).startswith("No group leads: broken is INVALID")


def test_a_leader_with_an_invalid_member_says_so(groups: dict[str, RunGroup]) -> None:
    bad = written_as_invalid(groups["fast"])
    told = words(bad, groups["slow"])
    assert "fast is the fastest" in told
    assert "1 of its 3 runs is INVALID and left out" in told


def written_as_invalid(group: RunGroup) -> RunGroup:
    from mdibench.analysis.checks import Finding

    first, *rest = group.runs
    return replace(group, runs=(replace(first, findings=(Finding("x", "invalid", "x"),)), *rest))


def test_what_cannot_be_compared_stands_apart(groups: dict[str, RunGroup], tmp_path: Path) -> None:
    hardware = written(tmp_path, replace(PAIR, label="board", rate_per_s=110), kind="hardware")
    recorded = written(tmp_path, replace(PAIR, label="told"), kind="emulated, recorded answers")
    linked = written(
        tmp_path, replace(PAIR, label="linked"), config={"emulation": {"link": "wifi-5ghz"}}
    )
    sets = comparable_sets([hardware, groups["fast"], groups["slow"], recorded, linked])
    assert [(of.label, [g.name for g in of.groups]) for of in sets] == [
        ("simulated", ["fast", "slow"]),
        ("hardware", ["board"]),
        ("emulated, recorded answers", ["told"]),
        ("simulated, wifi-5ghz", ["linked"]),
    ]
    assert sets[0].baseline is groups["slow"]


def test_more_ranks_than_cores_are_named(tmp_path: Path) -> None:
    ranks = [{"rank": n, "host": "vm", "cores": 1} for n in range(2)]
    board = written(tmp_path, replace(PAIR, label="board"), kind="hardware", ranks=ranks)
    assert board.first.identity.measured_on == "hardware, shared host"
    alone = written(tmp_path, replace(PAIR, label="alone"), kind="emulated")
    assert "hardware, shared host" in [of.label for of in comparable_sets([board, alone])]


def test_at_a_given_rate_the_most_accurate_leads(tmp_path: Path) -> None:
    fixed = {"config": {"admission": {"mode": "fixed-rate"}}}
    good, poor = (
        written(tmp_path, replace(PAIR, label=label, accuracy=accuracy), **fixed)
        for label, accuracy in (("good", 0.97), ("poor", 0.7))
    )
    other = written(tmp_path, replace(PAIR, label="less", rate_per_s=50), **fixed)
    first, second = comparable_sets([poor, good, other])
    assert (first.label, second.label) == (
        "simulated, 100 /s, constant",
        "simulated, 50 /s, constant",
    )
    told = " ".join(sentences(standing(first)))
    assert "good is the most accurate of 2 that carry the offered rate" in told
    assert "points" in told and "above poor" in told


def test_runs_that_are_too_short_do_not_win(groups: dict[str, RunGroup]) -> None:
    def one(group: RunGroup) -> RunGroup:
        return replace(group, runs=group.runs[:1])

    three, alone = groups["fast"], one(groups["slow"])
    told = words(three, alone)
    assert "fast seems the fastest" in told
    assert "too short or too few to tell it from slow" in told


def test_the_report_leads_with_the_verdict(groups: dict[str, RunGroup]) -> None:
    from mdibench.report.formats import to_json, to_markdown
    from mdibench.report.report import build_report

    made = build_report([groups["fast"], groups["slow"]])
    (lead,) = json.loads(to_json(made))["sections"][0]["lead"]
    assert lead["sentences"][0].startswith("fast is the fastest at equal accuracy")
    assert "**fast is the fastest at equal accuracy" in to_markdown(made)
