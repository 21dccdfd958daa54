"""Bottleneck: a learned linear encoder and decoder at each cut, and 8-bit numbers between them.

The feature map of block k, ``[C, H, W]``, becomes ``narrow`` < C channels by a 1 x 1 convolution,
then 8-bit integers with one scale per tensor; the receiver widens it again by another one. Both
are so small that numpy does them on the communicating thread. The pairs of a network's K - 1 cuts
lie in one safetensors file. After the autoencoder of "Early-Exit meets Model-Distributed
Inference at Edge Networks" (arXiv 2408.05247).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mdibench.errors import Problem, UserError
from mdibench.models.weights import FOLDER

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_SCALE = struct.Struct("<f")
_LARGEST = 127
PARTS = ("encoder", "encoder_bias", "decoder", "decoder_bias")


@dataclass(frozen=True, slots=True)
class Pair:
    """One cut: ``encoder`` ``[narrow, C]``, ``decoder`` ``[C, narrow]`` and their biases."""

    encoder: Floats
    encoder_bias: Floats
    decoder: Floats
    decoder_bias: Floats

    @property
    def narrow(self) -> int:
        """Channels that travel."""
        return len(self.encoder)

    def encode(self, features: Floats) -> Bytes:
        """The bytes of one feature map ``[C, H, W]``: a float32 scale and ``narrow`` x H x W."""
        flat = features.reshape(len(features), -1)
        code = self.encoder @ flat + self.encoder_bias[:, None]
        scale = float(np.abs(code).max()) / _LARGEST or 1.0
        out = np.empty(_SCALE.size + code.size, np.uint8)
        _SCALE.pack_into(out.data, 0, scale)
        out[_SCALE.size :].view(np.int8)[:] = np.rint(code / scale).reshape(-1)
        return out

    def decode(self, payload: Bytes, shape: Sequence[int]) -> Floats:
        """The feature map of ``shape`` behind ``payload``; ValueError where they do not fit."""
        if len(payload) != self.encoded_bytes(shape) or shape[0] != len(self.decoder):
            raise ValueError(f"{len(payload)} bytes are no code of a feature map {tuple(shape)}")
        (scale,) = _SCALE.unpack_from(payload.data)
        code = payload[_SCALE.size :].view(np.int8).reshape(self.narrow, -1).astype(np.float32)
        wide = self.decoder @ (scale * code) + self.decoder_bias[:, None]
        features: Floats = wide.reshape(tuple(shape)).astype(np.float32, copy=False)
        return features

    def encoded_bytes(self, shape: Sequence[int]) -> int:
        """Size of a feature map of ``shape`` on the wire, without headers."""
        return _SCALE.size + self.narrow * prod(shape[1:])


def narrow_channels(shape: Sequence[int], ratio: float) -> int:
    """Channels that make a float32 feature map of ``shape`` at least ``ratio`` times smaller."""
    positions = prod(shape[1:])
    return max(1, int((4 * prod(shape) / ratio - _SCALE.size) // positions))


def code_bytes(shape: Sequence[int], ratio: float) -> int:
    """Size on the wire of a feature map of ``shape`` behind a pair made for ``ratio``."""
    return _SCALE.size + narrow_channels(shape, ratio) * prod(shape[1:])


def packaged_pairs(network: str, ratio: float) -> Path:
    """Where the package keeps the pairs of ``network``, whether there are any or not."""
    return FOLDER / "bottleneck" / f"{network}-x{ratio:g}.safetensors"


def packaged_ratios(network: str) -> list[float]:
    """The ratios that the package keeps pairs of ``network`` for, ascending."""
    files = (FOLDER / "bottleneck").glob(f"{network}-x*.safetensors")
    return sorted(float(path.stem.rpartition("-x")[2]) for path in files)


def save_pairs(path: Path, pairs: Mapping[int, Pair], facts: Mapping[str, str]) -> None:
    """Write the pairs by cut (1 to K - 1) with ``facts`` in the metadata, atomically."""
    tensors = {
        f"cuts.{cut}.{part}": np.ascontiguousarray(getattr(pair, part), dtype=np.float32)
        for cut, pair in pairs.items()
        for part in PARTS
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, dict(facts))
    partial.chmod(0o644)  # safetensors makes files that only their owner can read
    partial.replace(path)


def load_pairs(
    network: str,
    ratio: float,
    file: str | None = None,
    cuts: Collection[int] | None = None,
    weights: str = "",
) -> dict[int, Pair]:
    """The pairs of ``network`` by cut; ``cuts`` limits what is read. ``file`` overrides ``ratio``.

    ``weights`` is the fingerprint of the network's weights file, where that is known.
    Raises UserError for a missing or damaged file, and for pairs of another network or of other
    weights, whose feature maps they would garble.
    """
    path = Path(file).expanduser() if file else packaged_pairs(network, ratio)
    if not path.is_file():
        remedy = f"train them: mdibench train {network} --bottleneck {ratio:g}"
        raise UserError(Problem("no such file of bottleneck pairs", str(path), remedy))
    try:
        with safe_open(path, "np") as opened:
            _check_network(path, opened.metadata() or {}, network, weights)
            return _read(opened, cuts)
    except (SafetensorError, OSError, KeyError, ValueError) as failure:
        what = f"damaged, or no bottleneck pairs ({failure})"
        raise UserError(Problem(what, str(path), "train or fetch the file again")) from failure


def _check_network(path: Path, facts: Mapping[str, str], network: str, weights: str) -> None:
    found = facts.get("network")
    if found != network:
        what = f"bottleneck pairs of network '{found}', not of '{network}'"
        raise UserError(Problem(what, str(path), "choose pairs that were trained with it"))
    if weights and facts.get("weights", weights) != weights:
        what = f"bottleneck pairs for other weights of '{network}'"
        remedy = "train some for yours (mdibench train --bottleneck), or set model.weights"
        raise UserError(Problem(what, str(path), remedy))


def _read(opened: Any, cuts: Collection[int] | None) -> dict[int, Pair]:
    present = sorted({int(name.split(".")[1]) for name in opened.keys()})  # noqa: SIM118
    return {
        cut: Pair(*(opened.get_tensor(f"cuts.{cut}.{part}") for part in PARTS))
        for cut in present
        if cuts is None or cut in cuts
    }
