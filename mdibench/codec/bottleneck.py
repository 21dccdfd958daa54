"""The codec ``bottleneck``: a learned linear encoder and decoder at each cut, with few bits.

A 1 x 1 convolution reduces the feature map of block k, ``[C, H, W]``, to ``narrow`` < C channels,
which are quantised to 4 bits (8 for ratios below 8) between the least and the largest value of the
tensor; the receiver's convolution restores C channels. Both are small enough for numpy on the
communicating thread. At equal size, many coarse channels carry more than few fine ones.
The pairs of a network's K - 1 cuts are in one safetensors file. After the autoencoder of
"Early-Exit meets Model-Distributed Inference at Edge Networks" (arXiv 2408.05247).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mdibench.errors import Problem, UserError
from mdibench.models.packaged import FOLDER, save_tensors

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_RANGE = struct.Struct("<ff")
"""The least value of the code, and the step between two levels."""
PARTS = ("encoder", "encoder_bias", "decoder", "decoder_bias")


@dataclass(frozen=True, slots=True)
class CodecPair:
    """One cut: ``encoder`` ``[narrow, C]``, ``decoder`` ``[C, narrow]`` and their biases."""

    encoder: Floats
    encoder_bias: Floats
    decoder: Floats
    decoder_bias: Floats
    bits: int = 8
    """Bits per quantised value: 8 or 4."""

    @property
    def narrow(self) -> int:
        """Channels of the code."""
        return len(self.encoder)

    def encode(self, features: Floats) -> Bytes:
        """The bytes of one feature map ``[C, H, W]``: its range and ``narrow`` x H x W values."""
        flat = features.reshape(len(features), -1)
        code = self.encoder @ flat + self.encoder_bias[:, None]
        low, high = float(code.min()), float(code.max())
        step = (high - low) / (2**self.bits - 1) or 1.0
        out = np.empty(self.encoded_bytes(features.shape), np.uint8)
        _RANGE.pack_into(out.data, 0, low, step)
        out[_RANGE.size :] = _packed(np.rint((code - low) / step), self.bits)
        return out

    def decode(self, payload: Bytes, shape: Sequence[int]) -> Floats:
        """The feature map of ``shape`` from ``payload``; raises ValueError for a wrong size."""
        if len(payload) != self.encoded_bytes(shape) or shape[0] != len(self.decoder):
            raise ValueError(
                f"{len(payload)} bytes are not the code of a feature map {tuple(shape)}"
            )
        low, step = _RANGE.unpack_from(payload.data)
        numbers = _unpacked(payload[_RANGE.size :], self.bits)[: self.narrow * prod(shape[1:])]
        code = numbers.reshape(self.narrow, -1) * np.float32(step) + np.float32(low)
        wide = self.decoder @ code + self.decoder_bias[:, None]
        features: Floats = wide.reshape(tuple(shape)).astype(np.float32, copy=False)
        return features

    def encoded_bytes(self, shape: Sequence[int]) -> int:
        """Size of a feature map of ``shape`` on the wire, without headers."""
        return _size(self.narrow, self.bits, shape)


def bits_for(ratio: float) -> int:
    """Bits per value for a code ``ratio`` times smaller than a float32 feature map."""
    return 4 if ratio >= 8 else 8


def narrow_channels(shape: Sequence[int], ratio: float) -> int:
    """Most channels with which the code of ``shape`` is ``ratio`` times smaller or more."""
    bits_of_a_channel = bits_for(ratio) * prod(shape[1:])
    return max(1, int(8 * (4 * prod(shape) / ratio - _RANGE.size) // bits_of_a_channel))


def code_bytes(shape: Sequence[int], ratio: float) -> int:
    """Size on the wire of a feature map of ``shape`` under a pair made for ``ratio``."""
    return _size(narrow_channels(shape, ratio), bits_for(ratio), shape)


def _size(channels: int, bits: int, shape: Sequence[int]) -> int:
    return _RANGE.size + ceil(channels * prod(shape[1:]) * bits / 8)


def _packed(numbers: Floats, bits: int) -> Bytes:
    """Integers as bytes: one per byte, or two with 4 bits, the first in the lower half."""
    flat = numbers.astype(np.uint8).reshape(-1)
    if bits == 8:
        return flat
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    pairs: Bytes = flat[::2] + np.uint8(16) * flat[1::2]
    return pairs


def _unpacked(payload: Bytes, bits: int) -> Floats:
    """The reverse of ``_packed``; an odd number of 4-bit values gives one extra."""
    if bits == 8:
        return payload.astype(np.float32)
    numbers = np.empty(2 * payload.size, np.float32)
    numbers[::2] = payload & 15
    numbers[1::2] = payload >> 4
    return numbers


def packaged_pairs(network: str, ratio: float) -> Path:
    """The package's file for the pairs of ``network``, whether it exists or not."""
    return FOLDER / "bottleneck" / f"{network}-x{ratio:g}.safetensors"


def packaged_ratios(network: str) -> list[float]:
    """The ratios for which the package has pairs of ``network``, ascending."""
    files = (FOLDER / "bottleneck").glob(f"{network}-x*.safetensors")
    return sorted(float(path.stem.rpartition("-x")[2]) for path in files)


def save_pairs(path: Path, pairs: Mapping[int, CodecPair], facts: Mapping[str, str]) -> None:
    """Write the pairs by cut (1 to K - 1) with ``facts`` in the metadata, atomically.

    All pairs of a file have the same number of bits.
    """
    tensors = {
        f"cuts.{cut}.{part}": np.ascontiguousarray(getattr(pair, part), dtype=np.float32)
        for cut, pair in pairs.items()
        for part in PARTS
    }
    (bits,) = {pair.bits for pair in pairs.values()}
    save_tensors(path, tensors, {**facts, "bits": str(bits)})


def load_pairs(
    network: str,
    ratio: float,
    file: str | None = None,
    cuts: Collection[int] | None = None,
    weights: str = "",
) -> dict[int, CodecPair]:
    """The pairs of ``network`` by cut; ``cuts`` limits what is read. ``file`` overrides ``ratio``.

    ``weights`` is the fingerprint of the network's weights file, if known.
    Raises UserError for a missing or damaged file, and for pairs of another network or of other
    weights.
    """
    path = pairs_file(network, ratio, file)
    if not path.is_file():
        remedy = f"train them: mdibench train {network} --bottleneck {ratio:g}"
        raise UserError(Problem("no such file of bottleneck pairs", str(path), remedy))
    try:
        with safe_open(path, "np") as opened:
            facts = opened.metadata() or {}
            _check_network(path, facts, network, weights)
            return _read(opened, int(facts["bits"]), cuts)
    except (SafetensorError, OSError, KeyError, ValueError) as failure:
        what = f"damaged, or not a file of bottleneck pairs ({failure})"
        raise UserError(Problem(what, str(path), "train or fetch the file again")) from failure


def pairs_file(network: str, ratio: float, file: str | None) -> Path:
    """``file`` where it is given, else where the package keeps the pairs for ``ratio``."""
    return Path(file).expanduser() if file else packaged_pairs(network, ratio)


def pairs_from_bytes(content: bytes) -> dict[int, CodecPair]:
    """The pairs in the bytes of a file that has been checked."""
    with NamedTemporaryFile() as copy:
        copy.write(content)
        copy.flush()
        with safe_open(copy.name, "np") as opened:
            return _read(opened, int(opened.metadata()["bits"]), None)


def _check_network(path: Path, facts: Mapping[str, str], network: str, weights: str) -> None:
    found = facts.get("network")
    if found != network:
        what = f"bottleneck pairs of network '{found}', not of '{network}'"
        raise UserError(Problem(what, str(path), "choose pairs that were trained with it"))
    if weights and facts.get("weights", weights) != weights:
        what = f"bottleneck pairs for other weights of '{network}'"
        remedy = "train some for yours (mdibench train --bottleneck), or set model.weights"
        raise UserError(Problem(what, str(path), remedy))


def _read(opened: Any, bits: int, cuts: Collection[int] | None) -> dict[int, CodecPair]:
    present = sorted({int(name.split(".")[1]) for name in opened.keys()})  # noqa: SIM118
    return {
        cut: CodecPair(
            **{part: opened.get_tensor(f"cuts.{cut}.{part}") for part in PARTS}, bits=bits
        )
        for cut in present
        if cuts is None or cut in cuts
    }
