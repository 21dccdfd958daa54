"""Codecs: exact, half or 8 bits, whatever the feature map's type, shape and memory layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.codec.bottleneck import CodecPair
from mdibench.codec.codecs import BFLOAT16, Array, Coder, encoded_bytes
from mdibench.core.wire import CodecId, Dtype, Layout
from mdibench.errors import WireError

DTYPES = [np.uint8, np.int8, np.int64, np.float16, BFLOAT16, np.float32]
CODER = Coder()
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def cross(features: Array, codec: CodecId) -> Array:
    """There and back, as bytes in between."""
    payload, layout = CODER.encode(features, codec, 1)
    message = np.frombuffer(payload.tobytes(), np.uint8)
    return CODER.decode(message, layout, 1)


@given(shapes, st.sampled_from(DTYPES))
def test_none_is_exact(shape: list[int], dtype: np.dtype) -> None:
    bits = np.dtype(np.int16) if dtype is BFLOAT16 else np.dtype(dtype)
    features = (np.arange(np.prod(shape)) * 1.5 - 7).reshape(shape).astype(bits).view(dtype)
    back = cross(features, CodecId.NONE)
    assert back.dtype == features.dtype
    assert np.array_equal(back, features)


def test_strided_feature_maps_are_not_scrambled() -> None:
    picture = np.arange(24.0, dtype=np.float32).reshape(1, 2, 3, 4)
    channels_last = np.ascontiguousarray(picture.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for features in (picture.swapaxes(2, 3), channels_last, picture[:, :, ::2]):
        for codec in (CodecId.NONE, CodecId.FP16):
            assert np.array_equal(cross(features, codec), features)


@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=50))
def test_lossy_codecs_stay_within_their_step(values: list[float]) -> None:
    features = np.array(values, np.float32)
    largest = float(np.abs(features).max())
    assert np.allclose(cross(features, CodecId.FP16), features, rtol=1e-3, atol=1e-4)
    step = largest / 127
    assert np.abs(cross(features, CodecId.INT8) - features).max() <= step * 0.51 + 1e-6


def test_integers_travel_as_they_are() -> None:
    raw = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    payload, layout = CODER.encode(raw, CodecId.INT8, 1)
    assert (payload.nbytes, layout.codec) == (12, CodecId.NONE)


@pytest.mark.parametrize("codec", ["none", "fp16", "int8"])
def test_the_expected_size_is_the_real_one(codec: str) -> None:
    features = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    payload, _ = CODER.encode(features, CodecId[codec.upper()], 1)
    assert payload.nbytes == encoded_bytes(codec, features.size, features.itemsize)


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
    half = np.random.default_rng(1).random((2, 5, 5), np.float32)
    features = np.concatenate([half, half])
    payload, layout = coder.encode(features, CodecId.BOTTLENECK, 3)
    assert len(payload) == 8 + 2 * 25
    back = coder.decode(payload, layout, 3)
    assert np.allclose(back, features, atol=1 / 127)
    with pytest.raises(WireError, match="does not decode"):
        coder.decode(payload, layout, 2)


@pytest.mark.parametrize("codec", [CodecId.FP16, CodecId.INT8])
@pytest.mark.parametrize("value", [1e6, np.inf, np.nan])
def test_what_a_codec_cannot_hold_travels_as_it_is(codec: CodecId, value: float) -> None:
    features = np.array([1.0, value, -2.5], np.float32)
    coarse = 1e6 / 127 if codec is CodecId.INT8 and np.isfinite(value) else 0
    np.testing.assert_allclose(cross(features, codec), features, rtol=1e-3, atol=coarse)
    payload, layout = Coder().encode(features, codec, 1)
    holds = np.isfinite(value) if codec is CodecId.INT8 else not np.isfinite(value)
    assert layout.codec is (codec if holds else CodecId.NONE)
    assert payload.nbytes < 12 or not holds
