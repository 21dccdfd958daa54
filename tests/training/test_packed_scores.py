"""Answers in a small file: what is exact in it, what is close, and when it is used."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mdibench.config.schema import ModelSection
from mdibench.errors import UserError
from mdibench.models import packaged
from mdibench.models.evaluation import ExitScores
from mdibench.training import scores as scores_module
from mdibench.training.calibration import confidences
from mdibench.training.recordings import record
from mdibench.training.scores import calibration_scores, evaluation_scores, known_info

RESNET = ModelSection(name="resnet50", dataset="cifar10")


def some_scores() -> ExitScores:
    chance = np.random.default_rng(1)
    logits = chance.normal(0, 4, (3, 400, 10)).astype(np.float32)
    logits[0, 0, :2] = 9.0, 9.0 - 1e-6  # all but a tie
    logits[1, 1, 3] = 90.0  # all but certain
    return ExitScores(logits, chance.integers(0, 10, 400))


def test_classes_are_exact_and_confidences_close() -> None:
    scores = some_scores()
    kept = scores_module.packed(scores)
    again = ExitScores(scores_module.unpacked(kept["gaps"], kept["odds"]), scores.labels)
    assert (again.logits.argmax(2) == scores.logits.argmax(2)).all()
    for measure, most in (("max-softmax", 2e-3), ("entropy", 1e-2), ("margin", 1e-2)):
        found = np.abs(confidences(again, measure) - confidences(scores, measure)).max()
        assert found < most
    cooler = np.abs(
        confidences(again, "max-softmax", (2.0,) * 3)
        - confidences(scores, "max-softmax", (2.0,) * 3)
    )
    assert cooler.max() < 1e-2


def test_the_package_knows_resnet50_without_its_weights_or_data(monkeypatch) -> None:
    monkeypatch.setattr(packaged, "BESIDE", Path("/nowhere"))
    monkeypatch.setenv("MDIBENCH_DATA", "/nowhere")
    scores, _ = evaluation_scores(RESNET)
    assert scores.logits.shape == (5, 10_000, 10)
    assert calibration_scores(RESNET).logits.shape == (5, 5_000, 10)
    assert scores.accuracy == pytest.approx([0.8492, 0.88, 0.8896, 0.8948, 0.8941], abs=1e-9)
    info = known_info(RESNET)
    assert [block.output_bytes for block in info.blocks[:2]] == [1_048_576, 524_288]
    exits = record(RESNET).exits((0.8,) * 5)
    assert (exits == 1).mean() == pytest.approx(0.582, abs=0.002)
    assert packaged.packaged_answers("resnet50").stat().st_size < 1_000_000


def test_other_weights_are_not_answered_for(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    model = RESNET.model_copy(update={"weights": str(other)})
    assert scores_module.packaged_scores(model, "evaluation") is None
    assert scores_module.packaged_info(model) is None


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "resnet50.answers.npz"
    shutil.copy(packaged.packaged_answers("resnet50"), file)
    file.write_bytes(file.read_bytes()[:-20_000])
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    with pytest.raises(UserError, match=r"resnet50.answers.npz: damaged"):
        scores_module.packaged_scores(RESNET, "evaluation")
