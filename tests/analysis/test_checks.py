"""The verdict on a run: each check fires on a run with its fault, and passes a good one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from mdibench.analysis.metrics import read_items
from mdibench.analysis.run_groups import Run, evaluate_run
from mdibench.analysis.steadiness import Balance
from mdibench.record.reader import RunReader
from tests.synthetic_runs import PAIR, Model, write_big_run

Numbers = NDArray[np.float64]
Change = Callable[[dict[str, Any]], dict[str, Any]]


def studied(folder: Path) -> Run:
    return evaluate_run(RunReader(folder))


def found(run: Run, check: str) -> list[tuple[str, str]]:
    return [(f.level, f.text) for f in run.findings if f.check == check]


@pytest.fixture
def rewrite(one_run: Path, tmp_path: Path) -> Callable[..., Run]:
    """A copy of a good run, with its manifest and columns of its tables changed."""

    def changed(manifest: dict[str, Any] | None = None, **tables: Change) -> Run:
        folder = tmp_path / "changed"
        shutil.copytree(one_run, folder)
        path = folder / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | (manifest or {})))
        for name, change in tables.items():
            file = folder / f"{name}.parquet"
            columns = change(pq.read_table(file).to_pydict())
            pq.write_table(pa.table(columns), file)
        return studied(folder)

    return changed


def test_a_good_run_is_valid_and_says_what_was_checked(one_run: Path) -> None:
    run = studied(one_run)
    assert run.verdict == "VALID"
    assert {f.level for f in run.findings} == {"ok"}
    assert [f.check for f in run.findings] == [
        "end", "conservation", "Little's law", "steady", "warm-up", "data",
    ]  # fmt: skip


def test_a_run_of_a_number_of_items_is_told_to_have_more_of_them(
    one_run: Path, rewrite: Callable[..., Run]
) -> None:
    """Its duration_s says nothing about its length."""
    config = json.loads((one_run / "run.json").read_text())["config"]
    config["run"]["items"] = 20
    run = rewrite({"config": config, "window": {"start_s": 1.0, "end_s": 1.2}})
    (finding,) = [finding for finding in run.findings if finding.check == "data"]
    assert finding.text.endswith("items were measured: too few for intervals of rate and latency")
    assert finding.remedy == "raise run.items"


def test_an_aborted_run_is_invalid(partial_run: Path) -> None:
    run = studied(partial_run)
    assert run.verdict == "INVALID"
    assert found(run, "end")[0][0] == "invalid"
    assert found(run, "conservation") == [
        ("ok", "600 offered = 600 ok + 0 dropped + 0 lost + 0 not on record")
    ]


def test_a_saturated_run_is_invalid_with_what_to_change(tmp_path: Path) -> None:
    run = studied(write_big_run(tmp_path / "run", replace(PAIR, rate_per_s=220)))
    assert run.verdict == "INVALID"
    (finding,) = [f for f in run.findings if f.check == "steady"]
    assert "more than it sustains" in finding.text
    assert "interarrival_s" in finding.remedy
    assert not [f for f in run.findings if "duration_s" in f.remedy]  # longer does not help


def with_backlog(backlog: Callable[[Numbers], Numbers]) -> Change:
    """Items that complete, first come first served, so that ``backlog(t_s)`` are in flight."""

    def change(columns: dict[str, Any]) -> dict[str, Any]:
        admitted_s = np.array(columns["admitted_s"])
        t_s = np.arange(0, admitted_s[-1], 0.01)
        ended = np.searchsorted(admitted_s, t_s) - backlog(t_s)
        at = np.searchsorted(np.maximum.accumulate(ended), np.arange(1, len(admitted_s) + 1))
        columns["completed_s"] = np.append(t_s, admitted_s[-1] + 1)[at]
        return columns

    return change


def swinging(period_s: float) -> Change:
    """A backlog that swings with ``period_s``, about a level that neither grows nor falls."""
    return with_backlog(lambda t_s: 40 + 30 * np.cos(2 * np.pi * (t_s - 1) / period_s))


GROWING = with_backlog(lambda t_s: 10 + 3 * t_s)
FALLING = with_backlog(lambda t_s: 60 - 3 * t_s)


def every(span_s: float) -> Change:
    """One telemetry sample of each rank in ``span_s``."""

    def change(columns: dict[str, Any]) -> dict[str, Any]:
        kept = np.array(columns["t_s"]) % span_s < 0.1
        return {name: np.array(v, object)[kept].tolist() for name, v in columns.items()}

    return change


ADAPTS = {"config": {"admission": {"mode": "adapt-rate"}}}


@pytest.mark.parametrize(
    ("items", "level", "words"),
    [
        (swinging(3.0), "ok", "did not grow"),
        (swinging(7.0), "warning", "swung 2 times"),
        (swinging(13.0), "warning", "swung 1 time in"),
        (FALLING, "warning", "swung 0 times"),
        (GROWING, "invalid", "and the controller did not complete a swing"),
    ],
    ids=["many swings", "two", "one", "none, falling", "none, growing"],
)
def test_a_controlled_backlog_is_judged_by_its_swings(
    rewrite: Callable[..., Run], items: Change, level: str, words: str
) -> None:
    (finding,) = [f for f in rewrite(ADAPTS, items=items).findings if f.check == "steady"]
    assert (finding.level, words in finding.text) == (level, True)
    assert ("duration_s" in finding.remedy) == (level != "ok")


RISING = with_backlog(lambda t_s: 72 - 67 * np.cos(2 * np.pi * 1.5 * (t_s - 1) / 14))
"""From 5 to 140 in 14 s, by way of a swing."""


@pytest.mark.parametrize(
    ("items", "name", "remedy"),
    [
        (swinging(7.0), "steady", "set run.items to 900 or more"),
        (RISING, "balance", "raise run.items, or lower the rate of admission"),
        (GROWING, "steady", "set run.items to 1800 or more"),
    ],
    ids=["two swings", "one that ends high", "none"],
)
def test_a_controlled_run_of_a_number_of_items_is_told_to_have_more_of_them(
    rewrite: Callable[..., Run], items: Change, name: str, remedy: str
) -> None:
    """600 items; three swings are enough."""
    run = rewrite({"config": {**ADAPTS["config"], "run": {"items": 600}}}, items=items)
    assert next(f.remedy for f in run.findings if f.check == name).startswith(remedy)
    assert not [f for f in run.findings if "duration_s" in f.remedy]


@pytest.mark.parametrize("changes", [ADAPTS, {}], ids=["controlled", "at a fixed rate"])
def test_a_window_that_completes_less_than_it_admits_is_never_passed(
    rewrite: Callable[..., Run], changes: dict[str, Any]
) -> None:
    """The line through one swing is nearly level: its p-value is 0.3 and more."""
    run = rewrite(changes, items=RISING)
    if changes:
        ((level, text),) = found(run, "balance")
        assert level == "warning"
        assert "10% fewer completed: items in flight went from 5 to 141" in text
    else:
        assert found(run, "steady")[0][0] == "invalid"


@pytest.mark.parametrize(
    ("balance", "short"),
    [
        (Balance(1479, 1342), True),
        (Balance(10_000, 9_600), False),  # significant, but only 4 %
        (Balance(250, 230), False),  # 8 %, by chance
        (Balance(1479, 1342, dispersion=10.0), False),  # admissions come in bursts
        (Balance(0, 0), False),
    ],
)
def test_a_shortfall_is_more_than_chance_and_matters(balance: Balance, short: bool) -> None:
    assert balance.short == short


def test_few_samples_do_not_hide_a_growing_backlog(rewrite: Callable[..., Run]) -> None:
    run = rewrite(items=GROWING, telemetry=every(1.0))
    assert found(run, "steady")[0][0] == "invalid"


def test_without_a_whole_ledger_and_with_few_samples_nothing_is_said_of_steadiness(
    rewrite: Callable[..., Run],
) -> None:
    run = rewrite(items=lose, telemetry=every(1.0))
    assert found(run, "steady") == [("warning", "could not be checked: 15 samples, 20 are needed")]


@pytest.mark.parametrize(("kind", "level"), [("emulated", "invalid"), ("simulated", "warning")])
def test_only_a_script_may_make_a_backlog_grow(
    rewrite: Callable[..., Run], kind: str, level: str
) -> None:
    script = {"kind": kind, "config": {"events": [{"at_s": 3.0, "kind": "load"}]}}
    assert found(rewrite(script, items=GROWING), "steady")[0][0] == level


@pytest.mark.slow
def test_no_false_alarm_on_steady_runs(tmp_path: Path) -> None:
    models = [Model(seed=s, items=3000, rate_per_s=90) for s in range(1, 31)]
    runs = [studied(write_big_run(tmp_path / str(m.seed), m)) for m in models]
    assert sum(run.verdict == "INVALID" for run in runs) <= 1


def test_an_item_that_ended_twice_is_named(rewrite: Callable[..., Run]) -> None:
    def twice(columns: dict[str, Any]) -> dict[str, Any]:
        columns["item"][7] = 8
        return columns

    run = rewrite(items=twice)
    assert found(run, "conservation") == [("invalid", "1 items ended more than once, first item 8")]


def test_an_item_that_never_ended_breaks_conservation(rewrite: Callable[..., Run]) -> None:
    run = rewrite(items=lambda columns: {name: values[:-1] for name, values in columns.items()})
    ((level, text),) = found(run, "conservation")
    assert level == "invalid"
    assert text == "1500 offered, but 1499 ok + 0 dropped + 0 lost = 1499"


def doubled(columns: dict[str, Any]) -> dict[str, Any]:
    """Telemetry that tells of twice the items in flight, and three more."""
    columns["in_flight"] = [None if v is None else 2 * v + 3 for v in columns["in_flight"]]
    return columns


@pytest.mark.parametrize("span_s", [0.2, 4.0])
def test_littles_law_sees_a_ledger_that_disagrees_with_telemetry(
    rewrite: Callable[..., Run], span_s: float
) -> None:
    ((level, text),) = found(rewrite(telemetry=lambda c: every(span_s)(doubled(c))), "Little's law")
    assert level == "invalid"
    assert "from the ledger" in text


@pytest.mark.parametrize(("span_s", "level"), [(4.0, "ok"), (100.0, "warning")])
def test_littles_law_holds_with_few_samples_and_wants_one(
    rewrite: Callable[..., Run], span_s: float, level: str
) -> None:
    assert found(rewrite(telemetry=every(span_s)), "Little's law")[0][0] == level


def test_a_short_warm_up_is_reported_with_the_right_one(rewrite: Callable[..., Run]) -> None:
    def slow_start(columns: dict[str, Any]) -> dict[str, Any]:
        scheduled = np.array(columns["scheduled_s"])
        extra = np.where(scheduled < 3, 0.2, 0)
        columns["latency_s"] = np.array(columns["latency_s"]) + extra
        return columns

    run = rewrite(items=slow_start)
    (finding,) = [f for f in run.findings if f.check == "warm-up"]
    assert finding.level == "warning"
    assert finding.remedy.startswith(("set run.warmup_s = 3 ", "set run.warmup_s = 4 "))


def lose(columns: dict[str, Any]) -> dict[str, Any]:
    """One item that was lost."""
    columns["status"][500] = "lost"
    for name in ("correct", "exit", "completed_s", "latency_s", "prediction"):
        columns[name][500] = None
    return columns


def test_lost_items_are_wrong_ones(rewrite: Callable[..., Run], one_run: Path) -> None:
    run = rewrite(items=lose)
    assert found(run, "lost") == [("warning", "1 items were lost; each counts as a wrong one")]
    assert run.summary.measured.accuracy.value < studied(one_run).summary.measured.accuracy.value


def test_more_ranks_than_cores_is_said(rewrite: Callable[..., Run]) -> None:
    ranks = [{"rank": n, "host": "pi", "cores": 1} for n in range(2)]
    run = rewrite({"ranks": ranks, "kind": "hardware"})
    assert found(run, "cores") == [
        ("warning", "2 ranks shared 1 cores on pi: they slowed each other")
    ]
    assert not found(rewrite_again(run, {"kind": "simulated"}), "cores")


def rewrite_again(run: Run, manifest: dict[str, Any]) -> Run:
    path = run.reader.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | manifest))
    return studied(run.reader.folder)


@pytest.mark.parametrize(("overruns", "level"), [(1, "warning"), (900, "invalid")])
def test_overruns_of_emulated_devices(
    rewrite: Callable[..., Run], overruns: int, level: str
) -> None:
    def late(columns: dict[str, Any]) -> dict[str, Any]:
        t_s, rank = np.array(columns["t_s"]), np.array(columns["rank"])
        columns["overruns"] = np.where((t_s > 5) & (rank == 0), overruns, 0)
        return columns

    assert found(rewrite(telemetry=late), "emulation")[0][0] == level


def test_a_throttled_host_is_a_warning(rewrite: Callable[..., Run]) -> None:
    def hot(columns: dict[str, Any]) -> dict[str, Any]:
        first = np.array(columns["rank"]) == 0
        columns["throttled"] = np.where(first, np.array(columns["t_s"]) > 5, None)
        columns["temperature_c"] = np.where(first, 84.7, None)
        return columns

    run = rewrite(telemetry=hot)
    ((level, text),) = found(run, "throttling")
    assert level == "warning"
    assert "was throttled in" in text
    assert "up to 85 °C" in text
    assert run.verdict == "VALID"


def test_refused_messages_and_unexplained_duplicates(rewrite: Callable[..., Run]) -> None:
    def refused(columns: dict[str, Any]) -> dict[str, Any]:
        columns["refused"] = np.where(np.array(columns["t_s"]) > 5, 3, 0)
        return columns

    totals = {"offered": 1500, "admitted": 1500, "duplicates": 4, "reruns": 1}
    run = rewrite({"totals": totals}, telemetry=refused)
    assert [level for level, _ in found(run, "messages")] == ["warning", "warning"]


def test_results_that_come_after_their_items_were_lost_are_no_fault(
    rewrite: Callable[..., Run],
) -> None:
    totals = {"offered": 1500, "admitted": 1500, "duplicates": 2, "reruns": 1}
    assert not found(rewrite({"totals": totals}, items=lose), "messages")


def test_a_run_shorter_than_its_warm_up_measures_nothing(rewrite: Callable[..., Run]) -> None:
    run = rewrite({"window": {"start_s": 5.0, "end_s": 5.0}})
    assert run.verdict == "INVALID"
    assert "no item finished in the measured window" in found(run, "window")[0][1]
    assert not run.summary.measured.rate_per_s.known


def test_warnings_of_the_run_itself_are_passed_on(rewrite: Callable[..., Run]) -> None:
    run = rewrite({"warnings": ["the clock of rank 1 drifted"]})
    assert found(run, "recorded") == [("warning", "the clock of rank 1 drifted")]
    assert run.verdict == "VALID"


def test_a_damaged_table_makes_the_run_invalid(one_run: Path, tmp_path: Path) -> None:
    shutil.copytree(one_run, tmp_path / "run")
    (tmp_path / "run" / "items.parquet").write_bytes(b"junk")
    run = studied(tmp_path / "run")
    assert run.verdict == "INVALID"
    assert "damaged, skipped" in found(run, "files")[0][1]


def failing(status: str, every_nth: int) -> Change:
    """Every so many items dropped or lost."""

    def change(columns: dict[str, Any]) -> dict[str, Any]:
        for at in range(0, len(columns["status"]), every_nth):
            columns["status"][at] = status
            for name in ("correct", "exit", "completed_s", "latency_s", "prediction"):
                columns[name][at] = None
        return columns

    return change


@pytest.mark.parametrize("status", ["dropped", "lost"])
@pytest.mark.parametrize(
    ("every_nth", "limit", "verdict"),
    [(2, None, "INVALID"), (50, None, "INVALID"), (200, None, "VALID"), (2, 1.0, "VALID")],
)
def test_a_run_of_survivors_is_invalid_unless_dropping_is_its_point(
    rewrite: Callable[..., Run], status: str, every_nth: int, limit: float | None, verdict: str
) -> None:
    config = {} if limit is None else {"config": {"run": {"max_failed_share": limit}}}
    run = rewrite(config, items=failing(status, every_nth))
    assert run.verdict == verdict
    measured = run.summary.measured
    assert measured.drop_share.value + measured.lost_share.value == pytest.approx(
        1 / every_nth, abs=0.005
    )
    assert (measured.latency_p99_s.value == np.inf) == (every_nth <= 50)
    if verdict == "INVALID":
        assert "max_failed_share" in found(run, "failed")[0][1]


def test_littles_law_is_not_skipped_in_silence(rewrite: Callable[..., Run]) -> None:
    run = rewrite(items=failing("lost", 500))
    ((level, text),) = found(run, "Little's law")
    assert level == "warning"
    assert text == "could not be checked: nobody knows when the 3 lost items left the system"


def test_goodput_counts_right_items_within_the_objective(rewrite: Callable[..., Run]) -> None:
    run = rewrite({"config": {"search": {"objective_ms": 15.0}}})
    items, (start_s, end_s) = read_items(run.reader), run.summary.window
    good = items.ok & (items["correct"] == 1) & (items["latency_s"] <= 0.015)
    done = (items["completed_s"] >= start_s) & (items["completed_s"] < end_s)
    measured = run.summary.measured
    assert measured.goodput_per_s.value == pytest.approx((good & done).sum() / (end_s - start_s))
    assert measured.goodput_per_s.value < measured.rate_per_s.value


def test_a_short_series_says_how_long_to_run(tmp_path: Path) -> None:
    """Utilisation 0.9: 400 items are worth a few independent ones."""
    model = replace(PAIR, items=400, rate_per_s=200, service_s=0.0045, exits=2, threshold=0.99)
    run = studied(write_big_run(tmp_path / "run", model))
    assert np.isinf(run.summary.measured.latency_mean_s.high)
    (finding,) = [f for f in run.findings if f.check == "data"]
    assert finding.level == "warning"
    assert "run.duration_s" in finding.remedy and "repeat" in finding.remedy


@pytest.mark.parametrize(
    ("swings", "column", "said"),
    [
        (False, "interarrival_s", "the controller was still climbing when the window ended: from"),
        (False, "threshold", "the controller was still climbing when the window ended: from"),
        (True, "interarrival_s", ""),
    ],
)
def test_a_controller_that_never_stepped_back_is_named(
    rewrite: Callable[..., Run], one_run: Path, swings: bool, column: str, said: str
) -> None:
    mode = "adapt-rate" if column == "interarrival_s" else "adapt-threshold"
    config = RunReader(one_run).manifest["config"]
    config["admission"]["mode"] = mode

    def moved(columns: dict[str, Any]) -> dict[str, Any]:
        t_s = np.array(columns["t_s"])
        way = -1 if column == "interarrival_s" else 1
        values = 0.02 * np.exp(way * t_s / 10)
        if swings:
            values = 0.02 * (1 + 0.3 * np.sin(t_s))
        return columns | {column: [*values]}

    run = rewrite({"config": config}, telemetry=moved)
    found_here = found(run, "controller")
    assert [level for level, _ in found_here] == ["warning"] * bool(said)
    assert all(text.startswith(said) for _, text in found_here)
