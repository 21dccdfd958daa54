"""Real jobs at several world sizes: what they compute, record and print."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest
import torch

import mdibench
from mdibench.assembly.workload import load_items, make_engine, model_info
from mdibench.compute.engine import Hosted
from mdibench.config.reading import noted
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.record.run_folder import read_manifest
from tests.mpi.jobs import SMALL, job

pytestmark = [pytest.mark.mpi, pytest.mark.slow]

DIGITS = """
[run]
name = "digits"
warmup_s = 0.0
items = 120
[model]
name = "digits-cnn"
dataset = "digits"
[scheme]
name = "{scheme}"
threshold = 0.8
[admission]
mode = "fixed-rate"
interarrival_s = 0.0002
[placement]
copies = 2
"""


@pytest.fixture(scope="module")
def alone() -> dict[int, tuple[int, int]]:
    """Prediction and exit of every sample, by the same network in this process."""
    torch.set_num_threads(1)
    model = ModelSection(name="digits-cnn", dataset="digits")
    exits = model_info(model).exits
    hosted = Hosted.every_block(exits)
    engine, items = make_engine(model, model_info(model), hosted), load_items(model)
    answers = {}
    for sample in range(len(items.labels)):
        payload, _ = items.fetch(sample)
        for block in range(1, exits + 1):
            (outcome,) = engine.compute([Task(0, block, payload)])
            if block == exits or outcome.confidence >= 0.8:
                answers[sample] = (outcome.prediction, block)
                break
            payload = outcome.payload
    return answers


@pytest.mark.parametrize(("ranks", "scheme"), [(2, "mdi-exit"), (3, "static-exit"), (5, "random")])
def test_distribution_changes_nothing(
    tmp_path: Path, alone: dict[int, tuple[int, int]], ranks: int, scheme: str
) -> None:
    done = job(tmp_path, ranks, DIGITS.format(scheme=scheme))
    assert done.status == 0, done.err
    items = mdibench.load(done.run).items
    assert len(items) == 120
    assert items.item.is_unique
    assert (items.status == "ok").all()
    got = zip(items["sample"], items.prediction, items.exit, strict=True)
    assert all(alone[sample] == (prediction, exit_) for sample, prediction, exit_ in got)
    assert items.hops.sum() > 0


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_null_run_conserves_items(tmp_path: Path, ranks: int) -> None:
    copies = "--set=placement.copies=" + str(min(2, ranks))
    done = job(tmp_path, ranks, SMALL, [copies, "--set=admission.interarrival_s=0.002"])
    assert done.status == 0, done.err
    manifest = read_manifest(done.run)
    totals = manifest["totals"]
    assert manifest["status"] == "complete"
    assert totals["offered"] == totals["ok"] + totals["dropped"] + totals["lost"] > 100
    assert totals["lost"] == totals["duplicates"] == 0
    frames = mdibench.load(done.run)
    assert sorted(frames.items.item) == list(range(totals["offered"]))
    assert set(frames.telemetry["rank"]) == set(range(ranks))
    assert len(manifest["ranks"]) == ranks
    probed = {(pair["source"], pair["target"]) for pair in manifest["probe"]}
    assert probed == set(permutations(range(ranks), 2))
    assert all(0 < pair["latency_s"] < 1 for pair in manifest["probe"])


def test_one_wrong_key_is_told_once(tmp_path: Path) -> None:
    done = job(tmp_path, 3, SMALL + "\n[schema]\nname = 'mdi'\n")
    assert done.status == 2
    assert done.err.count("schema") == 1, done.err
    assert "Traceback" not in done.err
    assert not done.results.exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--set=topology.name=5-mesh"], "5"),
        (["--set=placement.copies=9"], "copies"),
        (["--set=run.results=/proc/nowhere"], "/proc/nowhere"),
        (["--set=scheme.threshold=1.5"], "scheme.threshold"),
        (["--set=admission.interarrival_s=-1"], "admission.interarrival_s"),
        (["--set=scheme.name=mdi-exot"], "mdi-exit"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, options: list[str], complaint: str) -> None:
    done = job(tmp_path, 2, SMALL, options)
    assert done.status == 2, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("mdibench: ")]
    assert len(lines) == 1, done.err
    assert complaint in lines[0]
    assert not done.results.exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[run\nname = 1", "config.toml:1"),
        (SMALL.replace('"null"', '"digits-cnn"\nweights = "nowhere.safetensors"'), "nowhere"),
        (SMALL.replace('"null"', '"digits-cnn"\nweights = "config.toml"'), "config.toml"),
        (SMALL.replace("copies = 2", "blocks = { 0 = [1, 2, 3, 4] }"), "block 5"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    text = text.replace("config.toml", str(tmp_path / "config.toml"))
    done = job(tmp_path, 2, text)
    assert done.status == 2, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("mdibench: ")]
    assert len(lines) == 1, done.err
    assert complaint in lines[0]
    assert not done.results.exists()


def test_a_launcher_of_another_mpi_is_named(tmp_path: Path) -> None:
    """Open MPI's variables around a process that MPICH believes to be alone."""
    import subprocess
    import sys

    from tests.mpi.jobs import environment

    config = tmp_path / "config.toml"
    config.write_text(SMALL)
    done = subprocess.run(
        [sys.executable, "-m", "mdibench", "run", str(config)],
        env=environment(OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="4"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "the launcher (Open MPI) started 4 ranks, but each is alone" in done.stderr


def test_the_log_and_the_config_are_kept(tmp_path: Path) -> None:
    done = job(tmp_path, 2, SMALL)
    kept = (done.run / "config.toml").read_text()
    assert kept == noted(SMALL, [f"run.results={done.results}"])
    assert "ended" in (done.run / "log.txt").read_text()
    assert not (done.run / "live.jsonl").exists()
    json.loads((done.run / "run.json").read_text())
