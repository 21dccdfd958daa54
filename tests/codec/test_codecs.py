"""Codecs: exact, half or 8 bits, whatever the tensor's type, shape and memory layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdibench.codec.bottleneck import CodecPair
from mdibench.codec.codecs import Coder, as_tensor, encoded_bytes
from mdibench.core.wire import CodecId, Dtype, Layout
from mdibench.errors import WireError

DTYPES = [torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float32]
CODER = Coder()
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def cross(tensor: torch.Tensor, codec: CodecId) -> torch.Tensor:
    """Encode, then decode."""
    payload, layout = CODER.encode(tensor, codec, 1)
    return as_tensor(CODER.decode(payload.copy(), layout, 1), layout.dtype)


@given(shapes, st.sampled_from(DTYPES))
def test_none_is_exact(shape: list[int], dtype: torch.dtype) -> None:
    tensor = (torch.arange(float(np.prod(shape))) * 1.5 - 7).reshape(shape).to(dtype)
    back = cross(tensor, CodecId.NONE)
    assert back.dtype == dtype
    assert torch.equal(back, tensor)


def test_strided_tensors_are_not_scrambled() -> None:
    picture = torch.arange(24.0).reshape(1, 2, 3, 4)
    for tensor in (picture.mT, picture.to(memory_format=torch.channels_last), picture[:, :, ::2]):
        assert torch.equal(cross(tensor, CodecId.NONE), tensor)


@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=50))
def test_lossy_codecs_stay_within_their_step(values: list[float]) -> None:
    tensor = torch.tensor(values)
    largest = float(tensor.abs().max())
    assert torch.allclose(cross(tensor, CodecId.FP16), tensor, rtol=1e-3, atol=1e-4)
    assert (cross(tensor, CodecId.INT8) - tensor).abs().max() <= largest / 127 * 0.51 + 1e-6


def test_integers_are_unchanged() -> None:
    raw = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    payload, layout = CODER.encode(raw, CodecId.INT8, 1)
    assert (len(payload), layout.codec) == (12, CodecId.NONE)


@pytest.mark.parametrize("codec", ["none", "fp16", "int8"])
def test_the_expected_size_is_the_real_one(codec: str) -> None:
    tensor = torch.randn(4, 5, 6)
    payload, _ = CODER.encode(tensor, CodecId[codec.upper()], 1)
    assert len(payload) == encoded_bytes(codec, tensor.numel(), tensor.element_size())


@pytest.mark.parametrize(
    "layout",
    [
        Layout(Dtype.FLOAT32, (3,)),
        Layout(Dtype.FLOAT32, (2, 2), CodecId.FP16),
        Layout(Dtype.FLOAT32, (10,), CodecId.INT8),
        Layout(Dtype.NONE, (10,)),
    ],
)
def test_bytes_that_do_not_fit_are_refused(layout: Layout) -> None:
    with pytest.raises(WireError, match="does not decode"):
        CODER.decode(np.zeros(10, np.uint8), layout, 1)


def test_a_bottleneck_sends_its_code() -> None:
    """Two of four channels travel, one byte each; here the others are copies of them."""
    wide = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)
    narrow = wide[:2].T.copy() @ np.eye(2, 4, dtype=np.float32)
    pair = CodecPair(narrow, np.zeros(2, np.float32), wide,
                np.zeros(4, np.float32))  # fmt: skip
    coder = Coder({3: pair})
    half = torch.rand(2, 5, 5)
    features = torch.cat([half, half])
    payload, layout = coder.encode(features, CodecId.BOTTLENECK, 3)
    assert len(payload) == 8 + 2 * 25
    back = as_tensor(coder.decode(payload, layout, 3), layout.dtype)
    assert torch.allclose(back, features, atol=1 / 127)
    with pytest.raises(WireError, match="does not decode"):
        coder.decode(payload, layout, 2)
