"""Users' networks with a fault each: the one line that names the part, or the right value."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mdibench.__main__ import run
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import load_dataset
from mdibench.errors import UserError
from mdibench.models.evaluation import score
from mdibench.models.inspection import answers, inspect, network_digest, source_files
from mdibench.models.registry import build_network, load_model, load_network
from mdibench.models.weights import continue_from, load_weights, save_weights
from mdibench.training.loop import as_module
from mdibench.training.recordings import Recordings, check_answers
from tests.models import faulty_networks

FAULTY = "tests.models.faulty_networks"


@pytest.fixture(scope="module")
def items() -> np.ndarray:
    return load_dataset("digits").evaluation.spread(4)


def loaded(name: str):
    return load_network(f"{FAULTY}:{name}")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("dropout_left_on", "block 2 of .* answers differently when it is asked again"),
        ("counts_its_calls", "block 2 of .* answers differently when it is asked again"),
        (
            "changes_raw_items",
            "block 1 of .* changes its input in place; others still",
        ),
        ("changes_features", "block 2 of .* changes its input in place"),
        ("head_changes_features", "head 1 of .* changes its input in place"),
        ("carries_int32", "block 1 of .* gives int32, which no message carries"),
        ("carries_bool", "block 1 of .* gives bool, which no message carries"),
        ("five_dimensions", r"block 1 of .* gives feature maps \(1, 1, 4, 16, 16\), which no"),
        ("shape_by_item", r"block 1 of .* gives float32 \(1, 4, 16, \d+\) for one item and"),
        ("type_by_item", r"block 1 of .* gives float\d\d \(.*\) for one item and float"),
        ("mixes_a_batch", "block 2 of .* answers differently for an item alone and in a batch"),
        ("batch_second", r"block 1 of .* gives \(256, 4, 4\) for 4 items"),
        ("gives_nan", "block 2 of .* gives NaN"),
        ("head_gives_nan", "head 1 of .* gives NaN"),
        ("gives_probabilities", "head 1 of .* gives probabilities"),
        ("takes_one_item", r"block 2 of .* failed on torch.float32 \(4, 4, 16, 16\): RuntimeError"),
    ],
)
def test_a_fault_is_one_line_that_names_the_part(name: str, line: str, items) -> None:
    network = loaded(name)
    with pytest.raises(UserError, match=line) as caught:
        inspect(network, items)
    [problem] = caught.value.problems
    assert "\n" not in str(problem)
    assert problem.where == "model.name"
    assert problem.remedy


def test_a_sound_network_answers_what_it_says(items) -> None:
    network = loaded("sound")
    raw = items.copy()
    logits = inspect(network, items, {"fp16", "int8"})
    with torch.inference_mode():
        first = network.heads[0](network.blocks[0](torch.from_numpy(items)))
    np.testing.assert_allclose(logits[0], first.numpy(), rtol=1e-5)
    assert (items == raw).all()


@pytest.mark.parametrize("name", ["half_precision_head", "head_without_weights"])
def test_heads_that_are_odd_and_right(name: str) -> None:
    network = loaded(name)
    split = load_dataset("digits").evaluation.first(4)
    assert score(network, split).logits.dtype == np.float32
    np.testing.assert_allclose(answers(network, split.inputs)[1], inspect(network, split.inputs)[1])


def test_values_beyond_float16_are_a_fault_under_fp16_alone(items) -> None:
    network = loaded("beyond_half")
    assert inspect(network, items, {"none", "int8"}).shape == (2, 4, 10)
    with pytest.raises(UserError, match=r"block 1 of .* gives values up to \S+e\+06, and float16"):
        inspect(network, items, {"fp16"})


def test_check_and_train_refuse_it_with_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    config, out = tmp_path / "c.toml", tmp_path / "w.safetensors"
    config.write_text(f'[model]\nname = "{FAULTY}:beyond_half"\n[transport]\ncodec = "fp16"\n')
    assert run(["check", str(config), "--set", "transport.codec=int8"]) == 0
    capsys.readouterr()
    assert run(["check", str(config)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mdibench: {config}:2: model.name: block 1 of {FAULTY}:beyond_half giv")
    name = f"{FAULTY}:changes_raw_items"
    assert run(["train", name, "--threads", "1", "--out", str(out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "block 1 of" in line and "changes its input in place" in line
    assert not out.exists()


# --- weights -------------------------------------------------------------------------------------


def test_weights_that_half_precision_cannot_hold_stay_in_float32(tmp_path: Path) -> None:
    name = f"{FAULTY}:large_weights"
    original = build_network(name, "digits")
    file = tmp_path / "w.safetensors"
    save_weights(file, original, {})
    stored = load_file(file)
    types = {key: str(stored[key].dtype) for key in stored if key.endswith("weight")}
    assert types == {
        "blocks.0.1.weight": "torch.float16",
        "blocks.1.weight": "torch.float32",
        "heads.0.linear.weight": "torch.float16",
        "heads.1.linear.weight": "torch.float32",
    }
    again = load_network(name, str(file))
    assert torch.equal(again.blocks[1].weight, original.blocks[1].weight)
    assert torch.equal(again.heads[1].linear.weight, original.heads[1].linear.weight)


def wrapped(kind: str, tensors: dict) -> dict:
    """The tensors as DataParallel, torch.compile, or a compiled block name them."""
    if kind == "inner":
        return {key.replace("blocks.1.", "blocks.1._orig_mod."): v for key, v in tensors.items()}
    return {kind + key: value for key, value in tensors.items()}


@pytest.mark.parametrize("kind", ["module.", "_orig_mod.", "module._orig_mod.", "inner"])
def test_names_of_wrappers_are_read_and_said(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = build_network(f"{FAULTY}:sound", "digits")
    file = tmp_path / "w.safetensors"
    state = as_module(original).state_dict()
    save_file(wrapped(kind, {key: value.clone() for key, value in state.items()}), file)
    again = build_network(f"{FAULTY}:sound", "digits")
    load_weights(file, again)
    assert torch.equal(again.blocks[1].weight, original.blocks[1].weight)
    assert "names are read without module. and _orig_mod." in caplog.text


@pytest.mark.parametrize("name", ["shared_head", "tied_heads"])
def test_heads_may_share_parameters(name: str, tmp_path: Path) -> None:
    """Saved with each head, and still shared when training goes on from the file."""
    original = build_network(f"{FAULTY}:{name}", "digits")
    file = tmp_path / "w.safetensors"
    save_weights(file, original, {})
    again = build_network(f"{FAULTY}:{name}", "digits")
    continue_from(file, again)
    assert again.heads[0].linear.weight is again.heads[1].linear.weight
    assert again.heads[0].linear.weight.requires_grad
    saved = original.heads[1].linear.weight
    torch.testing.assert_close(again.heads[1].linear.weight, saved, rtol=1e-3, atol=1e-4)
    assert load_network(f"{FAULTY}:{name}", str(file)).exits == 2


def test_every_process_draws_the_same_values_where_there_are_no_weights() -> None:
    torch.manual_seed(5)
    one = loaded("sound")
    torch.manual_seed(6)
    other = loaded("sound")
    assert torch.equal(one.blocks[1].weight, other.blocks[1].weight)


# --- what a network is called --------------------------------------------------------------------


def test_the_name_of_what_is_kept_changes_with_weights_source_and_answers(
    items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = loaded("sound")
    known = network_digest(network, items)
    assert network_digest(loaded("sound"), items) == known
    assert Path(faulty_networks.__file__) in source_files(network)
    with torch.no_grad():
        network.heads[0].linear.bias[0] += 1
    assert network_digest(network, items) != known
    network = loaded("sound")
    forward = type(network.heads[0]).forward
    monkeypatch.setattr(type(network.heads[0]), "forward", lambda self, x: -forward(self, x))
    assert network_digest(network, items) != known


def test_a_profile_does_not_outlive_a_negated_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelSection(name=f"{FAULTY}:sound")
    split = load_dataset("digits").evaluation.first(40)
    said = answers(load_model(model), split.inputs)
    known = Recordings(said.argmax(2), np.ones(said.shape[:2]), split.labels)
    check_answers(model, known, tmp_path)
    forward = faulty_networks.PooledHead.forward
    monkeypatch.setattr(faulty_networks.PooledHead, "forward", lambda self, x: -forward(self, x))
    with pytest.raises(UserError, match=r"exit 1 of .*:sound answers otherwise now; its code or"):
        check_answers(model, known, tmp_path)


def test_recordings_do_not_outlive_a_negated_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdibench.training import recordings

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    full = load_dataset("digits")
    monkeypatch.setattr(
        "mdibench.training.scores.load_evaluation", lambda model, seed: full.evaluation.first(50)
    )
    model = ModelSection(name=f"{FAULTY}:sound")
    before = recordings.record(model)
    forward = faulty_networks.PooledHead.forward
    monkeypatch.setattr(faulty_networks.PooledHead, "forward", lambda self, x: -forward(self, x))
    after = recordings.record(model)
    assert (before.predictions != after.predictions).mean() > 0.5
    again = recordings.record(model)
    assert (again.predictions == after.predictions).all()
    assert len(list((tmp_path / "mdibench" / "scores").glob("*.npy"))) == 2
