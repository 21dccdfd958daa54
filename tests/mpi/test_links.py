"""Links in real runs: emulated ones keep their figures, real ones show in what is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdibench
from mdibench.record.run_folder import find_runs, read_manifest
from tests.mpi.jobs import job
from tests.mpi.namespaces import World, shaped_hosts, why_not

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(180)]

RATE_BPS = 10e6
PIPELINE = """
[run]
name = "links"
warmup_s = 0.5
duration_s = {duration_s}
{run}
[model]
name = "digits-cnn"
[scheme]
name = "mdi"
[admission]
mode = "fixed-rate"
interarrival_s = {interarrival_s}
[placement]
blocks = {{0 = [1], 1 = [2, 3, 4, 5]}}
[topology]
name = "2-node"
{links}
"""
EMULATED = """
[[topology.links]]
between = [0, 1]
bandwidth_mbps = 2
delay_ms = 100
"""


def hop_delay_s(folder: Path) -> float:
    """D_01 at the end of the run."""
    links = mdibench.load(folder).links
    return float(links[(links.source == 0) & (links.target == 1)].hop_delay_s.dropna().iloc[-1])


def task_bytes(folder: Path) -> float:
    """Mean bytes of an item on the wire: one task each in this pipeline."""
    items = mdibench.load(folder).items
    return float(items.wire_bytes.dropna().mean())


def test_an_emulated_link_keeps_rate_and_delay_within_5_percent(tmp_path: Path) -> None:
    text = PIPELINE.format(run="", links=EMULATED, duration_s=5.0, interarrival_s=0.4)
    done = job(tmp_path, 2, text)
    assert done.status == 0, done.err
    assert read_manifest(done.run)["kind"] == "emulated"
    expected_s = 0.100 + 8 * task_bytes(done.run) / 2e6
    assert hop_delay_s(done.run) == pytest.approx(expected_s, rel=0.05)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two namespaces with 10 Mbit/s between them; the test is skipped where there are none."""
    if reason := why_not():
        pytest.skip(reason)
    with shaped_hosts(tmp_path, "10mbit") as hosts:
        yield hosts


def test_the_probe_finds_the_shaped_rate(world: World, tmp_path: Path) -> None:
    sizes = ("--size=64", "--size=262144")
    done = world.run("probe", f"--results={tmp_path}", "--rounds=3", *sizes)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*/probe.json")
    pairs = json.loads(file.read_text())["pairs"]
    assert [(pair["source"], pair["target"]) for pair in pairs] == [(0, 1), (1, 0)]
    for pair in pairs:
        assert pair["bandwidth_bps"] == pytest.approx(RATE_BPS, rel=0.1)


def test_a_run_feels_the_shaped_link(world: World, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    run = 'measured_on = "shaped link"'
    config.write_text(PIPELINE.format(run=run, links="", duration_s=3.0, interarrival_s=0.15))
    done = world.run("run", str(config), f"--set=run.results={tmp_path / 'results'}")
    assert done.returncode == 0, done.stderr
    (folder,) = find_runs([tmp_path / "results"])
    assert read_manifest(folder)["kind"] == "shaped link"
    bits, bucket_bits = 8 * task_bytes(folder), 8 * 8192
    shortest_s, longest_s = (bits - bucket_bits) / RATE_BPS, bits / RATE_BPS
    assert 0.95 * shortest_s < hop_delay_s(folder) < 1.5 * longest_s
