import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from mdibench.cli.train import train
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Dataset, load_dataset
from mdibench.errors import UserError
from mdibench.models.weights import read_metadata
from mdibench.training import training_job

BUDGET = 128
"""Items of each split in these tests."""


@pytest.fixture(autouse=True)
def small_digits(monkeypatch: pytest.MonkeyPatch):
    def shortened(name: str, data_dir: str | None = None, seed: int = 0, **others) -> Dataset:
        full = load_dataset(name, data_dir, seed, **others)
        parts = (full.train, full.calibration, full.evaluation)
        return Dataset(name, full.classes, *(part.first(BUDGET) for part in parts))

    monkeypatch.setattr(training_job, "load_dataset", shortened)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(folder: Path, *options: str) -> tuple[Path, str]:
    out = folder / "w.safetensors"
    arguments = ["digits-cnn", "--epochs", "1", "--threads", "1", "--out", str(out), *options]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return out, result.output


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, again = run(tmp_path / "a")[0], run(tmp_path / "b")[0]
    other = run(tmp_path / "c", "--seed", "2")[0]
    tensors = [load_file(path) for path in (first, again, other)]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert not torch.equal(*(part["blocks.0.1.0.weight"] for part in tensors[::2]))


@pytest.mark.slow
def test_weights_may_have_any_name(tmp_path: Path) -> None:
    out, _ = run(tmp_path, "--out", str(tmp_path / "w.bin"))
    assert not out.exists()
    assert "Weights: " in (tmp_path / "w.md").read_text()
    assert read_metadata(tmp_path / "w.bin")["network"] == "digits-cnn"


def test_but_not_that_of_their_card(tmp_path: Path) -> None:
    """Said before the training, and nothing that is there is touched."""
    (tmp_path / "w.md").write_text("mine")
    with pytest.raises(UserError, match="weights cannot be named"):
        run(tmp_path, "--out", str(tmp_path / "w.md"))
    assert (tmp_path / "w.md").read_text() == "mine"


@pytest.mark.slow
def test_the_file_and_the_card_say_what_was_measured(tmp_path: Path) -> None:
    out, output = run(tmp_path)
    facts = read_metadata(out)
    assert (facts["network"], facts["dataset"], facts["seed"]) == ("digits-cnn", "digits", "1")
    accuracy = json.loads(facts["accuracy"])
    card = out.with_suffix(".md").read_text()
    assert card in output
    assert f"Weights: {out.stat().st_size / 1e6:.2f} MB" in card
    for number, value in enumerate(accuracy, start=1):
        assert f"| {number} | {value:.4f} |" in card
    assert "epoch 1/1: loss" in output


@pytest.mark.slow
def test_a_checkpoint_continues(tmp_path: Path) -> None:
    checkpoint = ["--checkpoint", str(tmp_path / "state.ckpt")]
    run(tmp_path, *checkpoint)
    assert "epoch 1/1" not in run(tmp_path, *checkpoint)[1]
    assert "epoch 2/2" in run(tmp_path, *checkpoint, "--epochs", "2")[1]


@pytest.mark.slow
def test_training_goes_on_from_weights(tmp_path: Path) -> None:
    start, _ = run(tmp_path / "a")
    out, card = run(tmp_path / "b", "--weights", str(start), "--learning-rate", "1e-9")
    before, after = load_file(start), load_file(out)
    assert all(
        torch.allclose(after[name], before[name], atol=1e-3)
        for name in before
        if name.endswith("weight")
    )
    assert "learning_rate 1e-09" in card
    assert "from the weights w.safetensors" in card


def test_precision_follows_the_option_before_the_machine() -> None:
    recipe = training_job.TRAINING_PLANS["digits-cnn"].recipe
    job = training_job.TrainingJob(
        ModelSection(), 1, 3, None, 1, "float32", 0.5, None, 0.1, None, Path("x")
    )
    chosen = training_job.chosen_recipe(recipe, job)
    assert (chosen.bfloat16, chosen.epochs, chosen.distillation) == (False, 3, 0.5)
    assert chosen.learning_rate == 0.1
