from pathlib import Path

import numpy as np
import pytest

from mdibench.config.schema import ModelSection, SchemeSection
from mdibench.data.dataset import Dataset, Split, load_dataset
from mdibench.errors import UserError
from mdibench.models.evaluation import score
from mdibench.models.registry import load_network
from mdibench.training import scores as module
from mdibench.training.calibration import (
    calibrated_exits,
    confidences,
    exits_taken,
)
from mdibench.training.scores import calibration_scores

ITEMS = 200


@pytest.fixture(autouse=True)
def own_cache_and_few_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def few(model: ModelSection) -> Dataset:
        full = load_dataset(model.dataset, model.data_dir)
        part = full.calibration.first(ITEMS)
        return Dataset(model.dataset, full.classes, part, part, part)

    monkeypatch.setattr(module, "dataset_of", few)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["max-softmax", "entropy", "margin"])
def test_the_accuracy_drop_is_kept_and_flops_are_saved(measure) -> None:
    model = ModelSection(confidence=measure)
    result = calibrated_exits(model, SchemeSection(accuracy_drop=0.02))
    scores = calibration_scores(model)
    exits = exits_taken(confidences(scores, measure, result.temperatures), result.chosen.thresholds)
    accuracy = scores.correct[exits, np.arange(ITEMS)].mean()
    assert accuracy == pytest.approx(result.chosen.accuracy)
    assert accuracy >= scores.correct[-1].mean() - 0.02
    assert result.chosen.shares[-1] < 0.5
    assert result.items == ITEMS
    assert all(0 <= error < 0.2 for error in result.ece)


@pytest.mark.slow
def test_the_second_time_scores_come_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = calibration_scores(ModelSection())
    monkeypatch.setattr(module, "score", lambda *_: pytest.fail("scored twice"))
    again = calibration_scores(ModelSection())
    np.testing.assert_array_equal(first.logits, again.logits)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mdibench").write_text("a file where the folder should be")
    assert calibration_scores(ModelSection()).logits.shape == (5, ITEMS, 10)


def test_patience_has_nothing_to_calibrate() -> None:
    with pytest.raises(UserError, match="patience cannot be calibrated"):
        calibrated_exits(ModelSection(confidence="patience"), SchemeSection(target_accuracy=0.9))


def test_confidences_are_the_engines() -> None:
    split = load_dataset("digits").evaluation
    scores = score(load_network("digits-cnn"), Split(split.inputs[:20], split.labels[:20]))
    rows = confidences(scores, "max-softmax")
    assert rows.shape == (5, 20)
    np.testing.assert_allclose(
        rows,
        (np.exp(scores.logits) / np.exp(scores.logits).sum(2, keepdims=True)).max(2),
        rtol=1e-5,
    )
