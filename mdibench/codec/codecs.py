"""Encoding of feature maps as bytes, and decoding.

``none`` keeps the tensor's own bytes; ``fp16`` halves floats; ``int8`` maps floats linearly to 8
bits with one scale per tensor; ``bottleneck`` sends the code of a learned encoder and decoder pair
(``codec.bottleneck``). Integers (raw items) are never changed. Views are taken in numpy rather than
in torch, whose views cost microseconds each on this hot path.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mdibench.codec.bottleneck import CodecPair
from mdibench.core.wire import CodecId, Dtype, Layout
from mdibench.errors import WireError

Bytes: TypeAlias = NDArray[np.uint8]
Array: TypeAlias = NDArray[Any]
CODECS = {codec.name.lower(): codec for codec in CodecId}
_DTYPES = {
    torch.uint8: Dtype.UINT8,
    torch.float32: Dtype.FLOAT32,
    torch.float16: Dtype.FLOAT16,
    torch.bfloat16: Dtype.BFLOAT16,
    torch.int8: Dtype.INT8,
    torch.int64: Dtype.INT64,
    torch.float64: Dtype.FLOAT64,
}
_NUMPY: dict[Dtype, np.dtype[Any]] = {
    Dtype.UINT8: np.dtype(np.uint8),
    Dtype.FLOAT32: np.dtype(np.float32),
    Dtype.FLOAT16: np.dtype(np.float16),
    Dtype.BFLOAT16: np.dtype(np.int16),
    Dtype.INT8: np.dtype(np.int8),
    Dtype.INT64: np.dtype(np.int64),
    Dtype.FLOAT64: np.dtype(np.float64),
}
"""numpy has no bfloat16: its bits travel as int16."""
_SCALE = struct.Struct("<f")


class Coder:
    """Encodes and decodes feature maps; ``pairs[k]`` is the bottleneck after block k."""

    def __init__(self, pairs: Mapping[int, CodecPair] | None = None) -> None:
        self._pairs = pairs or {}

    def encode(self, tensor: torch.Tensor, codec: CodecId, cut: int) -> tuple[Bytes, Layout]:
        """The bytes of ``tensor`` (CPU), the feature map after block ``cut``, and their layout.

        With ``none`` they are the tensor's own memory: copy them before it changes. A tensor that
        is not contiguous is copied first.
        """
        dtype = _DTYPES[tensor.dtype]
        array = _array(tensor.contiguous())
        if not tensor.is_floating_point() or dtype is Dtype.BFLOAT16:
            codec = CodecId.NONE
        layout = Layout(dtype, array.shape, codec)
        if codec is CodecId.FP16:
            array = array.astype(np.float16)
        elif codec is CodecId.INT8:
            return _to_int8(array), layout
        elif codec is CodecId.BOTTLENECK:
            return self._pairs[cut].encode(array), layout
        return array.reshape(-1).view(np.uint8), layout

    def decode(self, payload: Bytes, layout: Layout, cut: int) -> Array:
        """The array in ``payload``, for ``as_tensor``; with ``none`` it shares that memory.

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


def as_tensor(array: Array, dtype: Dtype) -> torch.Tensor:
    """A tensor that shares the memory of ``array`` and keeps it alive."""
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype is Dtype.BFLOAT16 else tensor


def encoded_bytes(codec: str, elements: int, element_bytes: int) -> int:
    """Size of a floating-point tensor under ``codec``."""
    sizes = {
        "none": elements * element_bytes,
        "fp16": 2 * elements,
        "int8": elements + _SCALE.size,
    }
    return sizes[codec]


def _array(tensor: torch.Tensor) -> Array:
    array: Array = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _to_int8(array: Array) -> Bytes:
    scale = float(array.dtype.type(np.abs(array).max(initial=0.0) / 127)) or 1.0
    out = np.empty(_SCALE.size + array.size, np.uint8)
    _SCALE.pack_into(out.data, 0, scale)
    np.rint(array.reshape(-1) / array.dtype.type(scale), out=(rounded := np.empty(array.size)))
    out[_SCALE.size :].view(np.int8)[:] = rounded
    return out


def _from_int8(payload: Bytes, dtype: np.dtype[Any]) -> Array:
    (scale,) = _SCALE.unpack_from(payload.data)
    decoded: Array = payload[_SCALE.size :].view(np.int8).astype(dtype)
    decoded *= dtype.type(scale)
    return decoded
