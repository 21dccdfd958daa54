import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from mdibench.codec.bottleneck import CodecPair, code_bytes, load_pairs, narrow_channels, save_pairs
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Split, load_dataset
from mdibench.errors import UserError
from mdibench.models.evaluation import score
from mdibench.models.packaged import FOLDER, fingerprint, packaged
from mdibench.models.registry import load_network, network_info
from mdibench.training.bottleneck import (
    PairRecipe,
    TrainablePair,
    first_pairs,
    score_with_pairs,
    train_pairs,
)


def random_pair(channels: int = 6, narrow: int = 3, seed: int = 0, bits: int = 8) -> CodecPair:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(channels, channels)))[0][:, :narrow].astype(np.float32)
    zeros = np.zeros(channels, np.float32)
    return CodecPair(basis.T.copy(), zeros[:narrow], basis, zeros, bits)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    factor=st.floats(1e-3, 1e3),
    bits=st.sampled_from([4, 8]),
)
def test_what_lies_in_the_code_comes_back_up_to_rounding(seed, height, width, factor, bits) -> None:
    pair = random_pair(seed=seed, bits=bits)
    rng = np.random.default_rng(seed + 1)
    code = factor * rng.normal(size=(3, height * width)).astype(np.float32)
    features = (pair.decoder @ code).reshape(6, height, width).astype(np.float32)
    payload = pair.encode(features)
    assert payload.dtype == np.uint8
    assert len(payload) == pair.encoded_bytes(features.shape)
    back = pair.decode(payload, features.shape)
    assert back.shape == features.shape
    assert back.dtype == np.float32
    step = np.ptp(code) / (2**bits - 1)
    np.testing.assert_allclose(back, features, atol=1.01 * step)


def test_zero_stays_zero() -> None:
    pair = random_pair()
    features = np.zeros((6, 2, 2), np.float32)
    np.testing.assert_array_equal(pair.decode(pair.encode(features), features.shape), features)


@given(
    channels=st.integers(2, 300),
    side=st.integers(2, 32),
    ratio=st.sampled_from([2.0, 4.0, 8.0, 16.0]),
)
def test_the_ratio_is_kept_where_one_channel_allows_it(channels, side, ratio) -> None:
    narrow = narrow_channels((channels, side, side), ratio)
    assert narrow >= 1
    if narrow > 1:
        assert 4 * channels * side * side >= ratio * code_bytes((channels, side, side), ratio)


@pytest.mark.parametrize("payload", [b"", b"\x00" * 9, b"\x00" * 21])
def test_bytes_that_are_not_a_code_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not the code of a feature map"):
        random_pair().decode(np.frombuffer(payload, np.uint8), (6, 2, 2))
    good = random_pair().encode(np.ones((6, 2, 2), np.float32))
    with pytest.raises(ValueError, match="not the code of a feature map"):
        random_pair().decode(good, (7, 2, 2))


@pytest.mark.parametrize("bits", [4, 8])
def test_the_trained_layers_and_the_used_pair_agree(bits: int) -> None:
    pair = random_pair(bits=bits)
    features = np.random.default_rng(3).normal(size=(6, 4, 4)).astype(np.float32)
    with torch.no_grad():
        trained = TrainablePair(pair)(torch.from_numpy(features)[None])[0].numpy()
    used = pair.decode(pair.encode(features), features.shape)
    np.testing.assert_allclose(used, trained, atol=1e-5)
    frozen = TrainablePair(pair).frozen()
    np.testing.assert_array_equal(frozen.encoder, pair.encoder)
    np.testing.assert_array_equal(frozen.decoder_bias, pair.decoder_bias)


def few(count: int) -> Split:
    split = load_dataset("digits").calibration
    return Split(split.inputs[:count], split.labels[:count])


@pytest.mark.slow
def test_the_kept_channels_alone_keep_most_of_the_accuracy() -> None:
    network, items = load_network("digits-cnn"), few(300)
    pairs = first_pairs(network, torch.from_numpy(items.inputs[:200]), ratio=8)
    assert sorted(pairs) == [1, 2, 3, 4]
    before, after = score(network, items), score_with_pairs(network, pairs, items)
    assert after.accuracy[-1] > before.accuracy[-1] - 0.03
    np.testing.assert_array_equal(after.logits[0], before.logits[0])


@pytest.mark.slow
def test_training_lowers_the_divergence_and_is_fixed_by_the_seed() -> None:
    network, items = load_network("digits-cnn"), few(128)
    recipe = PairRecipe(ratio=32, steps=4, batch=16, learning_rate=3e-3)
    first, again = (train_pairs(network, items, recipe, seed=1) for _ in range(2))
    for cut in first:
        np.testing.assert_array_equal(first[cut].encoder, again[cut].encoder)
    start = first_pairs(network, torch.from_numpy(items.inputs), ratio=32)
    whole = score(network, items).logits[-1]
    distance = [
        np.square(score_with_pairs(network, pairs, items).logits[-1] - whole).mean()
        for pairs in (start, first)
    ]
    assert distance[1] < distance[0]
    assert not any(p.requires_grad for block in network.blocks for p in block.parameters())


def test_pairs_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.safetensors"
    pairs = {cut: random_pair(seed=cut) for cut in (1, 2, 3)}
    save_pairs(path, pairs, {"network": "tiny"})
    back = load_pairs("tiny", 8, str(path), cuts={2})
    assert list(back) == [2]
    np.testing.assert_array_equal(back[2].encoder, pairs[2].encoder)
    np.testing.assert_array_equal(back[2].decoder, pairs[2].decoder)


def test_bad_files_of_pairs_are_user_errors(tmp_path: Path) -> None:
    path = tmp_path / "pairs.safetensors"
    with pytest.raises(UserError, match="mdibench train tiny --bottleneck 8"):
        load_pairs("tiny", 8, str(path))
    path.write_bytes(b"not tensors")
    with pytest.raises(UserError, match="damaged, or not a file of bottleneck pairs"):
        load_pairs("tiny", 8, str(path))
    save_pairs(path, {1: random_pair()}, {"network": "other"})
    with pytest.raises(UserError, match="of network 'other', not of 'tiny'"):
        load_pairs("tiny", 8, str(path))
    save_pairs(path, {1: random_pair()}, {"network": "tiny", "weights": "0123abcd"})
    assert list(load_pairs("tiny", 8, str(path), weights="0123abcd")) == [1]
    with pytest.raises(UserError, match="for other weights of 'tiny'"):
        load_pairs("tiny", 8, str(path), weights="ffffffff")


@pytest.mark.parametrize("path", sorted((FOLDER / "bottleneck").glob("*.safetensors")))
def test_packaged_pairs_fit_their_network_and_keep_the_last_exit(path: Path) -> None:
    with safe_open(path, "np") as opened:
        facts = opened.metadata()
    info = network_info(ModelSection(name=facts["network"], dataset=facts["dataset"]))
    pairs = load_pairs(facts["network"], float(facts["ratio"]))
    assert sorted(pairs) == list(range(1, info.exits))
    assert facts["weights"] == fingerprint(packaged(facts["network"]))
    for cut, pair in pairs.items():
        block = info.blocks[cut - 1]
        assert block.output_bytes >= float(facts["ratio"]) * pair.encoded_bytes(block.output_shape)
    before, after = (json.loads(facts[key])[-1] for key in ("accuracy without", "accuracy"))
    assert after >= before - 0.01
