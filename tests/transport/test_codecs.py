"""Codecs: exact, half or 8 bits, whatever the tensor's type, shape and memory layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mdibench.errors import WireError
from mdibench.transport.codecs import as_tensor, decode, encode, encoded_bytes
from mdibench.wire import CodecId, Dtype, Layout

DTYPES = [torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float32]
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def cross(tensor: torch.Tensor, codec: CodecId) -> torch.Tensor:
    """There and back."""
    payload, layout = encode(tensor, codec)
    return as_tensor(decode(payload.copy(), layout), layout.dtype)


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


def test_integers_travel_as_they_are() -> None:
    raw = torch.arange(12, dtype=torch.uint8).reshape(3, 2, 2)
    payload, layout = encode(raw, CodecId.INT8)
    assert (len(payload), layout.codec) == (12, CodecId.NONE)


@pytest.mark.parametrize("codec", ["none", "fp16", "int8"])
def test_the_expected_size_is_the_real_one(codec: str) -> None:
    tensor = torch.randn(4, 5, 6)
    payload, _ = encode(tensor, CodecId[codec.upper()])
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
        decode(np.zeros(10, np.uint8), layout)
