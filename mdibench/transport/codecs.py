"""Feature maps as bytes and back: what a codec costs in accuracy, it saves on the wire.

``none`` copies the tensor; ``fp16`` halves floats; ``int8`` maps floats linearly to 8 bits with one
scale per tensor. Integers (raw items) always travel as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from mdibench.errors import WireError
from mdibench.wire import CodecId, Dtype, Layout

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
_TORCH = {code: dtype for dtype, code in _DTYPES.items()}
_SCALE = struct.Struct("<f")


def encode(tensor: torch.Tensor, codec: CodecId) -> tuple[NDArray[np.uint8], Layout]:
    """The bytes of ``tensor`` (CPU) under ``codec`` and the layout that decodes them.

    With ``none`` the bytes are the tensor's own memory: copy them before it changes.
    """
    if not tensor.dtype.is_floating_point:
        codec = CodecId.NONE
    layout = Layout(_DTYPES[tensor.dtype], tuple(tensor.shape), codec)
    return _ENCODERS[codec](tensor.detach().contiguous()), layout


def decode(payload: NDArray[np.uint8], layout: Layout) -> torch.Tensor:
    """The tensor behind ``payload``; with ``none`` it shares that memory.

    Raises ``WireError`` when bytes and layout do not fit together.
    """
    try:
        dtype = _TORCH[layout.dtype]
        return _DECODERS[layout.codec](payload, dtype, layout.shape)
    except (KeyError, RuntimeError, ValueError, struct.error) as error:
        raise WireError(f"payload does not decode as {layout}: {error}") from None


def encoded_bytes(codec: str, elements: int, element_bytes: int) -> int:
    """Size of a floating-point tensor under ``codec``."""
    sizes = {
        "none": elements * element_bytes,
        "fp16": 2 * elements,
        "int8": elements + _SCALE.size,
    }
    return sizes[codec]


def _as_bytes(tensor: torch.Tensor) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = tensor.view(-1).view(torch.uint8).numpy()
    return array


def _from_bytes(
    payload: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]
) -> torch.Tensor:
    return torch.from_numpy(payload).view(dtype).view(shape)


def _encode_fp16(tensor: torch.Tensor) -> NDArray[np.uint8]:
    return _as_bytes(tensor.to(torch.float16))


def _decode_fp16(
    payload: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]
) -> torch.Tensor:
    return _from_bytes(payload, torch.float16, shape).to(dtype)


def _encode_int8(tensor: torch.Tensor) -> NDArray[np.uint8]:
    scale = float(tensor.abs().max()) / 127 or 1.0
    out = np.empty(_SCALE.size + tensor.numel(), np.uint8)
    _SCALE.pack_into(out.data, 0, scale)
    quantised = torch.from_numpy(out[_SCALE.size :]).view(torch.int8)
    torch.round(tensor.reshape(-1) / scale, out=(rounded := torch.empty(tensor.numel())))
    quantised.copy_(rounded)
    return out


def _decode_int8(
    payload: NDArray[np.uint8], dtype: torch.dtype, shape: tuple[int, ...]
) -> torch.Tensor:
    (scale,) = _SCALE.unpack_from(payload.data)
    quantised = _from_bytes(payload[_SCALE.size :], torch.int8, shape)
    return quantised.to(dtype).mul_(scale)


_ENCODERS: dict[CodecId, Callable[[torch.Tensor], NDArray[np.uint8]]] = {
    CodecId.NONE: _as_bytes,
    CodecId.FP16: _encode_fp16,
    CodecId.INT8: _encode_int8,
}
_DECODERS: dict[
    CodecId, Callable[[NDArray[np.uint8], torch.dtype, tuple[int, ...]], torch.Tensor]
] = {
    CodecId.NONE: _from_bytes,
    CodecId.FP16: _decode_fp16,
    CodecId.INT8: _decode_int8,
}
