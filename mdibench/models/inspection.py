"""A network tried on real items: what would make a run's figures wrong without a word.

``inspect`` runs every block and head twice, in a batch and item by item, and names the first part
that answers otherwise than a run relies on. ``network_digest`` names a network by its weights, its
source and its answers, so that nothing that is kept of it outlives a change of its code.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mdibench.config.schema import ModelSection
from mdibench.core.wire import MAX_DIMENSIONS, MAX_PATH
from mdibench.data.dataset import dataset_of
from mdibench.errors import Problem, UserError
from mdibench.models.evaluation import all_logits
from mdibench.models.network import MultiExitNetwork
from mdibench.models.registry import load_model

ITEMS = 4
"""Real items that a network is tried on."""
LARGEST_HALF = 65_504.0
"""The largest finite float16."""
CARRIED = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.uint8,
    torch.int8,
    torch.int64,
)
"""Element types of feature maps that a message can carry."""
ROUNDING = {torch.float16: 2e-2, torch.bfloat16: 5e-2}
"""Share of the largest value that the same answer may differ by; 1e-3 for longer floats."""


@dataclass(frozen=True, slots=True)
class Part:
    """A block or head, and how a message about it names it."""

    module: nn.Module
    kind: str
    number: int
    network: str

    @property
    def named(self) -> str:
        """E.g. ``block 2 of my:net``."""
        return f"{self.kind} {self.number} of {self.network}"

    def problem(self, what: str, remedy: str) -> UserError:
        """The one line about this part."""
        return UserError(Problem(f"{self.named} {what}", "model.name", remedy))


def inspect_model(model: ModelSection, codecs: Collection[str] = ()) -> None:
    """``inspect`` the configured network, as a run loads it, on items of its data set."""
    inspect(load_model(model), dataset_of(model).evaluation.spread(ITEMS), codecs)


def inspect(
    network: MultiExitNetwork, items: NDArray[np.uint8], codecs: Collection[str] = ()
) -> NDArray[np.float32]:
    """Try all blocks and heads on ``items`` ``[N, C, H, W]``; logits ``[K, N, classes]``.

    ``codecs`` are those that feature maps will travel under. Raises UserError for the first part
    that changes its input, answers differently when asked again or in a batch, gives what no
    message carries, or gives NaN.
    """
    if network.exits > MAX_PATH:
        what = f"{network.name} has {network.exits} blocks"
        remedy = f"join some: a message knows {MAX_PATH} at most"
        raise UserError(Problem(what, "model.name", remedy))
    logits = []
    features = torch.from_numpy(np.array(items))
    with torch.inference_mode():
        for number, (block, head) in enumerate(zip(network.blocks, network.heads, strict=True), 1):
            body = Part(block.eval(), "block", number, network.name)
            features = _tried(body, features)
            if number < network.exits:
                _check_carried(body, features, codecs)
            exit_head = Part(head.eval(), "head", number, network.name)
            logits.append(_tried(exit_head, features).float())
            _check_logits(exit_head, logits[-1])
    return torch.stack(logits).cpu().numpy()


def _tried(part: Part, given: Tensor) -> Tensor:
    """The answer of ``part``, once it is known to be the same every time."""
    kept = given.clone()
    first = _answer(part, given)
    _check_untouched(part, given, kept)
    if not _same(first, _answer(part, kept.clone()), 1e-5):
        remedy = "switch dropout and noise off in evaluation mode (self.training), keep no state"
        raise part.problem("answers differently when it is asked again", remedy)
    alone = [_answer(part, kept[at : at + 1].clone()) for at in range(len(kept))]
    _check_shapes(part, first, alone)
    if not _same(first, torch.cat(alone), ROUNDING.get(first.dtype, 1e-3)):
        remedy = "compute each item of a batch on its own, the batch as the first dimension"
        raise part.problem("answers differently for an item alone and in a batch", remedy)
    if first.is_floating_point() and not bool(first.isfinite().all()):
        what = "gives NaN" if bool(first.isnan().any()) else "gives infinite values"
        raise part.problem(what, "train it again, or check its weights and normalisation")
    return first.clone()


def _answer(part: Part, given: Tensor) -> Tensor:
    try:
        answer = part.module(given)
    except Exception as failure:  # user code may raise anything
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        what = f"failed on {given.dtype} {tuple(given.shape)}: {type(failure).__name__}: {first}"
        raise part.problem(what, "take batches of any size, in evaluation mode") from failure
    if not isinstance(answer, Tensor):
        raise part.problem(f"returned {type(answer).__name__}", "return one tensor")
    return answer


def _check_untouched(part: Part, given: Tensor, kept: Tensor) -> None:
    if _equal(given, kept):
        return
    whose = "items" if part.kind == "block" and part.number == 1 else "feature maps"
    remedy = f"others still need these {whose}: no inplace=True and no x.op_() on what it is given"
    raise part.problem("changes its input in place", remedy)


def _check_shapes(part: Part, batch: Tensor, alone: Sequence[Tensor]) -> None:
    """Every item must give the same type and shape, alone or in a batch."""
    expected = (1, *batch.shape[1:])
    if batch.ndim == 0 or len(batch) != len(alone):
        what = f"gives {tuple(batch.shape)} for {len(alone)} items"
        raise part.problem(what, "give one answer for each item, as the first dimension")
    for answer in alone:
        if tuple(answer.shape) != expected or answer.dtype != batch.dtype:
            what = f"gives {_form(answer)} for one item and {_form(alone[0])} for another"
            if _form(answer) == _form(alone[0]):
                what = f"gives {_form(answer)} for one item and {_form(batch)} for {len(alone)}"
            raise part.problem(what, "give the same type and shape whatever the items")


def _form(answer: Tensor) -> str:
    return f"{str(answer.dtype).removeprefix('torch.')} {tuple(answer.shape)}"


def _check_carried(part: Part, features: Tensor, codecs: Collection[str]) -> None:
    """Raise UserError for a feature map that no message carries, or its codec cannot."""
    kind = str(features.dtype).removeprefix("torch.")
    if features.dtype not in CARRIED:
        types = ", ".join(str(known).removeprefix("torch.") for known in CARRIED)
        raise part.problem(f"gives {kind}, which no message carries", f"give one of {types}")
    shape = tuple(features.shape[1:])
    if not 1 <= len(shape) <= MAX_DIMENSIONS or 0 in shape:
        what = f"gives feature maps {shape}, which no message carries"
        raise part.problem(what, f"give 1 to {MAX_DIMENSIONS} dimensions, none of them 0")
    largest = float(features.abs().max()) if features.is_floating_point() else 0.0
    if "fp16" in codecs and largest > LARGEST_HALF:
        what = f"gives values up to {largest:.3g}, and float16 ends at {LARGEST_HALF:g}"
        raise part.problem(what, 'set transport.codec to "none" or "int8"')


def _check_logits(part: Part, logits: Tensor) -> None:
    """Raise UserError for probabilities: their softmax would be hardly more than a guess."""
    if logits.shape[-1] < 2 or bool((logits < 0).any()):
        return
    if bool(((logits.sum(-1) - 1).abs() < 1e-4).all()):
        raise part.problem("gives probabilities", "give logits: leave its softmax out")


def _same(one: Tensor, other: Tensor, share: float) -> bool:
    if one.shape != other.shape:
        return True  # said by ``_check_shapes``
    if not one.is_floating_point():
        return _equal(one, other)
    scale = float(one.abs().nan_to_num(posinf=0.0).max()) if one.numel() else 0.0
    return torch.allclose(one.double(), other.double(), share, share * scale, equal_nan=True)


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.is_floating_point():
        one, other = one.nan_to_num(), other.nan_to_num()
    return torch.equal(one, other)


# --- what a network is called by what is kept of it ----------------------------------------------


def users_digest(model: ModelSection) -> str:
    """``network_digest`` of the configured network on items of its data set."""
    return network_digest(load_model(model), dataset_of(model).evaluation.spread(ITEMS))


def network_digest(network: MultiExitNetwork, items: NDArray[np.uint8]) -> str:
    """A name that changes with the weights, the source or the answers on ``items``."""
    digest = hashlib.sha256(f"{network.name} {network.cuts} {torch.__version__}".encode())
    for part in (*network.blocks, *network.heads):
        digest.update(repr(part).encode())
        for name, value in part.state_dict().items():
            digest.update(name.encode())
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(plain.numpy().data)
    for source in source_files(network):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    digest.update(_rounded(answers(network, items)).tobytes())
    return digest.hexdigest()


def source_files(network: MultiExitNetwork) -> list[Path]:
    """The files that define the network's modules, and the user's own; torch's are left out."""
    modules = {
        type(module).__module__
        for part in (*network.blocks, *network.heads)
        for module in part.modules()
    }
    named = [*modules, network.name.partition(":")[0]]
    files = {
        getattr(sys.modules.get(name), "__file__", None)
        for name in named
        if name.partition(".")[0] != "torch"
    }
    return sorted(Path(file) for file in files if file)


def answers(network: MultiExitNetwork, items: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of every exit, ``[K, N, classes]``."""
    with torch.inference_mode():
        logits = all_logits(network, torch.from_numpy(np.array(items)))
        return torch.stack([each.float() for each in logits]).cpu().numpy()


def _rounded(logits: NDArray[Any]) -> NDArray[Any]:
    """To three digits of each exit's largest: other kernels or threads change later ones."""
    scale = np.abs(np.nan_to_num(logits)).max(axis=(1, 2), keepdims=True)
    rounded: NDArray[Any] = np.round(np.nan_to_num(logits) / np.maximum(scale, 1e-30), 3)
    return rounded + 0.0  # no negative zeros
