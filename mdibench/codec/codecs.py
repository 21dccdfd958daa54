"""Encoding of feature maps as bytes, and decoding.

``none`` keeps the elements' own bytes; ``fp16`` halves floats; ``int8`` maps floats linearly to 8
bits with one scale per feature map. A map with values that ``fp16`` or ``int8`` cannot hold travels
as it is, and its layout says so; ``bottleneck`` sends the code of a learned encoder and decoder
pair (``codec.bottleneck``). Integers (raw items) are never changed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdibench.codec.bottleneck import CodecPair
from mdibench.core.wire import HEADER_BYTES, CodecId, Dtype, Layout
from mdibench.errors import WireError
from mdibench.network.plan import BlockInfo, ModelInfo

Bytes: TypeAlias = NDArray[np.uint8]
Array: TypeAlias = NDArray[Any]
BFLOAT16 = np.dtype([("bfloat16", np.int16)])
"""numpy has no bfloat16: its bits, under a type that differs from int16."""
CODECS = {codec.name.lower(): codec for codec in CodecId}
_NUMPY: dict[Dtype, np.dtype[Any]] = {
    Dtype.UINT8: np.dtype(np.uint8),
    Dtype.FLOAT32: np.dtype(np.float32),
    Dtype.FLOAT16: np.dtype(np.float16),
    Dtype.BFLOAT16: BFLOAT16,
    Dtype.INT8: np.dtype(np.int8),
    Dtype.INT64: np.dtype(np.int64),
    Dtype.FLOAT64: np.dtype(np.float64),
}
_DTYPES = {numpy_type: dtype for dtype, numpy_type in _NUMPY.items()}
_SCALE = struct.Struct("<f")


class Received(np.ndarray[Any, np.dtype[Any]]):
    """A feature map in a receive buffer.

    numpy lets a view of a plain view refer to the buffer alone; views of this type refer to the
    feature map, which so outlives them. It stays here, in a module that is not compiled: mypyc does
    not know how numpy lays its arrays out.
    """


class Coder:
    """Encodes and decodes feature maps; ``pairs[k]`` is the bottleneck after block k."""

    def __init__(self, pairs: Mapping[int, CodecPair] | None = None) -> None:
        self._pairs = pairs or {}

    def encode(self, features: Array, codec: CodecId, cut: int) -> tuple[Array, Layout]:
        """The encoded ``features``, the feature map after block ``cut``, and its layout.

        With ``none`` that is the array itself, with any strides: the message has the bytes of its
        elements in C order.
        """
        dtype = _DTYPES[features.dtype]
        if features.dtype.kind != "f":
            codec = CodecId.NONE
        layout = Layout(dtype, features.shape, codec)
        if codec in _SHORTENERS:
            short = _SHORTENERS[codec](features)
            return (
                (short, layout)
                if short is not None
                else (features, replace(layout, codec=CodecId.NONE))
            )
        if codec is CodecId.BOTTLENECK:
            return self._pairs[cut].encode(np.ascontiguousarray(features)), layout
        return features, layout

    def decode(self, payload: Bytes, layout: Layout, cut: int) -> Array:
        """The feature map in ``payload``; with ``none`` it shares that memory.

        Raises WireError if bytes and layout do not match.
        """
        try:
            dtype = _NUMPY[layout.dtype]
            if layout.codec is CodecId.BOTTLENECK:
                return self._pairs[cut].decode(payload, layout.shape)
            if layout.codec is CodecId.INT8:
                return _from_int8(payload, dtype).reshape(layout.shape)
            if layout.codec is CodecId.FP16:
                return payload.view(np.float16).astype(dtype).reshape(layout.shape)
            return payload.view(dtype).reshape(layout.shape)
        except (KeyError, ValueError, struct.error) as error:
            raise WireError(f"payload does not decode as {layout}: {error}") from None


def encoded_bytes(codec: str, elements: int, element_bytes: int) -> int:
    """Size of a floating-point feature map under ``codec``."""
    sizes = {
        "none": elements * element_bytes,
        "fp16": 2 * elements,
        "int8": elements + _SCALE.size,
    }
    return sizes[codec]


def _to_float16(array: Array) -> Array | None:
    """None where a value is beyond float16's."""
    try:
        with np.errstate(over="raise"):
            return array.astype(np.float16)
    except FloatingPointError:
        return None


def _to_int8(array: Array) -> Bytes | None:
    """None where a value is infinite."""
    scale = float(array.dtype.type(np.abs(array).max(initial=0.0) / 127)) or 1.0
    if not math.isfinite(scale):
        return None
    out = np.empty(_SCALE.size + array.size, np.uint8)
    _SCALE.pack_into(out.data, 0, scale)
    np.rint(array.reshape(-1) / array.dtype.type(scale), out=(rounded := np.empty(array.size)))
    out[_SCALE.size :].view(np.int8)[:] = rounded
    return out


_SHORTENERS: Mapping[CodecId, Callable[[Array], Array | None]] = {
    CodecId.FP16: _to_float16,
    CodecId.INT8: _to_int8,
}


def _from_int8(payload: Bytes, dtype: np.dtype[Any]) -> Array:
    (scale,) = _SCALE.unpack_from(payload.data)
    decoded: Array = payload[_SCALE.size :].view(np.int8).astype(dtype)
    decoded *= dtype.type(scale)
    return decoded


# --- sizes ---------------------------------------------------------------------------------------

USUAL_RATIO = 8.0
"""Ratio of the codec ``bottleneck`` by default."""


def task_bytes(model: ModelInfo, codec: str, bottleneck: float = USUAL_RATIO) -> tuple[int, ...]:
    """Size of a message with τ_k under ``codec``, header included, for each block k.

    τ_1 carries the raw item, which no codec changes; τ_k the feature map of block k - 1.
    ``bottleneck`` is how many times smaller the codec of that name makes a feature map.
    """
    features = [_feature_bytes(block, codec, bottleneck) for block in model.blocks[:-1]]
    return tuple(HEADER_BYTES + size for size in (model.input_bytes, *features))


def _feature_bytes(block: BlockInfo, codec: str, bottleneck: float) -> int:
    elements = prod(block.output_shape)
    if codec == "none" or not elements:
        return block.output_bytes
    if codec == "bottleneck":
        from mdibench.codec.bottleneck import code_bytes

        return code_bytes(block.output_shape, bottleneck)
    # SELF

    return encoded_bytes(codec, elements, block.output_bytes // elements)
