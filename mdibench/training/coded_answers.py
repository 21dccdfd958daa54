"""What a network answers when a codec has encoded its feature maps on the way.

An item that crosses a link after block 1 and not after block 2 may get another answer at exit 3
than one that crosses both, so the outcome of exit k is recorded for each set of the k - 1 cuts
before it: bit j - 1 of the set's number is set where the feature map of block j was encoded. The
recording also has the time that encoding and decoding one map took on this machine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mdibench.codec.codecs import CODECS, Coder
from mdibench.compute.timing import time_calls
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import Split
from mdibench.data.registry import load_evaluation
from mdibench.models.evaluation import BATCH, ExitScores
from mdibench.models.packaged import network_key
from mdibench.record.files import cache_folder, write_cached
from mdibench.training.calibration import confidences
from mdibench.training.packed_scores import packaged_info

if TYPE_CHECKING:
    from torch import Tensor

MOST_EXITS = 6
"""Of a network that is recorded in this way: each further exit doubles the work."""
TIMED_CALLS = 20
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CodedAnswers:
    """``predictions[k-1]`` int64 and ``confidences[k-1]`` float64, ``[2**(k-1), N]``.

    ``encode_s[j-1]`` and ``decode_s[j-1]`` are the median seconds of the map of block j.
    """

    predictions: tuple[NDArray[np.int64], ...]
    confidences: tuple[NDArray[np.float64], ...]
    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]


def coded_answers(
    model: ModelSection,
    codec: str,
    pairs: Path | None = None,
    temperatures: Sequence[float] = (),
    run_seed: int = 1,
) -> CodedAnswers | None:
    """The answers of the configured network under ``codec``, from the cache where they are there.

    ``pairs`` is the file of a bottleneck. None for a network whose weights are not at hand, or
    with more than ``MOST_EXITS`` exits.
    """
    if packaged_info(model) is not None:
        return None
    split = load_evaluation(model, run_seed)
    key = network_key(model, split.digest(), codec, Path(__file__), *([pairs] if pairs else []))
    path = cache_folder() / "scores" / f"{key}.npz"
    stored = _read(path)
    if stored is None:
        computed = _compute(model, codec, pairs, split)
        if computed is None:
            return None
        stored = computed
        _keep(path, stored)
    return _judged(stored, split, model, temperatures)


def _judged(
    stored: dict[str, NDArray[np.float32]],
    split: Split,
    model: ModelSection,
    temperatures: Sequence[float],
) -> CodedAnswers:
    exits = sum(name.startswith("logits") for name in stored)
    by_exit = [stored[f"logits{k}"] for k in range(1, exits + 1)]
    judged = []
    for k, logits in enumerate(by_exit):
        scale = (temperatures[k],) * len(logits) if temperatures else None
        judged.append(confidences(ExitScores(logits, split.labels), model.confidence, scale))
    return CodedAnswers(
        tuple(logits.argmax(2) for logits in by_exit),
        tuple(each.astype(np.float64) for each in judged),
        tuple(stored["encode_s"].tolist()),
        tuple(stored["decode_s"].tolist()),
    )


def _compute(
    model: ModelSection, codec: str, pairs: Path | None, split: Split
) -> dict[str, NDArray[np.float32]] | None:
    """Logits of every exit for every set of encoded cuts, and the codec's times."""
    import torch

    from mdibench.codec.bottleneck import pairs_from_bytes
    from mdibench.models.registry import load_model

    network = load_model(model)
    if network.exits > MOST_EXITS:
        log.info("%d exits are too many to record the codec %s", network.exits, codec)
        return None
    log.info("recording the codec %s at the cuts, once for this network", codec)
    way = _Way(Coder(pairs_from_bytes(pairs.read_bytes()) if pairs else None), codec)
    parts: list[list[NDArray[np.float32]]] = [[] for _ in network.blocks]
    with torch.inference_mode():
        for start in range(0, len(split), BATCH):
            maps = [torch.from_numpy(split.inputs[start : start + BATCH])]
            for k, (block, head) in enumerate(zip(network.blocks, network.heads, strict=True), 1):
                computed = [block(each) for each in maps]
                parts[k - 1].append(np.stack([head(each).float().numpy() for each in computed]))
                last = k == network.exits
                maps = computed if last else computed + [way.across(m, k) for m in computed]
        times = [way.times(k) for k in range(1, network.exits)]
    found = {f"logits{k}": np.concatenate(part, axis=1) for k, part in enumerate(parts, 1)}
    found["encode_s"] = np.array([encode_s for encode_s, _ in times], np.float32)
    found["decode_s"] = np.array([decode_s for _, decode_s in times], np.float32)
    return found


class _Way:
    """The way over a link: every feature map is encoded and decoded on its own."""

    def __init__(self, coder: Coder, codec: str) -> None:
        self.coder = coder
        self.codec = CODECS[codec]
        self.last: dict[int, NDArray[np.float32]] = {}

    def across(self, maps: Tensor, cut: int) -> Tensor:
        """``maps`` ``[N, C, H, W]`` as the receivers decode them."""
        import torch

        arrays = maps.numpy()
        self.last[cut] = arrays[0]
        return torch.from_numpy(np.stack([self._once(array, cut) for array in arrays]))

    def _once(self, array: NDArray[np.float32], cut: int) -> NDArray[np.float32]:
        payload, layout = self.coder.encode(array, self.codec, cut)
        plain = np.ascontiguousarray(payload).reshape(-1).view(np.uint8)
        decoded: NDArray[np.float32] = self.coder.decode(plain, layout, cut)
        return decoded

    def times(self, cut: int) -> tuple[float, float]:
        """Median seconds to encode and to decode one map of this cut."""
        array = self.last[cut]
        payload, layout = self.coder.encode(array, self.codec, cut)
        plain = np.ascontiguousarray(payload).reshape(-1).view(np.uint8)
        encode = time_calls(lambda: self.coder.encode(array, self.codec, cut), TIMED_CALLS)
        decode = time_calls(lambda: self.coder.decode(plain, layout, cut), TIMED_CALLS)
        return encode.median_s, decode.median_s


def _read(path: Path) -> dict[str, NDArray[np.float32]] | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile):
        return None


def _keep(path: Path, arrays: dict[str, NDArray[np.float32]]) -> None:
    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_cached(path, write)
