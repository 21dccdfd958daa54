"""Simulated runs: complete files, labelled, the same for the same seed; and scripted events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mdibench.analysis.explain import break_down
from mdibench.analysis.run_groups import evaluate_run
from mdibench.analysis.workers import rank_figures
from mdibench.bounds.inputs import bound_of_run
from mdibench.config.reading import parse_config
from mdibench.core.node import Node
from mdibench.core.wire import HEADER_BYTES
from mdibench.errors import UserError
from mdibench.record import schema
from mdibench.record.reader import RunReader
from mdibench.record.run_folder import read_manifest
from mdibench.simulation.run import build_world, simulate
from mdibench.training.recordings import CodedAnswers
from tests.simulation.scenarios import BASE, EXITS, SAMPLES, model, scenario

HOST_FACTS = ("id", "started_utc", "pid", "host", "simulated_on", "ranks")
"""What may differ between two runs of one config and seed."""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Simulate, and check the ledger: no item lost, counted twice or left over."""

    def simulated(more: str = "", *overrides: str, workers: int = 4) -> Path:
        status, folder = simulate(scenario(tmp_path, workers, more, *overrides), quiet=True)
        manifest = read_manifest(folder)
        totals = manifest["totals"]
        items = [row["item"] for row in table(folder, "items")]
        assert status == 0
        assert manifest["status"] == "complete"
        assert manifest["kind"] == "simulated"
        assert sorted(items) == list(range(totals["offered"]))
        assert totals["offered"] == totals["ok"] + totals["dropped"] + totals["lost"]
        assert totals["in_flight"] == 0
        return folder

    return simulated


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return rows


def between(rows: Iterable[dict[str, Any]], start_s: float, end_s: float) -> list[dict[str, Any]]:
    return [row for row in rows if row["completed_s"] and start_s <= row["completed_s"] < end_s]


def workers_of(rows: Iterable[dict[str, Any]]) -> set[str]:
    return {rank for row in rows for rank in row["path"].split(">")}


def events(folder: Path) -> list[tuple[float, int, str]]:
    return [(row["t_s"], row["rank"], row["kind"]) for row in table(folder, "events")]


def test_all_the_files_of_a_run(run: Callable[..., Path]) -> None:
    folder = run()
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "config.toml", "log.txt", *(f"{name}.parquet" for name in schema.TABLES)
    }  # fmt: skip
    assert {row["rank"] for row in table(folder, "telemetry")} == {0, 1, 2, 3}
    assert len(table(folder, "links")) == 3 * len(table(folder, "telemetry"))
    assert "ended" in (folder / "log.txt").read_text()


def test_the_same_seed_gives_the_same_files(run: Callable[..., Path]) -> None:
    lossy = "[[topology.links]]\nbetween = [0, 1]\nbandwidth_mbps = 10\njitter_ms = 5\nloss = 0.1"
    one, other = run(lossy), run(lossy)
    for name in schema.TABLES:
        first, second = ((folder / f"{name}.parquet").read_bytes() for folder in (one, other))
        assert first == second, name
    assert (one / "log.txt").read_bytes() == (other / "log.txt").read_bytes()
    facts = [json.loads((folder / "run.json").read_text()) for folder in (one, other)]
    for manifest in facts:
        for key in HOST_FACTS:
            manifest.pop(key)
    assert facts[0] == facts[1]
    third = run(lossy, "run.seed=2")
    assert (third / "items.parquet").read_bytes() != (one / "items.parquet").read_bytes()


def test_a_worker_that_joins_computes_from_then_on(run: Callable[..., Path]) -> None:
    folder = run('[[events]]\nat_s = 1.0\nkind = "join"\nrank = 1', "scheme.name=random", workers=2)
    items = table(folder, "items")
    assert workers_of(between(items, 0.0, 1.0)) == {"0"}
    assert workers_of(between(items, 1.2, 9.0)) == {"0", "1"}
    assert (1.0, 1, "join") in events(folder)
    assert min(row["t_s"] for row in table(folder, "telemetry") if row["rank"] == 1) >= 1.0


def test_a_worker_that_leaves_finishes_its_tasks_unsuspected(
    run: Callable[..., Path],
) -> None:
    script = '[[events]]\nat_s = 1.0\nkind = "leave"\nrank = 1'
    folder = run(script, "scheme.name=random", "transport.suspect_after_s=0.3", workers=2)
    items = table(folder, "items")
    assert workers_of(between(items, 0.0, 1.0)) == {"0", "1"}
    assert workers_of(between(items, 1.3, 9.0)) == {"0"}
    assert read_manifest(folder)["totals"]["lost"] == 0
    assert "suspect" not in {kind for _, _, kind in events(folder)}


def test_a_worker_that_rejoins_computes_again(run: Callable[..., Path]) -> None:
    script = "".join(
        f'[[events]]\nat_s = {at_s}\nkind = "{kind}"\nrank = 1\n'
        for at_s, kind in ((0.5, "leave"), (1.0, "join"), (1.2, "fail"), (1.5, "join"))
    )
    folder = run(script, "scheme.name=random", "transport.suspect_after_s=0.1", workers=2)
    items = table(folder, "items")
    assert workers_of(between(items, 0.7, 1.0)) == {"0"}
    assert "1" in workers_of(between(items, 1.1, 1.2))
    assert "1" in workers_of(between(items, 1.6, 9.0))


def test_items_of_a_worker_that_fails_are_run_again(run: Callable[..., Path]) -> None:
    script = '[[events]]\nat_s = 1.0\nkind = "fail"\nrank = 1'
    folder = run(script, "scheme.name=random", "transport.suspect_after_s=0.2", workers=2)
    items = table(folder, "items")
    again = [row for row in items if row["attempts"] > 1]
    assert again
    assert all(row["status"] == "ok" for row in items)
    assert workers_of(between(items, 1.1, 9.0)) == {"0"}
    assert "suspect" in {kind for _, _, kind in events(folder)}
    assert max(row["t_s"] for row in table(folder, "telemetry") if row["rank"] == 1) <= 1.0


def test_a_worker_that_rejoins_before_it_is_suspected(run: Callable[..., Path]) -> None:
    """Its items are run again, and its counters restart without decreasing."""
    script = """[[events]]
at_s = 0.8
kind = "fail"
rank = 1
[[events]]
at_s = 1.1
kind = "join"
rank = 1
"""
    folder = run(script, "admission.interarrival_s=0.012")
    totals = read_manifest(folder)["totals"]
    assert totals["lost"] == 0
    assert totals["reruns"] > 0
    rows = rank_figures(RunReader(folder), (0.0, 2.0))
    assert all(row.tasks > 0 and 0 < row.split["compute"] <= 1 for row in rows)


def test_messages_to_a_replaced_worker_do_not_reach_the_new_one(tmp_path: Path) -> None:
    """A message to the old worker would count tasks that the new one never sent."""
    script = """[[events]]
at_s = 0.8
kind = "fail"
rank = 1
[[events]]
at_s = 0.815
kind = "join"
rank = 1
[[topology.links]]
between = [0, 1]
delay_ms = 20
"""
    chosen = scenario(tmp_path, 4, script, "scheme.name=random")
    world = build_world(chosen, lambda row: None)
    for step in range(200):
        world.run(until_s=step / 100)
        workers = [node.worker for node in world.nodes if isinstance(node, Node)]
        assert all(n.input_queue >= 0 for w in workers for n in w.neighbours.values())


def test_bytes_of_an_item_are_those_of_its_tasks_and_its_result(run: Callable[..., Path]) -> None:
    folder = run("", "scheme.name=ddi")
    rows = [row for row in table(folder, "items") if row["path"].startswith("1")]
    assert rows
    assert {row["wire_bytes"] for row in rows} == {model().input_bytes + 2 * HEADER_BYTES}


def test_the_bound_of_batches_whose_steps_are_not_all_on_record(run: Callable[..., Path]) -> None:
    more = ("admission.mode=offline", "admission.max_in_flight=60", "model.max_batch=8")
    full, sampled = (run("", *more, f"run.trace={trace}") for trace in (1.0, 0.05))
    bounds = [bound_of_run(folder)["rate_per_s"] for folder in (full, sampled)]
    assert bounds[1] == pytest.approx(bounds[0], rel=0.02)
    for folder in (full, sampled):
        found = break_down(RunReader(folder), (0.0, 2.0), 4)
        assert found is not None
        assert [row.seconds for row in found.blocks] == pytest.approx([0.010] * len(found.blocks))


def test_a_worker_that_slows_down_takes_longer(run: Callable[..., Path]) -> None:
    script = '[[events]]\nat_s = 1.0\nkind = "slow"\nrank = 0\nfactor = 3.0'
    steps = table(run(script, "scheme.name=local", workers=1), "steps")
    times = {round(row["duration_s"], 6) for row in steps if row["t_s"] < 1.0}
    late = {round(row["duration_s"], 6) for row in steps if row["t_s"] > 1.1}
    assert (times, late) == ({0.01}, {0.03})


def test_a_link_changes(run: Callable[..., Path]) -> None:
    script = '[[events]]\nat_s = 1.0\nkind = "link"\nbetween = [1, 0]\ndelay_ms = 50'
    items = table(run(script, "scheme.name=mdi", workers=2), "items")
    early, late = (between(items, *span) for span in ((0.2, 0.9), (1.2, 1.9)))
    gain = min(r["latency_s"] for r in late) - min(r["latency_s"] for r in early)
    assert gain == pytest.approx(2 * 0.0499, abs=0.002)


def test_the_load_steps(run: Callable[..., Path]) -> None:
    script = '[[events]]\nat_s = 1.0\nkind = "load"\nfactor = 4'
    items = table(run(script), "items")
    offered = [sum(s <= row["scheduled_s"] < s + 1 for row in items) for s in (0.0, 1.0)]
    assert offered == pytest.approx([50, 200], abs=4)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ('kind = "fail"\nrank = 9', "there is no rank 9 among the 4 ranks of this run"),
        ('kind = "link"\nbetween = [1, 2]\ndelay_ms = 1', "there is no link 1 - 2 in this run"),
    ],
)
def test_an_event_of_an_unknown_rank_or_link(tmp_path: Path, script: str, problem: str) -> None:
    wrong = scenario(tmp_path, 4, f"[[events]]\nat_s = 1\n{script}", "topology.name=star")
    with pytest.raises(UserError) as failure:
        simulate(wrong, quiet=True)
    assert str(failure.value).startswith("c.toml:")
    assert problem in str(failure.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ('kind = "slow"\nrank = 1', 'an event of kind "slow" needs factor'),
        ('kind = "join"', 'an event of kind "join" needs rank'),
        ('kind = "load"\nfactor = 2\nrank = 1', 'an event of kind "load" has no rank'),
        ('kind = "link"\nbetween = [0, 1]', 'an event of kind "link" changes nothing'),
        ('kind = "fail"\nrank = 0', "the source cannot fail"),
        ('kind = "rest"\nrank = 1', "kind"),
        ('kind = "slow"\nrank = 1\nfactor = -1', "factor"),
    ],
)
def test_an_event_with_missing_or_extra_keys(event: str, problem: str) -> None:
    with pytest.raises(UserError) as failure:
        parse_config(f"{BASE.format(results='x')}\n[[events]]\nat_s = 1\n{event}", "c.toml")
    (line,) = str(failure.value).splitlines()
    assert problem in line


def test_an_event_after_the_end() -> None:
    event = '[[events]]\nat_s = 9e9\nkind = "join"\nrank = 1'
    with pytest.raises(UserError, match=r"at 9e\+09 s never happens: the run ends by"):
        parse_config(f"{BASE.format(results='x')}\n{event}", "c.toml")
    parse_config(f"{BASE.format(results='x')}\n{event}", "c.toml", ["run.items=5"])


def test_load_steps_need_arrivals_by_schedule() -> None:
    text = f"{BASE.format(results='x')}\n[[events]]\nat_s = 1\nkind = 'load'\nfactor = 2"
    with pytest.raises(UserError, match="does not follow a schedule of arrivals"):
        parse_config(text, "c.toml", ["admission.mode=adapt-rate"])


# --- closed runs and overload --------------------------------------------------------------------

ALONE = ("emulation.devices.board.block_ms=[20, 20, 20]", "scheme.early_exit=false")
"""One worker that takes 60 ms for an item: 16.7 items per second."""


def test_a_backlog_does_not_bend_the_rate(run: Callable[..., Path]) -> None:
    """1,500 items, of which 1,000 are admitted at once: the last 1,000 complete after the last
    admission."""
    offline = ("admission.mode='offline'", "run.items=1500", "run.warmup_s=2", "run.drain_s=100")
    folder = run("", *ALONE, *offline, workers=1)
    studied = evaluate_run(RunReader(folder))
    rate = studied.summary.measured.rate_per_s
    assert rate.value == pytest.approx(1 / 0.06, rel=0.002)
    assert studied.verdict == "VALID", studied.findings
    assert studied.summary.window == (0.0, pytest.approx(1500 * 0.06))


def test_items_that_all_fit_at_once_have_a_window_of_their_own(run: Callable[..., Path]) -> None:
    offline = ("admission.mode='offline'", "run.items=100", "run.warmup_s=2")
    summary = evaluate_run(RunReader(run("", *ALONE, *offline, workers=1))).summary
    assert summary.window == (0.0, pytest.approx(6.0))
    assert summary.measured.rate_per_s.value == pytest.approx(1 / 0.06, rel=0.002)
    assert sum(row.items for row in summary.exits) == 100


def test_an_overloaded_run_that_drops_half_of_its_items_is_invalid(
    run: Callable[..., Path],
) -> None:
    """33 items per second for a device of 16.7."""
    overload = (
        "admission.interarrival_s=0.03", "admission.max_in_flight=50", "run.duration_s=30",
        "run.warmup_s=5",
    )  # fmt: skip
    studied = evaluate_run(RunReader(run("", *ALONE, *overload, workers=1)))
    assert studied.verdict == "INVALID"
    measured = studied.summary.measured
    assert measured.drop_share.value == pytest.approx(0.5, abs=0.02)
    assert measured.latency_p95_s.value == float("inf")
    assert measured.rate_per_s.value == pytest.approx(1 / 0.06, rel=0.01)
    wanted = evaluate_run(
        RunReader(run("", *ALONE, *overload, "run.max_failed_share=1", workers=1))
    )
    assert wanted.verdict == "VALID", wanted.findings


def test_an_offline_run_that_loses_its_window_is_invalid(run: Callable[..., Path]) -> None:
    lost = ("admission.mode='offline'", "run.warmup_s=1", "run.duration_s=2", "run.drain_s=1")
    studied = evaluate_run(RunReader(run("", *ALONE, *lost, workers=1)))
    assert studied.verdict == "INVALID"
    assert {"failed", "Little's law"} <= {f.check for f in studied.findings if f.level != "ok"}


# --- until a figure is known ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "known"),
    [
        ("rate ± 5 %", True),
        ("latency +- 10 %", True),
        ("latency p95 ± 10 %", True),
        ("accuracy ± 0.1 %", False),
    ],
)
def test_a_run_goes_on_until_its_figure_is_known(
    run: Callable[..., Path], until: str, known: bool
) -> None:
    poisson = ("admission.arrivals='poisson'", "run.duration_s=120", f"run.until='{until}'")
    studied = evaluate_run(RunReader(run("", *poisson)))
    start_s, end_s = studied.summary.window
    assert (end_s - start_s < 119) == known
    (finding,) = [f for f in studied.findings if f.check == "until"]
    assert finding.level == ("ok" if known else "warning")
    assert until in finding.text
    share = float(until.rstrip("% ").split(" ")[-1]) / 100
    truth = {"rate": 50.0}.get(until.split(" ")[0])
    if known and truth:
        assert studied.summary.measured.rate_per_s.value == pytest.approx(truth, rel=2 * share)


def test_a_simulation_says_what_it_leaves_out_of_a_codec(run: Callable[..., Path]) -> None:
    studied = evaluate_run(RunReader(run("", "transport.codec='int8'")))
    (finding,) = [f for f in studied.findings if f.check == "recorded"]
    assert finding.level == "warning"
    assert finding.text.startswith("codec int8: only its sizes are modelled")


def test_answers_and_times_under_a_codec_are_those_that_were_recorded(tmp_path: Path) -> None:
    made = scenario(tmp_path, 2, "", "transport.codec='int8'", "scheme.name='ddi'")
    made = scenario(tmp_path, 2, "", "transport.codec='int8'", "scheme.name='mdi'")
    plain = made.recordings
    assert plain is not None
    sure = tuple(np.full((2**k, SAMPLES), 0.9) for k in range(EXITS))
    classes = tuple(np.full((2**k, SAMPLES), 7) for k in range(EXITS))
    classes[-1][0] = 8  # of items that crossed no link
    coded = CodedAnswers(classes, sure, (0.003,) * 2, (0.002,) * 2)
    folder = simulate(replace(made, recordings=replace(plain, coded=coded)), quiet=True)[1]
    rows = [row for row in table(folder, "items") if row["status"] == "ok"]
    assert {row["prediction"] for row in rows} == {7}
    assert not [w for w in read_manifest(folder)["warnings"] if "codec" in w]
    last = {row["rank"]: row["encode_s"] for row in table(folder, "telemetry")}
    assert last[0] == pytest.approx(0.003 * len(rows))
    assert last[1] == pytest.approx(0.002 * len(rows))
