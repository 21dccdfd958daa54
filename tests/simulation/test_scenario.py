"""Scenarios: profiles with their spread, recordings, and the mistakes in them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from mdibench.config.schema import ModelSection
from mdibench.errors import UserError
from mdibench.record.profile import BlockProfile, ExitTable, Profile, Timing, write_profile
from mdibench.simulation.scenario import batch_seconds, draw_seconds, load_scenario
from mdibench.training.recordings import Recordings, record, recorded_in

DECILES = (0.008, *(0.009 + 0.0002 * step for step in range(9)), 0.05)
TIMES = (Timing(1, 0.01, 0.0099, 0.0101, 50, DECILES), Timing(4, 0.02, 0.02, 0.02, 50))


def profile(sizes: tuple[int, ...] = (1,) * 5, name: str = "digits-cnn") -> Profile:
    facts = {"name": name, "dataset": "digits", "weights": None, "confidence": "max-softmax"}
    blocks = tuple(
        BlockProfile(k, 10, 10, 40, 40, (1,), size, {}, TIMES, ())
        for k, size in enumerate(sizes, 1)
    )
    return Profile("2026-01-01T00:00:00Z", {}, facts, 2, (0.5,) * 5, blocks)


EXITS = ExitTable([3, 4], [[3, 1]] * 5, [[0.5, 0.25]] * 5)


def test_times_are_drawn_between_the_deciles() -> None:
    draw = draw_seconds(profile().blocks[0].times, random.Random(1).random)
    drawn = [draw(1) for _ in range(4000)]
    assert DECILES[0] <= min(drawn) and max(drawn) <= DECILES[-1]
    assert median(drawn) == pytest.approx(DECILES[5], rel=0.02)
    assert np.mean(np.array(drawn) <= DECILES[9]) == pytest.approx(0.9, abs=0.02)


def test_a_profile_without_deciles_gives_its_medians() -> None:
    old = replace(profile().blocks[0], times=tuple(replace(t, deciles_s=()) for t in TIMES))
    assert {draw_seconds(old.times, random.Random(1).random)(1) for _ in range(10)} == {0.01}


@pytest.mark.parametrize(("size", "seconds"), [(1, 0.01), (2, 0.04 / 3), (4, 0.02), (8, 0.04)])
def test_a_batch_between_and_beyond_the_profiled_sizes(size: int, seconds: float) -> None:
    assert batch_seconds(TIMES, size) == pytest.approx(seconds)


@pytest.mark.slow
class TestProfiles:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        path = tmp_path / "c.toml"
        path.write_text("")
        return path

    def test_times_and_outcomes_come_from_it(self, tmp_path: Path, config: Path) -> None:
        model = load_scenario(config, workers=1, overrides=NANO).model
        sizes = tuple(block.output_bytes for block in model.blocks)
        write_profile(tmp_path / "p", profile(sizes), EXITS)
        scenario = load_scenario(config, workers=2, profile=tmp_path / "p")
        assert scenario.block_s == [(0.01,) * 5] * 2
        assert scenario.recordings is not None
        assert scenario.recordings.confidences.tolist() == [[0.5, 0.25]] * 5
        assert scenario.items().labels == [3, 4]

    @pytest.mark.parametrize(
        ("wrong", "problem"),
        [
            (profile(name="resnet18"), 'name is "resnet18" there and "digits-cnn" here'),
            (profile((1, 2)), "its blocks have other sizes"),
        ],
    )
    def test_a_profile_of_another_network(
        self, tmp_path: Path, config: Path, wrong: Profile, problem: str
    ) -> None:
        write_profile(tmp_path / "p", wrong, EXITS)
        with pytest.raises(UserError) as failure:
            load_scenario(config, workers=2, profile=tmp_path / "p")
        (line,) = str(failure.value).splitlines()
        assert problem in line

    def test_a_folder_without_a_profile(self, tmp_path: Path, config: Path) -> None:
        with pytest.raises(UserError, match="no profile here"):
            load_scenario(config, workers=2, profile=tmp_path)


NANO = ['emulation.device="jetson-nano"']


@pytest.mark.slow
def test_recordings_are_those_of_the_engine_and_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdibench.assembly.workload import load_items, make_engine, model_info
    from mdibench.compute.engine import Hosted
    from mdibench.core.records import Task

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = ModelSection()
    recorded = record(model)
    (kept,) = (tmp_path / "mdibench" / "scores").glob("*.npy")
    items, engine = load_items(model), make_engine(model, model_info(model), Hosted.every_block(5))
    for sample in range(20):
        task = Task(0, 1, items.fetch(sample)[0], sample=sample)
        for k in range(5):
            (outcome,) = engine.compute([task])
            assert outcome.prediction == recorded.predictions[k, sample]
            assert outcome.confidence == pytest.approx(recorded.confidences[k, sample], abs=1e-5)
            task = replace(task, block=k + 2, payload=outcome.payload)
    assert recorded.labels.tolist() == list(items.labels)

    again = record(model)
    assert (again.confidences == recorded.confidences).all()
    kept.write_bytes(b"damaged")
    assert (record(model).confidences == recorded.confidences).all()
    assert kept.stat().st_size > 1000


def test_exits_by_confidence_and_by_patience() -> None:
    seen = Recordings(
        np.array([[1, 1, 1], [1, 2, 2], [1, 2, 3]]),
        np.array([[0.9, 0.5, 0.5], [0.9, 0.8, 0.6], [0.1, 0.1, 0.1]]),
        np.array([1, 2, 3]),
    )
    assert seen.exits((0.8, 0.8, 0.8)).tolist() == [1, 2, 3]
    assert seen.exits((0.8, 0.8, 0.8), early_exit=False).tolist() == [3, 3, 3]
    assert seen.exits((0.6, 0.6, 0.6), patience=True).tolist() == [2, 3, 3]


def test_recordings_of_a_profile(tmp_path: Path) -> None:
    write_profile(tmp_path, profile(), EXITS)
    assert recorded_in(tmp_path).predictions.tolist() == [[3, 1]] * 5
