"""The bound of recorded runs: no run exceeds it, and a record that claims to is detected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mdibench.analysis.run_groups import evaluate_run
from mdibench.bounds.capacity import capacity, fleet_of
from mdibench.bounds.inputs import bound_of_run, demand
from mdibench.policy.schemes import SCHEMES
from mdibench.record.reader import RunReader
from mdibench.report.terminal import summary_lines
from mdibench.simulation.run import simulate
from tests.simulation.scenarios import scenario

EXAMPLE = Path(__file__).parents[2] / "results" / "example"
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
    """The example's runs without exits: version 0.1 recorded a step for each block of a worker."""
    (folder,) = (EXAMPLE / "3-Node-Mesh-mdi" / "repeat-2").iterdir()
    rate = evaluate_run(RunReader(folder)).summary.measured.rate_per_s.value
    assert rate == pytest.approx(bound_of_run(folder)["rate_per_s"], rel=0.05)


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


def test_without_steps_the_devices_times_count(run: Callable[..., Path]) -> None:
    traced = bound_of_run(run("scheme.name=local", workers=1))
    untraced = bound_of_run(run("scheme.name=local", "run.trace=0.0", workers=1))
    assert untraced["rate_per_s"] == pytest.approx(traced["rate_per_s"])


def test_raw_data_at_the_source(run: Callable[..., Path]) -> None:
    bound = bound_of_run(run(), lifted=True)
    assert bound["rate_per_s"] == pytest.approx(100.0)
    assert bound["raw_offloaded_per_s"] > 1.5 * bound["rate_per_s"]


def test_a_run_without_a_bound_says_why(run: Callable[..., Path]) -> None:
    folder = run("run.items=1", workers=1)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["window"] = {"start_s": 90.0, "end_s": 99.0}
    (folder / "run.json").write_text(json.dumps(manifest))
    bound = bound_of_run(folder)
    assert bound["rate_per_s"] is None
    assert bound["binding"] == "no item that was admitted in the measured window was completed"
