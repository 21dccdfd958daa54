"""Recordings: the outcome of a real network for every item at every exit.

With them simulations and emulated runs need no network: their accuracy and exits are real.

An item that a codec encoded after block 1 and not after block 2 may get another answer at exit 3
than one that was encoded after both, so the outcome of exit k is recorded for each set of the
k - 1 cuts before it: bit j - 1 of the set's number is set where the feature map of block j was
encoded. The recording also has the time that encoding and decoding one map took on this machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from mdibench.codec.codecs import CODECS, Coder
from mdibench.compute.engine import Hosted, RecordedEngine
from mdibench.compute.timing import time_calls
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.data.dataset import Split, load_evaluation
from mdibench.errors import Problem, UserError
from mdibench.models.evaluation import BATCH, ExitScores
from mdibench.models.packaged import network_key
from mdibench.network.plan import BlockInfo, ModelInfo
from mdibench.record.files import cache_folder, made_once, write_cached
from mdibench.training.calibration import confidences
from mdibench.training.scores import evaluation_scores, packaged_info

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

    def computed() -> dict[str, NDArray[np.float32]] | None:
        answers = _compute(model, codec, pairs, split)
        if answers is not None:
            _keep(path, answers)
        return answers

    stored = made_once(path, lambda: _read(path), computed)
    return None if stored is None else _judged(stored, split, model, temperatures)


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


# --- recordings ----------------------------------------------------------------------------------

Answers: TypeAlias = tuple[list[list[Any]], list[list[Any]]]
"""Predictions and confidences by exit, as plain lists, for ``RecordedEngine``."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """``predictions`` int64 and ``confidences`` float64, both ``[K, N]``, of N labelled items."""

    predictions: NDArray[np.int64]
    confidences: NDArray[np.float64]
    labels: NDArray[np.int64]
    originals: NDArray[np.int64] | None = None
    """As in ``Split``."""
    coded: CodedAnswers | None = None
    """The outcomes under the codec of the run's links, where these are known."""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``[K, N]``: whether exit k classifies an item correctly."""
        hits: NDArray[np.bool_] = self.predictions == self.labels
        return hits

    def lists(self) -> Answers:
        """Predictions and confidences for engines; of every set of encoded cuts where known."""
        if self.coded is None:
            return self.predictions.tolist(), self.confidences.tolist()
        predictions, confidences = self.coded.predictions, self.coded.confidences
        return [each.tolist() for each in predictions], [each.tolist() for each in confidences]

    def engine(
        self,
        model: ModelInfo,
        hosted: Hosted,
        maps: bool = False,
        encoded: Callable[[Task], int] | None = None,
        lists: Answers | None = None,
    ) -> RecordedEngine:
        """An engine that answers from these recordings for the blocks of ``hosted``.

        With ``maps`` its payloads are feature maps of zeros, for a run that sends them. ``encoded``
        tells the cuts at which a task's maps were encoded, where that is recorded; engines can
        share ``lists``.
        """
        inner = model.blocks[:-1]
        return RecordedEngine(
            *(lists or self.lists()),
            [*(block.output_bytes for block in inner), 0],
            hosted,
            [*(_zeros(block) for block in inner), None] if maps else (),
            encoded if self.coded is not None else None,
        )

    def compared(self, patience: bool) -> NDArray[np.float64]:
        """The values that are compared with thresholds, ``[K, N]``.

        With ``patience``, the number of heads in a row that agree / K.
        """
        if not patience:
            return self.confidences
        streaks = np.ones(self.predictions.shape)
        for k in range(1, len(streaks)):
            agrees = self.predictions[k] == self.predictions[k - 1]
            streaks[k] = np.where(agrees, streaks[k - 1] + 1, 1)
        return streaks / len(streaks)

    def exits(
        self, thresholds: Sequence[float], early_exit: bool = True, patience: bool = False
    ) -> NDArray[np.int64]:
        """The exit (from 1) that each item takes, ``[N]``."""
        limits = np.asarray(thresholds)[:, None]
        leaves = (self.compared(patience) >= limits) & (limits < 1) & early_exit
        leaves[-1] = True
        exits: NDArray[np.int64] = leaves.argmax(axis=0) + 1
        return exits


def _zeros(block: BlockInfo) -> NDArray[np.generic]:
    """A feature map of the right shape and size."""
    elements = prod(block.output_shape)
    return np.zeros(block.output_shape, f"f{block.output_bytes // elements}")


def record(
    model: ModelSection, temperatures: Sequence[float] = (), run_seed: int = 1
) -> Recordings:
    """The recordings of the configured network over a run's items.

    ``temperatures`` divide the logits of each exit (calibration). Raises UserError where network,
    weights or data are missing.
    """
    scores, originals = evaluation_scores(model, run_seed)
    scaled = confidences(scores, model.confidence, tuple(temperatures) or None)
    return Recordings(scores.logits.argmax(2), scaled.astype(np.float64), scores.labels, originals)


def recorded_in(profile: Path) -> Recordings:
    """The recordings in a folder that ``mdibench profile`` wrote."""
    from mdibench.record.profile import read_exits

    table = read_exits(profile)
    return Recordings(
        np.array(table.predictions, np.int64),
        np.array(table.confidences, np.float64),
        np.array(table.labels, np.int64),
    )


SPOT_CHECK = 8
"""Items on which a profile's answers are compared with the network's."""
MOST_CHANGED = 0.25
"""Share of them that an exit may classify otherwise: another machine rounds otherwise."""


def check_answers(model: ModelSection, known: Recordings, profile: Path) -> None:
    """Raise UserError where the network does not say any more what ``profile`` has recorded."""
    from mdibench.data.dataset import dataset_of
    from mdibench.models.inspection import answers
    from mdibench.models.registry import load_model

    count = len(known.labels)
    chosen = np.unique(np.linspace(0, count - 1, min(SPOT_CHECK, count)).astype(int))
    items = dataset_of(model).evaluation.inputs[chosen]
    said = answers(load_model(model), items).argmax(2)
    changed = (said != known.predictions[:, chosen]).mean(axis=1)
    if changed.max() > MOST_CHANGED:
        what = f"exit {int(changed.argmax()) + 1} of {model.name} answers otherwise now"
        remedy = "its code or weights have changed: profile it again"
        raise UserError(Problem(what, str(profile), remedy))


def packed(recordings: Recordings) -> bytes:
    """What the ranks of a run need of the recordings, as one message."""
    arrays: dict[str, NDArray[Any]] = {
        "predictions": recordings.predictions.astype(np.int32),
        "confidences": recordings.confidences.astype(np.float32),
    }
    if recordings.coded is not None:
        coded = recordings.coded
        for k, (classes, shares) in enumerate(
            zip(coded.predictions, coded.confidences, strict=True), 1
        ):
            arrays[f"coded_predictions{k}"] = classes.astype(np.int32)
            arrays[f"coded_confidences{k}"] = shares.astype(np.float32)
    message: bytes = save(arrays)
    return message


def unpacked(message: bytes) -> Recordings:
    """The reverse of ``packed``: recordings without labels."""
    arrays = load(message)
    return Recordings(
        arrays["predictions"].astype(np.int64),
        arrays["confidences"].astype(np.float64),
        np.empty(0, np.int64),
        coded=_coded(arrays),
    )


def _coded(arrays: dict[str, NDArray[Any]]) -> CodedAnswers | None:
    exits = sum(name.startswith("coded_predictions") for name in arrays)
    if not exits:
        return None
    classes = tuple(arrays[f"coded_predictions{k}"].astype(np.int64) for k in range(1, exits + 1))
    shares = tuple(arrays[f"coded_confidences{k}"].astype(np.float64) for k in range(1, exits + 1))
    return CodedAnswers(classes, shares, (), ())
