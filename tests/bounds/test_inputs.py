"""The bound of recorded runs: no run exceeds it, and a record that claims to is detected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mdibench.analysis.run_groups import evaluate_run, pieces_text
from mdibench.bounds.capacity import Demand, Fleet, capacity, fleet_of
from mdibench.bounds.inputs import Piece, bound_of_run, capacity_in_pieces, demand
from mdibench.core.wire import HEADER_BYTES
from mdibench.network.plan import Link
from mdibench.policy.schemes import SCHEMES
from mdibench.record.reader import RunReader
from mdibench.report.terminal import summary_lines
from mdibench.simulation.run import simulate
from tests.simulation.scenarios import scenario

VERSION_0_1 = Path(__file__).parent / "version_0_1"
SATURATED = ("admission.mode=offline", "admission.max_in_flight=40", "run.warmup_s=0.5")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    def simulated(*overrides: str, workers: int = 4, more: str = "") -> Path:
        return simulate(scenario(tmp_path, workers, more, *SATURATED, *overrides), quiet=True)[1]

    return simulated


def beats_its_bound(folder: Path) -> bool:
    """Whether even the low end of the rate's interval is above the bound."""
    reader = RunReader(folder)
    bound = bound_of_run(reader)["rate_per_s"]
    return bool(evaluate_run(reader).summary.measured.rate_per_s.low > bound)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("topology", ["3-circular", "star", "line"])
def test_no_scheme_beats_the_bound(run: Callable[..., Path], scheme: str, topology: str) -> None:
    workers = 3 if topology == "3-circular" else 4
    folder = run(f"scheme.name={scheme}", f"topology.name={topology}", workers=workers)
    assert not beats_its_bound(folder)
    manifest = json.loads((folder / "run.json").read_text())
    window = manifest["window"]["end_s"] - manifest["window"]["start_s"]
    assert manifest["totals"]["ok"] / window > 0.3 * bound_of_run(folder)["rate_per_s"]


@pytest.mark.slow
def test_a_run_that_claims_to_beat_its_bound_is_found_out(run: Callable[..., Path]) -> None:
    """The same items, said to be done in half the time; enough of them for an interval."""
    folder = run("run.duration_s=20")
    assert not beats_its_bound(folder)
    path = folder / "items.parquet"
    table = pq.read_table(path)
    for name in ("scheduled_s", "completed_s"):
        faster = pa.array(np.asarray(table[name]) / 2)
        table = table.set_column(table.column_names.index(name), name, faster)
    pq.write_table(table, path)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["window"] = {key: value / 2 for key, value in manifest["window"].items()}
    (folder / "run.json").write_text(json.dumps(manifest))
    assert beats_its_bound(folder)


@pytest.mark.parametrize("scheme", ["local", "mdi"])
def test_a_saturated_worker_reaches_its_bound(run: Callable[..., Path], scheme: str) -> None:
    """``mdi`` runs all blocks as one call, which is one step of the first of them."""
    folder = run(f"scheme.name={scheme}", "admission.max_in_flight=3", workers=1)
    bound = bound_of_run(folder)
    assert bound["binding"] == "worker 0 (100%)"
    rate = evaluate_run(RunReader(folder)).summary.measured.rate_per_s.value
    assert rate == pytest.approx(bound["rate_per_s"], rel=0.03)


def test_blocks_that_were_calls_of_their_own_count_each() -> None:
    """A run of ``mdi`` of version 0.1, which recorded a step for each block of a worker."""
    rate = evaluate_run(RunReader(VERSION_0_1)).summary.measured.rate_per_s.value
    assert rate == pytest.approx(bound_of_run(VERSION_0_1)["rate_per_s"], rel=0.05)


def test_a_run_and_its_plan_have_the_same_bound(run: Callable[..., Path], tmp_path: Path) -> None:
    """Simulated block times are the plan's, so that only the shares of exits remain."""
    folder = run(workers=2)
    exits = np.array(pq.read_table(folder / "items.parquet")["exit"].to_pylist())
    planned = scenario(tmp_path, 2, "", *SATURATED)
    window = json.loads((folder / "run.json").read_text())["window"]
    done = np.array(pq.read_table(folder / "items.parquet")["completed_s"].to_pylist())
    taken = exits[(done >= window["start_s"]) & (done < window["end_s"])]
    go_on = [np.mean(taken[taken >= k] > k) for k in (1, 2, 3)]
    fleet, scheme = fleet_of(planned.plan), planned.config.scheme
    bound = capacity(fleet, demand(fleet, planned.model, planned.block_s, go_on, scheme))
    assert bound_of_run(folder)["rate_per_s"] == pytest.approx(bound.rate_per_s)


def test_batches_count_by_their_tasks(run: Callable[..., Path]) -> None:
    """A batch of four takes four times as long: 10 ms for each of its tasks."""
    one = bound_of_run(run("model.max_batch=4", "scheme.name=local", workers=1))
    other = bound_of_run(run("scheme.name=local", workers=1))
    assert one["rate_per_s"] == pytest.approx(other["rate_per_s"], rel=0.05)


def test_the_fastest_batch_size_that_a_run_formed_counts(run: Callable[..., Path]) -> None:
    """Most tasks took 10 ms alone; a fourth of them took 5 ms each, in batches of four."""
    folder = run("scheme.name=local", workers=1)
    alone = bound_of_run(folder)
    path = folder / "steps.parquet"
    table = pq.read_table(path)
    four = np.asarray(table["item"]) % 4 == 0
    for name, values in (("batch", (4, 1)), ("duration_s", (0.02, 0.01))):
        column = pa.array(np.where(four, *values), table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["config"]["model"]["max_batch"] = 4
    manifest["plan"]["devices"] = [None]
    (folder / "run.json").write_text(json.dumps(manifest))
    assert bound_of_run(folder)["rate_per_s"] == pytest.approx(2 * alone["rate_per_s"])
    assert bound_of_run(folder)["binding"].endswith(", at the batch sizes that this run formed")
    assert "capacity bound of batches as formed" in summary_lines(folder)


@pytest.mark.parametrize("scheme", ["local", "mdi"])
def test_without_steps_a_real_rank_counts_by_all_that_it_computed(
    run: Callable[..., Path], scheme: str
) -> None:
    """What was measured before the run is wrong here; ``mdi`` runs all blocks as one call."""
    folder = run(f"scheme.name={scheme}", "run.trace=0.0", workers=1)
    expected = bound_of_run(folder)["rate_per_s"]
    manifest = json.loads((folder / "run.json").read_text())
    manifest["plan"]["devices"] = [None]
    for block in manifest["model"]["blocks"]:
        block["seconds"] = 1.0
    (folder / "run.json").write_text(json.dumps(manifest))
    assert bound_of_run(folder)["rate_per_s"] == pytest.approx(expected)


def test_without_steps_the_devices_times_count(run: Callable[..., Path]) -> None:
    traced = bound_of_run(run("scheme.name=local", workers=1))
    untraced = bound_of_run(run("scheme.name=local", "run.trace=0.0", workers=1))
    assert untraced["rate_per_s"] == pytest.approx(traced["rate_per_s"])


# --- scripted events: pieces of the window --------------------------------------------------------


def event(at_s: float, kind: str, **keys: object) -> str:
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(["[[events]]", f"at_s = {at_s}", f'kind = "{kind}"', *lines, ""])


def rates(bound: dict[str, Any]) -> list[tuple[float, float]]:
    return [(piece["end_s"], pytest.approx(piece["rate_per_s"])) for piece in bound["pieces"]]


def alone_per_s(folder: Path) -> float:
    """One worker: 10 ms for each block that the admitted items of the window took."""
    window = json.loads((folder / "run.json").read_text())["window"]
    table = pq.read_table(folder / "items.parquet").to_pandas()
    inside = (table.admitted_s >= window["start_s"]) & (table.admitted_s < window["end_s"])
    return float(1 / (0.01 * table.exit[inside & (table.status == "ok")].mean()))


def test_a_slower_worker_from_the_middle_on(run: Callable[..., Path]) -> None:
    """From 0.5 s to 2 s: one second at full speed, half a second at a fourth of it."""
    folder = run("scheme.name=local", workers=1, more=event(1.5, "slow", rank=0, factor=4.0))
    bound, full_per_s = bound_of_run(folder), alone_per_s(folder)
    end_s = json.loads((folder / "run.json").read_text())["window"]["end_s"]
    slow_s = end_s - 1.5
    assert rates(bound) == [(1.5, full_per_s), (end_s, full_per_s / 4)]
    assert bound["rate_per_s"] == pytest.approx(full_per_s * (1 + slow_s / 4) / (1 + slow_s))
    assert bound["limits"][0]["share"] == pytest.approx(1.0)
    assert not beats_its_bound(folder)
    assert "bound: 2 pieces: " in summary_lines(folder)


def test_a_worker_that_is_slow_for_a_while(run: Callable[..., Path]) -> None:
    for_a_while = event(1.0, "slow", rank=0, factor=4.0) + event(1.25, "slow", rank=0, factor=1.0)
    folder = run("scheme.name=local", workers=1, more=for_a_while)
    bound, full_per_s = bound_of_run(folder), alone_per_s(folder)
    end_s = json.loads((folder / "run.json").read_text())["window"]["end_s"]
    assert rates(bound) == [(1.0, full_per_s), (1.25, full_per_s / 4), (end_s, full_per_s)]
    lost = 0.25 * 0.75 / (end_s - 0.5)
    assert bound["rate_per_s"] == pytest.approx(full_per_s * (1 - lost))


def test_what_happens_before_the_window_holds_for_all_of_it(run: Callable[..., Path]) -> None:
    before = event(0.25, "slow", rank=0, factor=2.0)
    folder = run("scheme.name=local", workers=1, more=before)
    bound = bound_of_run(folder)
    assert len(bound["pieces"]) == 1
    assert bound["rate_per_s"] == pytest.approx(alone_per_s(folder) / 2)
    assert "pieces" not in summary_lines(folder)


def test_a_load_that_changes_leaves_the_bound(run: Callable[..., Path]) -> None:
    folder = run("scheme.name=local", "admission.mode=fixed-rate", workers=1,
                 more=event(1.0, "load", factor=2.0))  # fmt: skip
    assert len(bound_of_run(folder)["pieces"]) == 1


@pytest.mark.parametrize("kind", ["leave", "fail"])
def test_a_worker_that_goes_takes_its_part_with_it(run: Callable[..., Path], kind: str) -> None:
    """Two workers with raw offloading share all; after 1 s there is one."""
    folder = run("scheme.source_offloads_raw=true", workers=2, more=event(1.0, kind, rank=1))
    bound, one_per_s = bound_of_run(folder), alone_per_s(folder)
    (_, first), (end_s, second) = ((p["end_s"], p["rate_per_s"]) for p in bound["pieces"])
    assert first == pytest.approx(2 * one_per_s, rel=1e-3)
    assert second == pytest.approx(one_per_s)
    mean = (0.5 * first + (end_s - 1.0) * second) / (end_s - 0.5)
    assert bound["rate_per_s"] >= mean * (1 - 1e-9)
    assert not beats_its_bound(folder)


def test_a_worker_that_joins_was_not_there_before(run: Callable[..., Path]) -> None:
    folder = run("scheme.source_offloads_raw=true", workers=2, more=event(1.0, "join", rank=1))
    (_, first), (_, second) = rates(bound_of_run(folder))
    assert alone_per_s(folder) == first
    assert second.expected == pytest.approx(2 * first.expected, rel=1e-3)


def test_a_link_that_changes(run: Callable[..., Path]) -> None:
    """Worker 1 takes 20 ms for blocks 2 and 3, behind a link that falls to 32 kbit/s."""
    more = event(1.0, "link", between=[1, 0], bandwidth_mbps=0.032)
    folder = run("scheme.name=mdi", "placement.blocks={0=[1], 1=[2, 3]}", workers=2, more=more)
    (_, first), (_, second) = rates(bound_of_run(folder))
    assert first == 1 / 0.02
    assert second == 32e3 / 8 / (4000 + HEADER_BYTES)


def in_pieces(*slowness: float) -> float:
    """10 s each: 1/30 s for block 1 at worker 0, 20 ms times a factor for block 2 at worker 1."""
    fleet = Fleet([frozenset({1}), frozenset({2})], {(0, 1): Link(None), (1, 0): Link(None)})
    pieces = [
        Piece(10.0 * at, 10.0 * at + 10, fleet,
              Demand([[1 / 30, 0.0], [0.0, 0.02 * by]], (1.0, 0.0), {"none": (1, 1)}))
        for at, by in enumerate(slowness)
    ]  # fmt: skip
    return capacity_in_pieces(pieces).rate_per_s


def test_what_waited_in_a_slow_piece_is_computed_in_the_next() -> None:
    """12.5 /s, then 30 /s: a mean of 21.25 /s, if worker 0 could not compute ahead.

    It does: 600 tasks in 20 s; worker 1 does 125 of them at first, and could do 500 more.
    """
    assert in_pieces(4.0, 1.0) == pytest.approx(30.0)


def test_nothing_can_be_done_before_it_came() -> None:
    assert in_pieces(1.0, 4.0) == pytest.approx(21.25)
    assert in_pieces(1.0, 1.0) == pytest.approx(30.0)


def test_a_pieces_line_is_short() -> None:
    assert (
        pieces_text([(8.0, 41.2), (20.0, 28.9)]) == "2 pieces: 41.2 /s until 8.0 s, 28.9 /s after"
    )
    many = pieces_text([(float(at), 10.0 * at) for at in range(1, 8)])
    assert many.endswith("30.0 /s until 3.0 s, 3 more, 70.0 /s after")


# --- without a bound ------------------------------------------------------------------------------


def test_a_run_without_a_bound_says_why(run: Callable[..., Path]) -> None:
    folder = run("run.items=1", workers=1)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["window"] = {"start_s": 90.0, "end_s": 99.0}
    (folder / "run.json").write_text(json.dumps(manifest))
    bound = bound_of_run(folder)
    assert bound["rate_per_s"] is None
    assert bound["binding"] == "no item that was admitted in the measured window was completed"
