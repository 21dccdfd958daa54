"""Comparisons: find a planted change, none where there is none, and refuse incomparable runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mdibench.__main__ import run as mdibench
from mdibench.analysis.comparison import Comparison, compare, pair, parse_criterion
from mdibench.analysis.run_groups import METRICS, RunGroup, evaluate_run, group_repeats
from mdibench.errors import IncomparableRuns, UserError
from mdibench.record.reader import RunReader
from tests.synthetic_runs import PAIR, Model, write_big_run, write_run

SEEDS = range(1, 6)


def repeats(folder: Path, model: Model, seeds: Sequence[int]) -> RunGroup:
    """Runs of ``model`` with ``seeds``, studied."""
    for seed in seeds:
        write_big_run(folder / f"run{seed}", replace(model, seed=seed))
    (group,) = group_repeats(evaluate_run(RunReader(run)) for run in sorted(folder.iterdir()))
    return group


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> RunGroup:
    return repeats(tmp_path_factory.mktemp("a"), PAIR, SEEDS)


def by(found: Comparison, metric: str) -> str:
    return next(d.word for d in found.differences if d.metric.key == metric)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [SEEDS, range(11, 16)])
def test_a_planted_change_of_5_percent_is_found(
    baseline: RunGroup, tmp_path: Path, seeds: range
) -> None:
    slower = repeats(tmp_path, replace(PAIR, rate_per_s=95, items=1425), seeds)
    found = compare(baseline, slower, [METRICS["throughput"]])
    assert found.pairs == (5 if seeds == SEEDS else 0)
    assert by(found, "throughput") == "worse"
    assert found.differences[0].ratio.estimate.value == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
def test_a_planted_change_of_latency_is_found_without_pairs(
    baseline: RunGroup, tmp_path: Path
) -> None:
    slower = repeats(tmp_path, replace(PAIR, service_s=0.0048), range(11, 16))
    assert by(compare(baseline, slower, [METRICS["p50"]]), "p50") == "worse"


@pytest.mark.slow
def test_no_change_stays_quiet(tmp_path: Path) -> None:
    metrics = [METRICS[key] for key in ("throughput", "accuracy", "p50", "p95", "bytes")]
    words = []
    for at in range(20):
        sides = []
        for side in (0, 1):
            seeds = range(100 * at + 50 * side + 1, 100 * at + 50 * side + 5)
            sides.append(repeats(tmp_path / f"{at}-{side}", replace(PAIR, items=800), seeds))
        words += [d.word for d in compare(sides[0], sides[1], metrics).differences]
    assert len(words) == 100
    assert sum(word != "no significant difference" for word in words) <= 3


def test_a_run_against_itself_differs_in_nothing(one_run: Path) -> None:
    (group,) = group_repeats([evaluate_run(RunReader(one_run))])
    found = compare(group, group, list(METRICS.values()))
    assert {d.word for d in found.differences} <= {"no significant difference", "cannot tell"}
    assert found.differing == ()
    latency = next(d for d in found.differences if d.metric.key == "latency-mean")
    assert latency.method.endswith("pairs of items")
    assert latency.ratio.estimate.value == pytest.approx(1)


def test_two_single_runs_with_one_seed_pair_their_items(tmp_path: Path) -> None:
    a = repeats(tmp_path / "a", PAIR, [1])
    b = repeats(tmp_path / "b", replace(PAIR, hop_s=0.0025), [1])
    found = compare(a, b, [METRICS["latency-mean"], METRICS["p50"]])
    mean, median = found.differences
    assert mean.word == "worse"
    assert mean.ratio.estimate.low > 1
    assert median.method == "one run each, unpaired"
    assert "unknown" in found.cautions[-1]


def mark(run: Path, every: int, status: str) -> None:
    """Let every so many items of a run end in ``status``, without a result."""
    path = run / "items.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows[::every]:
        row |= dict.fromkeys(("correct", "completed_s", "latency_s", "prediction", "exit"))
        row["status"] = status
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)


@pytest.mark.parametrize("status", ["lost", "dropped"])
def test_what_one_run_lost_or_dropped_is_wrong(
    tmp_path: Path, status: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_big_run(tmp_path / name, PAIR)
    mark(tmp_path / "b", 5, status)
    a, b = (group_repeats([evaluate_run(RunReader(tmp_path / name))])[0] for name in ("a", "b"))
    metrics = [METRICS[key] for key in ("accuracy-offered", "accuracy")]
    offered, accuracy = compare(a, b, metrics).differences
    assert offered.word == "worse"
    assert offered.method.endswith("pairs of samples")
    assert (accuracy.word == "worse") == (status == "lost")
    assert accuracy.method.endswith("pairs of samples") == (status == "lost")
    arguments = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert mdibench([*arguments, "--fail-if", "accuracy-offered < -5pp"]) == 3
    assert "criterion met" in capfd.readouterr().err


def test_a_row_of_pairs_is_about_those_pairs(tmp_path: Path) -> None:
    """Fewer than a tenth of the items are missing in B: both sides are over the rest."""
    a = repeats(tmp_path / "a", PAIR, [1])
    write_big_run(tmp_path / "b", PAIR)
    mark(tmp_path / "b", 12, "dropped")
    (b,) = group_repeats([evaluate_run(RunReader(tmp_path / "b"))])
    for found in compare(a, b, [METRICS["accuracy"], METRICS["latency-mean"]]).differences:
        assert "pairs of" in found.method
        assert found.a.n == found.b.n
        assert found.b.value / found.a.value == pytest.approx(found.ratio.estimate.value)


def test_samples_that_are_sent_again_are_one_pair(tmp_path: Path) -> None:
    a = repeats(tmp_path / "a", replace(PAIR, items=4500), [1])
    (found,) = compare(a, a, [METRICS["accuracy"]]).differences
    assert found.method == "2,000 pairs of samples"
    assert found.a == a.estimate(METRICS["accuracy"])


def test_what_differs_is_listed(baseline: RunGroup, tmp_path: Path) -> None:
    other = repeats(tmp_path, replace(PAIR, threshold=0.9, topology="star"), SEEDS)
    found = compare(baseline, other, [METRICS["accuracy"]])
    assert found.differing == (
        ("plan.topology", "line", "star"),
        ("scheme.threshold", "0.8", "0.9"),
    )


def test_runs_pair_by_seed_only_when_all_do(baseline: RunGroup) -> None:
    assert len(pair(baseline.runs, baseline.runs[::-1])) == 5
    assert pair(baseline.runs, baseline.runs[:4]) == []
    assert pair([*baseline.runs, baseline.runs[0]], baseline.runs) == []


def test_one_run_against_several_says_what_is_missing(baseline: RunGroup, tmp_path: Path) -> None:
    single = repeats(tmp_path, PAIR, [1])
    found = compare(baseline, single, [METRICS["throughput"]])
    assert found.differences[0].word == "cannot tell"
    with pytest.raises(IncomparableRuns, match="give at least two on both sides"):
        parse_criterion("throughput < 0.95").fires(found)


def test_what_cannot_be_compared(baseline: RunGroup, partial_run: Path, tmp_path: Path) -> None:
    (cut,) = group_repeats([evaluate_run(RunReader(partial_run))])
    with pytest.raises(IncomparableRuns, match="not complete"):
        compare(baseline, cut, [METRICS["p50"]])
    real = repeats(tmp_path, replace(PAIR, kind="hardware"), [1])
    with pytest.raises(IncomparableRuns, match="kind 'simulated', B has 'hardware'"):
        compare(baseline, real, [METRICS["p50"]])


@pytest.mark.parametrize(
    ("text", "limit", "below", "points"),
    [
        ("throughput < 0.95", 0.95, True, False),
        ("p99>+5%", 1.05, False, False),
        ("accuracy < -1pp", -0.01, True, True),
        (" p50 > 1.2 ", 1.2, False, False),
    ],
)
def test_criteria(text: str, limit: float, below: bool, points: bool) -> None:
    criterion = parse_criterion(text)
    assert criterion.limit == pytest.approx(limit)
    assert (criterion.below, criterion.points) == (below, points)


@pytest.mark.parametrize("text", ["throughput", "p99 = 3", "p99 > 5%", "p99 > x", "speed < 1", ""])
def test_unreadable_criteria_say_how_to_write_one(text: str) -> None:
    with pytest.raises(UserError, match=r"write e\.g\.|one of throughput"):
        parse_criterion(text)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sides")
    for name, service_s in (("a", 0.004), ("b", 0.0046)):
        for seed in (1, 2, 3):
            model = Model(items=800, seed=seed, service_s=service_s, label=name)
            write_run(folder / name / f"run{seed}", replace(model, traced=0))
    return {name: folder / name for name in ("a", "b")}


@pytest.mark.parametrize(
    ("criterion", "status"),
    [
        ("p50 > 1.05", 3),  # surely 5 % slower
        ("p50 > 2", 0),  # not that much
        ("throughput < 0.95", 0),  # unchanged
        ("accuracy < -5pp", 0),
    ],
)
def test_the_gate_fires_only_when_the_interval_clears_the_limit(
    sides: dict[str, Path], criterion: str, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(sides["a"]), str(sides["b"]), "--fail-if", criterion]
    assert mdibench(arguments) == status
    out, err = capfd.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "3 pairs of runs" in out
    assert (f"criterion met: {criterion}" in err) == (status == 3)


@pytest.mark.parametrize(
    ("criteria", "status", "reported"),
    [
        (["drops > 0.1"], 4, ["drops > 0.1: ratio undefined at 0, use pp"]),
        (["drops > +1pp"], 0, []),
        (["drops > 0.1", "p50 > 1.05"], 3, ["criterion met: p50 > 1.05", "drops > 0.1: ratio und"]),
        (["p99 > +5pp"], 2, ["p99 is no share", 'write e.g. "p99 > +5%"']),
    ],
)
def test_all_criteria_are_judged_before_the_status_is_decided(
    sides: dict[str, Path],
    criteria: list[str],
    status: int,
    reported: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    gates = [word for criterion in criteria for word in ("--fail-if", criterion)]
    assert mdibench(["compare", str(sides["a"]), str(sides["b"]), *gates]) == status
    err = capfd.readouterr().err
    assert all(text in err for text in reported)


def test_the_command_speaks_json(sides: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert mdibench(["compare", str(sides["a"]), str(sides["b"]), "--json", "--metric", "p50"]) == 0
    content = json.loads(capfd.readouterr().out)
    (metric,) = content["metrics"]
    assert metric["word"] == "worse"
    assert metric["ratio_low"] > 1
    assert content["pairs"] == 3


def test_a_side_with_several_configs_is_refused_with_status_4(
    sides: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["compare", str(sides["a"]), str(sides["a"].parent)]) == 4
    assert "different configs" in capfd.readouterr().err
    assert mdibench(["compare", str(sides["a"]), str(sides["b"]), "--metric", "speed"]) == 2
