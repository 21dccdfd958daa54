"""A run's figures, against hand-made items and against the model that made the run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mdibench.analysis import workers
from mdibench.analysis.accuracy import calibration_error, reliability
from mdibench.analysis.run_groups import METRICS, RunGroup, evaluate_run, group_repeats
from mdibench.analysis.series import quantiles
from mdibench.analysis.shares import Estimate
from mdibench.analysis.statistics import wilson
from mdibench.errors import UserError
from mdibench.record.reader import RunReader
from mdibench.record.run_folder import RunWriter
from mdibench.report.tables import left_out
from tests.rows import row_of
from tests.synthetic_runs import PAIR, Model, manifest, simulate, write_big_run, write_run


def handmade(folder: Path, items: list[dict[str, Any]], window: tuple[float, float]) -> Path:
    folder.mkdir()
    facts = manifest(PAIR, window={"start_s": window[0], "end_s": window[1]}, totals={})
    writer = RunWriter(folder, facts)
    for at, item in enumerate(items):
        row = {"item": at, "admitted_s": item["scheduled_s"]} | item
        writer.append(row_of("items", row))
    writer.finish("complete", "")
    return folder


def ok(scheduled_s: float, latency_s: float, correct: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "scheduled_s": scheduled_s, "completed_s": scheduled_s + latency_s, "hops": 1,
        "latency_s": latency_s, "correct": correct, "status": "ok", "exit": 1, "confidence": 0.9,
    } | more  # fmt: skip


def test_items_count_by_schedule_and_completions_by_the_window(tmp_path: Path) -> None:
    items = [
        ok(0.5, 1.0),  # warm-up: only its completion falls into the window
        ok(1.0, 0.5),
        ok(2.0, 0.5, correct=False),
        ok(8.0, 7.0),  # due in the window, completed in the drain: late
        {"scheduled_s": 3.0, "status": "dropped", "admitted_s": None},
        {"scheduled_s": 4.0, "status": "lost"},
    ]
    summary = evaluate_run(RunReader(handmade(tmp_path / "run", items, (1.0, 11.0)))).summary
    measured = summary.measured
    assert measured.rate_per_s.value == pytest.approx(3 / 10)
    assert measured.offered_per_s.value == pytest.approx(5 / 10)
    assert (measured.accuracy.value, measured.accuracy.n) == (pytest.approx(2 / 4), 4)
    assert (measured.accuracy_offered.value, measured.accuracy_offered.n) == (pytest.approx(0.4), 5)
    assert measured.latency_max_s.value == math.inf  # of what was dropped and lost
    assert measured.latency_p50_s.value == 7.0
    assert measured.latency_mean_s.value == pytest.approx(8 / 3)  # of what came back
    assert measured.drop_share.value == pytest.approx(1 / 5)
    ledger = summary.ledger
    assert (ledger.offered, ledger.ok, ledger.late, ledger.dropped, ledger.lost) == (6, 4, 1, 1, 1)


def test_a_sample_that_is_sent_again_is_no_further_one(tmp_path: Path) -> None:
    """Samples 0 and 2 are always right, 1 in two of three tries; ten copies tell no more."""
    tries = [(0, True), (1, True), (2, True), (1, False), (1, True)]
    for copies in (1, 10):
        items = [ok(1 + at / 100, 0.5, right, sample=sample)
                 for at, (sample, right) in enumerate(tries * copies)]  # fmt: skip
        items.append({"scheduled_s": 2.0, "status": "lost", "sample": 3})
        folder = handmade(tmp_path / str(copies), items, (1.0, 11.0))
        summary = evaluate_run(RunReader(folder)).summary
        for accuracy in (summary.measured.accuracy, summary.measured.accuracy_offered):
            assert accuracy == wilson(1 + 2 / 3 + 1 + 0, 4)
        assert summary.exits[0].accuracy == wilson(1 + 2 / 3 + 1, 3)


def test_figures_match_the_model_that_made_the_run(tmp_path: Path) -> None:
    model = Model(items=20_000, rate_per_s=80, drop=0.1)
    summary = evaluate_run(RunReader(write_big_run(tmp_path / "run", model))).summary
    story = simulate(model)
    measured = summary.measured
    assert measured.rate_per_s.low <= 72 <= measured.rate_per_s.high
    assert measured.accuracy.low <= 0.95 <= measured.accuracy.high
    assert measured.accuracy_offered.value == pytest.approx(0.95 * 0.9, abs=0.01)
    shares = np.bincount(story.exit[story.admitted], minlength=4)[1:] / story.admitted.sum()
    assert [row.share.value for row in summary.exits] == pytest.approx(shares.tolist(), abs=0.01)
    source = summary.ranks[0]
    assert source.split["compute"] == pytest.approx(0.9 * 80 * 0.004, rel=0.05)
    assert sum(source.split.values()) == pytest.approx(1)
    assert summary.links[0].hop_delay_s == pytest.approx(model.hop_s)
    tasks_per_s = summary.links[0].tasks / (summary.window[1] - summary.window[0])
    assert tasks_per_s == pytest.approx(72 * (1 - shares[0]), rel=0.05)


def test_what_was_not_measured_is_not_zero(one_run: Path) -> None:
    summary = evaluate_run(RunReader(one_run)).summary
    assert not summary.measured.energy_per_item_j.known
    assert np.isnan(summary.links[0].used)
    assert np.isnan(summary.bound_per_s)


def test_measured_energy_counts_per_item(tmp_path: Path) -> None:
    model = Model(items=600, watts=2.0)
    ranks = [{"rank": n, "host": "nowhere", "energy_meter": "RAPL"} for n in range(2)]
    run = evaluate_run(RunReader(write_run(tmp_path / "run", model, ranks=ranks)))
    seconds = run.reader.numbers("telemetry", ["t_s"])["t_s"].max()
    assert run.summary.measured.energy_per_item_j.value == pytest.approx(2.0 * seconds / 600)
    ranks[1]["host"] = "elsewhere"  # a host without a meter: the sum is not known
    run = evaluate_run(RunReader(write_run(tmp_path / "other", model, ranks=ranks)))
    assert not run.summary.measured.energy_per_item_j.known


def test_a_run_without_items_or_telemetry_is_still_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    RunWriter(folder, {"pid": 1, "host": "elsewhere"})
    run = evaluate_run(RunReader(folder))
    assert run.verdict == "INVALID"
    assert run.summary.ledger.offered == 0
    assert not any(m.get(run.summary.measured).known for m in METRICS.values())


def test_repeats_are_grouped_whatever_their_seed(run_set: Path) -> None:
    runs = [evaluate_run(RunReader(folder)) for folder in sorted(run_set.iterdir())]
    groups = group_repeats(runs)
    assert [(group.name, len(group.runs)) for group in groups] == [("mdi-exit", 3), ("local", 3)]
    rate = groups[0].estimate(METRICS["throughput"])
    assert rate.n == 3
    assert rate.low < rate.value < rate.high
    assert groups[0].verdict == "VALID"


def test_groups_that_differ_in_one_key_only_are_distinguished(tmp_path: Path) -> None:
    for at, threshold in enumerate((0.8, 0.9)):
        write_big_run(tmp_path / f"run{at}", Model(items=300, threshold=threshold))
    groups = group_repeats(evaluate_run(RunReader(tmp_path / f"run{at}")) for at in range(2))
    assert len({group.name for group in groups}) == 2


def test_only_groups_that_collide_are_named_by_what_differs(tmp_path: Path) -> None:
    models = [Model(items=300, scheme="mdi"), *(Model(items=300, threshold=t) for t in (0.8, 0.9))]
    for at, model in enumerate(models):
        write_big_run(tmp_path / f"run{at}", model)
    groups = group_repeats(evaluate_run(RunReader(tmp_path / f"run{at}")) for at in range(3))
    names = ["mdi", "mdi-exit (scheme.threshold 0.8)", "mdi-exit (scheme.threshold 0.9)"]
    assert [group.name for group in groups] == names


def test_no_interval_holds_what_the_figure_cannot_be(tmp_path: Path) -> None:
    """Latencies of 0.1 and 5 s, hops of 0.1 and 1: Student's interval alone goes below 0."""
    for name, latency_s, hops in (("a", 0.1, 0), ("b", 5.0, 1)):
        items = [ok(1 + at / 10, latency_s, at > 0, sample=at, hops=hops) for at in range(10)]
        handmade(tmp_path / name, items, (1.0, 11.0))
    (group,) = group_repeats(evaluate_run(RunReader(tmp_path / name)) for name in ("a", "b"))
    latency, accuracy, hop_count = (
        group.estimate(METRICS[key]) for key in ("latency-mean", "accuracy", "hops")
    )
    assert hop_count.low == 0 < hop_count.high
    expected = wilson(9, 10)
    assert (accuracy.low, accuracy.high) == pytest.approx((expected.low, expected.high))
    assert (latency.low, latency.high) == (-math.inf, math.inf)  # 20 items are too few to tell


def test_an_interval_that_is_not_there_stays_so() -> None:
    assert math.isnan(Estimate(1.0).within(0.0, 1.0).low)
    assert Estimate(0.5, -0.5, 1.5).within(0.0, 1.0) == Estimate(0.5, 0.0, 1.0)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    correct = np.array([1, 1, 1, 0, 1, 0.0])
    expected = 4 / 6 * abs(0.95 - 0.75) + 2 / 6 * abs(0.55 - 0.5)
    assert calibration_error(confidence, correct) == pytest.approx(expected)
    assert np.isnan(calibration_error(np.empty(0), np.empty(0)))
    assert reliability(np.array([1.0]), np.array([1.0]))[2].tolist() == [1.0]


def test_counters_gain_between_samples_and_start_from_nothing() -> None:
    series = workers.Series(np.array([1.0, 2.0, 3.0]), {"tasks": np.array([10.0, 20.0, np.nan])})
    assert series.gain("tasks", (0.5, 1.5)) == pytest.approx(10)
    assert series.gain("tasks", (0.0, 9.0)) == pytest.approx(20)
    assert np.isnan(
        workers.Series(np.array([1.0]), {"tasks": np.array([np.nan])}).gain("tasks", (0, 1))
    )


def test_a_manifest_of_strange_shape_is_refused_with_its_place(
    tmp_path: Path, one_run: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for file in one_run.glob("*.parquet"):
        (folder / file.name).write_bytes(file.read_bytes())
    strange = {"schema": [1, 7], "status": "complete", "plan": {"blocks": "all"}, "ranks": None}
    (folder / "run.json").write_text(json.dumps(strange))
    with pytest.raises(UserError, match=r"run.json: is damaged: plan.ranks: Field required"):
        RunReader(folder)
    few = {"schema": [1, 7], "status": "complete", "plan": None, "ranks": None}
    (folder / "run.json").write_text(json.dumps(few))
    assert evaluate_run(RunReader(folder)).summary.measured.rate_per_s.known


@pytest.mark.parametrize("encode_s", [0.5, 0.6])
def test_a_time_split_is_of_one_whole(encode_s: float) -> None:
    """Counters are sampled a little beside the window: 100.2 % are 100 %."""
    gain = {"busy_s": 9.0, "encode_s": encode_s, "send_s": 0.3, "wait_s": 0.22}
    split = workers._time_split(gain, 10.0)
    assert sum(split.values()) == pytest.approx(1.0)
    busy = workers._time_split({**gain, "encode_s": 0.0, "wait_s": 0.72}, 10.0)
    assert sum(busy.values()) == pytest.approx(1.0)


def test_a_group_tells_what_its_means_would_be_with_invalid_runs(tmp_path: Path) -> None:
    for seed, rate in ((1, 90), (2, 90), (3, 300)):
        model = Model(items=1500, seed=seed, rate_per_s=rate, label="a")
        write_big_run(tmp_path / f"run{seed}", model)
    runs = [evaluate_run(RunReader(folder)) for folder in sorted(tmp_path.iterdir())]
    group = RunGroup("a", tuple(runs))
    assert len(group.counted) == 2
    note = left_out([group])
    assert note.startswith("1 INVALID left out of means. With them: a ")
    everything = np.mean([run.summary.measured.rate_per_s.value for run in runs])
    assert f"{everything:.1f}" in note


def test_latencies_of_a_window_without_a_result_are_infinite() -> None:
    """All that was due in it was dropped or lost: the report ended with an internal error."""
    found = quantiles([math.inf, math.inf], (0.5, 0.99), skewed=True)
    assert [estimate.value for estimate in found] == [math.inf, math.inf]
    assert all(math.isinf(estimate.high) for estimate in found)
