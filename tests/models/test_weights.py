import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mdibench.errors import UserError
from mdibench.models import digits_cnn
from mdibench.models.packaged import packaged
from mdibench.models.registry import Absent, build_network, load_network
from mdibench.models.weights import load_weights, read_metadata, save_weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    torch.manual_seed(0)
    save_weights(path, digits_cnn.build(), {"dataset": "digits", "seed": "0"})
    return path


def rewrite(path: Path, change, metadata: dict[str, str] | None = None) -> None:
    tensors = load_file(path)
    with safe_open(path, "pt") as opened:
        facts = opened.metadata()
    save_file(change(tensors), path, facts if metadata is None else metadata)


def test_what_was_saved_comes_back_in_half_precision(file: Path) -> None:
    torch.manual_seed(0)
    original = digits_cnn.build()
    loaded = digits_cnn.build()
    load_weights(file, loaded, None)
    for mine, theirs in zip(original.blocks, loaded.blocks, strict=True):
        for name, value in mine.state_dict().items():
            back = theirs.state_dict()[name]
            assert back.dtype == value.dtype
            torch.testing.assert_close(back, value, rtol=1e-3, atol=1e-6)


def test_only_the_named_blocks_are_there(file: Path) -> None:
    network = load_network("digits-cnn", str(file), blocks={2, 4})
    absent = [isinstance(part, Absent) for part in network.blocks]
    assert absent == [True, False, True, False, True]
    assert [isinstance(part, Absent) for part in network.heads] == absent


def test_tensors_of_other_blocks_are_not_read(file: Path) -> None:
    def spoil(tensors):
        return {n: v for n, v in tensors.items() if not n.startswith("blocks.4.")}

    rewrite(file, spoil)
    load_network("digits-cnn", str(file), blocks={1, 2})
    with pytest.raises(UserError, match=r"blocks\.4 lacks"):
        load_network("digits-cnn", str(file))


def test_loaded_parts_are_ready_to_infer(file: Path) -> None:
    network = load_network("digits-cnn", str(file))
    for part in (*network.blocks, *network.heads):
        assert not part.training
        assert not any(p.requires_grad for p in part.parameters())


@pytest.mark.parametrize("length", [0, 5, 200, -100])
def test_a_truncated_file_is_a_user_error(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match="damaged, or not a safetensors file") as caught:
        load_network("digits-cnn", str(file))
    assert len(caught.value.problems) == 1
    assert str(file) in str(caught.value)


def test_a_flipped_bit_is_noticed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged: checksum of"):
        load_network("digits-cnn", str(file))


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="damaged, or not a safetensors file"):
        load_network("digits-cnn", str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such weights file"):
        load_network("digits-cnn", str(tmp_path / "none.safetensors"))


def test_weights_of_another_network_are_refused(file: Path) -> None:
    with pytest.raises(UserError, match="weights of network 'digits-cnn', not of 'resnet20'"):
        load_network("resnet20", str(file), dataset="cifar10")


def test_another_number_of_classes_is_refused(file: Path) -> None:
    save_weights(file, digits_cnn.build(7), {})
    with pytest.raises(UserError, match="weights for 7 classes, but the network has 10"):
        load_network("digits-cnn", str(file))


def test_without_metadata_names_and_shapes_decide(file: Path) -> None:
    rewrite(file, lambda tensors: tensors, {})
    load_network("digits-cnn", str(file))
    first = "blocks.0.1.0.weight"
    rewrite(file, lambda tensors: tensors | {first: torch.zeros(3, 3)}, {})
    with pytest.raises(UserError, match=r"blocks\.0\.1\.0\.weight is \(3, 3\) instead of"):
        load_network("digits-cnn", str(file))


def test_unknown_tensors_and_values_that_are_not_finite_are_refused(file: Path) -> None:
    rewrite(file, lambda tensors: tensors | {"blocks.1.extra": torch.zeros(1)})
    with pytest.raises(UserError, match=r"blocks\.1 has no extra"):
        load_network("digits-cnn", str(file))
    save_weights(file, digits_cnn.build(), {})
    nan = {"heads.0.linear.bias": torch.full((10,), float("nan"))}
    rewrite(file, lambda tensors: tensors | nan, {})
    with pytest.raises(UserError, match=r"heads\.0\.linear\.bias is not finite"):
        load_network("digits-cnn", str(file))


def test_saving_is_atomic(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def broken(*arguments: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("mdibench.models.packaged.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_weights(file, digits_cnn.build(), {})
    assert file.read_bytes() == before


@pytest.mark.parametrize("path", sorted(packaged("x").parent.glob("*.safetensors")))
def test_packaged_weights_say_what_they_are_and_load(path: Path) -> None:
    facts = read_metadata(path)
    assert facts["network"] == path.stem
    network = load_network(path.stem, dataset=facts["dataset"])
    accuracy = json.loads(facts["accuracy"])
    assert len(accuracy) == network.exits
    card = path.with_suffix(".md").read_text()
    assert f"{accuracy[-1]:.4f}" in card


def test_packaged_weights_are_small() -> None:
    files = packaged("x").parent.glob("*.safetensors")
    assert sum(path.stat().st_size for path in files) < 12_000_000


def test_kernels_in_8_bits_come_back_within_half_a_step(tmp_path: Path) -> None:
    path, network = tmp_path / "eight.safetensors", digits_cnn.build()
    kernel = network.blocks[0][1][0].weight.data
    kernel[0] = 0.0  # a channel without weights
    save_weights(path, network, {}, eight_bit=True)
    again = digits_cnn.build()
    load_weights(path, again)
    for part, other in zip(network.blocks, again.blocks, strict=True):
        for name, value in part.state_dict().items():
            found = other.state_dict()[name]
            if value.ndim > 1 and value.numel() > 16:
                steps = value.flatten(1).abs().amax(1) / 127
                errors = (found - value).flatten(1).abs().amax(1)
                assert (errors <= 0.501 * steps).all()
            else:
                assert torch.equal(found, value)
    assert load_file(path)["blocks.0.1.0.weight"].dtype == torch.int8


def test_scales_that_do_not_fit_are_damage(tmp_path: Path) -> None:
    path, network = tmp_path / "eight.safetensors", digits_cnn.build()
    save_weights(path, network, {}, eight_bit=True)

    def change(header: dict[str, Any]) -> None:
        shape = header["blocks.0.1.0.weight.scale"]["shape"]
        header["blocks.0.1.0.weight.scale"]["shape"] = [1, *shape]

    _rewrite(path, change)
    with pytest.raises(UserError, match=r"damaged: blocks.0.1.0.weight has \(1, \d+\) scales"):
        load_weights(path, digits_cnn.build())


def test_load_weights_fills_in_place(file: Path) -> None:
    network = digits_cnn.build()
    load_weights(file, network, blocks=[1])
    expected = load_file(file)["blocks.0.1.0.weight"].float()
    assert torch.equal(network.blocks[0][1][0].weight, expected)


def test_other_users_can_read_what_was_saved(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o644


def _rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a safetensors file, and leave its bytes as they are."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + size :])


def test_a_changed_element_type_is_damage_although_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    shutil.copy(packaged("digits-cnn"), path)

    def change(header: dict[str, Any]) -> None:
        name = next(n for n, facts in header.items() if facts.get("dtype") == "F16")
        header[name]["dtype"] = "BF16"

    _rewrite(path, change)
    network = build_network("digits-cnn", "digits")
    with pytest.raises(UserError, match=r"damaged: (blocks|heads)\.\d.* is of type torch.bfloat16"):
        load_weights(path, network)


def test_a_block_number_of_thousands_of_digits_is_no_block(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    shutil.copy(packaged("digits-cnn"), path)

    def change(header: dict[str, Any]) -> None:
        name = next(name for name in header if name.startswith("blocks.0."))
        header[f"blocks.{'9' * 5000}.x"] = header.pop(name)

    _rewrite(path, change)
    with pytest.raises(UserError):
        load_weights(path, build_network("digits-cnn", "digits"))
