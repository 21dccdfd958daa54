from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mdibench.data.dataset import Split
from mdibench.errors import UserError
from mdibench.models.network import MultiExitNetwork, Normalise, PooledHead, conv_unit
from mdibench.training.loop import (
    PADDING,
    Recipe,
    as_module,
    crop_flip,
    one_cycle,
    read_checkpoint,
    train,
    write_checkpoint,
)

RECIPE = Recipe(epochs=3, learning_rate=0.01, batch=16)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(seed: int = 0) -> MultiExitNetwork:
    torch.manual_seed(seed)
    blocks = [
        nn.Sequential(Normalise([0.5], [0.5]), conv_unit(1, 4, stride=2)),
        conv_unit(4, 8, stride=2),
    ]
    heads = [PooledHead(4, 2, grid=2), PooledHead(8, 2)]
    return MultiExitNetwork("tiny", blocks, heads, (1, 8, 8), 2)


def bright_or_dark(count: int = 96) -> Split:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    inputs = rng.integers(0, 100, (count, 1, 8, 8)) + 100 * labels[:, None, None, None]
    return Split(inputs.astype(np.uint8), labels.astype(np.int64))


def weights(network: MultiExitNetwork) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in as_module(network).state_dict().items()}


def trained(recipe: Recipe = RECIPE, seed: int = 5, **options) -> dict[str, torch.Tensor]:
    network = tiny()
    train(network, lambda epoch: bright_or_dark(), recipe, seed, **options)
    return weights(network)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_weights_bit_by_bit(optimizer) -> None:
    recipe = replace(RECIPE, optimizer=optimizer, augmentation="crop-flip")
    assert same(trained(recipe), trained(recipe))
    assert not same(trained(recipe), trained(recipe, seed=6))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_training_ends_where_an_unbroken_one_does(tmp_path: Path, optimizer) -> None:
    recipe = replace(RECIPE, optimizer=optimizer)
    file = tmp_path / "state.ckpt"

    class Stopped(Exception):
        pass

    def stop_after_first(report) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        trained(recipe, checkpoint=file, on_epoch=stop_after_first)
    epochs = []
    resumed = trained(recipe, checkpoint=file, on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == [2, 3]
    assert same(resumed, trained(recipe))


def test_an_easy_task_is_learnt_by_every_exit() -> None:
    reports = []
    trained(replace(RECIPE, epochs=8, learning_rate=0.03), on_epoch=reports.append)
    assert min(reports[-1].train_accuracy) > 0.95
    assert reports[-1].loss < reports[0].loss


def test_options_change_the_outcome() -> None:
    plain = trained()
    for change in (
        {"distillation": 1.0},
        {"exit_weights": (0.1, 1.0)},
        {"label_smoothing": 0.1},
        {"small": (1, 4)},
        {"bfloat16": True},
    ):
        assert not same(plain, trained(replace(RECIPE, **change))), change


def test_a_weight_of_zero_leaves_that_head_alone() -> None:
    before = weights(tiny())
    after = trained(replace(RECIPE, exit_weights=(0.0, 1.0), weight_decay=0.0))
    assert torch.equal(before["heads.0.linear.weight"], after["heads.0.linear.weight"])
    assert not torch.equal(before["heads.1.linear.weight"], after["heads.1.linear.weight"])


def test_progress_counts_every_step() -> None:
    steps = []
    trained(on_step=lambda step, of: steps.append((step, of)))
    assert steps == [(step, 6) for _ in range(3) for step in range(1, 7)]


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    shares = [one_cycle(progress) for progress in np.linspace(0, 1, 101)]
    assert max(shares) == pytest.approx(1)
    assert shares.index(max(shares)) == 20
    assert shares[-1] == pytest.approx(0)
    assert all(np.diff(shares[:21]) > 0)
    assert all(np.diff(shares[20:]) < 0)


def test_a_crop_is_a_window_of_the_mirrored_padding() -> None:
    inputs = np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8)
    pads = ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING))
    padded = np.pad(inputs, pads, mode="reflect")
    chosen = np.array([1, 0])
    cropped = crop_flip(torch.from_numpy(inputs), chosen, np.random.default_rng(1)).numpy()
    for item, changed in zip(chosen, cropped, strict=True):
        windows = [
            window[:, :, ::mirror]
            for top in range(2 * PADDING + 1)
            for left in range(2 * PADDING + 1)
            for window in [padded[item, :, top : top + 8, left : left + 8]]
            for mirror in (1, -1)
        ]
        assert any(np.array_equal(changed, window) for window in windows)


def test_a_damaged_checkpoint_is_a_user_error(tmp_path: Path) -> None:
    file = tmp_path / "state.ckpt"
    file.write_bytes(b"\x80\x04 not a checkpoint")
    with pytest.raises(UserError, match="damaged, or not a checkpoint"):
        trained(checkpoint=file)


def test_a_checkpoint_of_another_seed_or_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.ckpt"
    module = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    write_checkpoint(file, module, optimizer, 1, seed=5)
    with pytest.raises(UserError, match="checkpoint of seed 5, not 6"):
        read_checkpoint(file, module, optimizer, seed=6)
    with pytest.raises(UserError, match="checkpoint of another network"):
        trained(checkpoint=file, seed=5)


def test_a_training_that_diverges_ends_and_leaves_the_checkpoint_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    wild = replace(RECIPE, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(UserError, match=r"the loss is nan after epoch 1: .* lower --learning-rate"):
        trained(wild, checkpoint=path)
    assert not path.exists()
