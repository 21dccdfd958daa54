"""Weights files: safetensors with metadata. Reading one never runs code.

Tensors are named ``blocks.<index>.<name>`` and ``heads.<index>.<name>``, index from 0; matrices and
kernels are stored in half precision where that holds their values, or as 8-bit integers with a
scale for each output channel (``<name>.scale``), everything else in float32. Names that
``DataParallel`` and ``torch.compile`` have wrapped are read too. The metadata name the network,
where it was cut, its number of classes, the data set, the seed, the accuracy of each exit, and a
checksum (CRC-32) of each block and head, which is verified when that part is read.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import shorten

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mdibench.errors import Problem, UserError
from mdibench.models.network import MultiExitNetwork
from mdibench.models.packaged import save_tensors
from mdibench.record.files import draft_of

CARD = ".md"
"""Suffix of the card beside a weights file."""
REMEDY = "fetch or train the file again"

SCALE = ".scale"
"""Ends the name of the scales, float32 ``[outputs]``, of a kernel that is stored in 8 bits."""
LARGEST_INT8 = 127
LONGEST_INDEX = 9
"""Digits of a block's number that count: no network has more blocks."""
_PART = re.compile(r"(?:(?:module|_orig_mod)\.)*(blocks|heads)\.(\d+)\.(.+)")
_WRAPPER = re.compile(r"(?<![^.])(?:module|_orig_mod)\.")
"""What DataParallel and torch.compile put before the names of the module that they wrap."""
HALF_ERROR = 2**-10
"""Share of a tensor's norm that half precision may cost; rounding alone costs half of it."""
log = logging.getLogger(__name__)


def make_place(path: Path) -> None:
    """Make sure that ``path`` can be written, before a long training.

    Raises OSError if it cannot, UserError for the name of its card.
    """
    if path.suffix == CARD:
        what = f"weights cannot be named *{CARD}: the card beside them has that suffix"
        raise UserError(Problem(what, str(path), f"{path.stem}.safetensors"))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    draft.touch()
    draft.unlink()


def save_weights(
    path: Path, network: MultiExitNetwork, facts: Mapping[str, str], eight_bit: bool = False
) -> None:
    """Write the network's weights with ``facts`` in the metadata, atomically.

    ``eight_bit``: kernels as 8-bit integers instead of half floats.
    """
    tensors: dict[str, Tensor] = {}
    metadata = {"network": network.name, "classes": str(network.classes), **facts}
    if network.cuts:
        metadata["cuts"] = json.dumps(network.cuts)
    for kind, parts in (("blocks", network.blocks), ("heads", network.heads)):
        for index, part in enumerate(parts):
            stored: dict[str, Tensor] = {}
            for name, value in part.state_dict().items():
                stored |= _in_8_bits(name, value) if eight_bit else {name: _stored(value)}
            metadata[f"crc32 {kind}.{index}"] = checksum(stored)
            tensors |= {f"{kind}.{index}.{name}": value for name, value in stored.items()}
    save_tensors(path, {name: value.numpy() for name, value in tensors.items()}, metadata)


def _stored(value: Tensor) -> Tensor:
    plain = value.detach().cpu()
    stored = plain.to(_stored_dtype(plain)).contiguous()
    if stored.dtype is torch.float16 and not _holds(stored.float(), plain.float()):
        return plain.float().contiguous()
    return stored


def _holds(half: Tensor, value: Tensor) -> bool:
    """Whether half precision has neither overflowed nor lost what is small."""
    return bool((half - value).norm() <= HALF_ERROR * value.norm())


def _in_8_bits(name: str, value: Tensor) -> dict[str, Tensor]:
    """A kernel as integers from -127 to 127 and a scale for each output; others as they are."""
    if _stored_dtype(value) != torch.float16:
        return {name: _stored(value)}
    kernel = value.detach().cpu().float()
    largest = kernel.flatten(1).abs().amax(1)
    scales = torch.where(largest > 0, largest / LARGEST_INT8, torch.ones_like(largest))
    whole = torch.round(kernel / _along_outputs(scales, kernel))
    return {name: whole.to(torch.int8).contiguous(), name + SCALE: scales}


def _along_outputs(scales: Tensor, kernel: Tensor) -> Tensor:
    return scales.view(-1, *(1,) * (kernel.ndim - 1))


def _widened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stored tensors with every 8-bit kernel and its scales made one float32 kernel again."""
    scaled = {name for name in tensors if name + SCALE in tensors}
    return {
        name: value.float() * _along_outputs(tensors[name + SCALE], value)
        if name in scaled
        else value
        for name, value in tensors.items()
        if name.removesuffix(SCALE) not in scaled or name in scaled
    }


def _stored_dtype(value: Tensor) -> torch.dtype:
    """How ``save_weights`` keeps a tensor of this kind and shape, if half precision holds it."""
    if not value.is_floating_point():
        return value.dtype
    return torch.float16 if value.ndim > 1 and value.numel() > 16 else torch.float32


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of the bytes of ``tensors``, sorted by name, as hexadecimal text."""
    value = 0
    for name in sorted(tensors):
        content = tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy()
        value = zlib.crc32(content.data, value)
    return f"{value:08x}"


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata; raises UserError if it is missing or not a safetensors file."""
    with _opened(path) as file:
        return file.metadata() or {}


def weights_cuts(path: Path) -> tuple[str, ...]:
    """Where the network was cut whose weights ``path`` has; empty where the file does not say."""
    try:
        return tuple(str(cut) for cut in json.loads(read_metadata(path).get("cuts", "[]")))
    except (UserError, ValueError, TypeError):  # what is wrong with it is said when it is loaded
        return ()


def load_weights(
    path: Path,
    network: MultiExitNetwork,
    blocks: Collection[int] | None = None,
    assign: bool = True,
) -> None:
    """Fill blocks and heads of ``network`` (numbered from 1; all of them by default) from ``path``.

    Only their tensors are read. With ``assign`` they become the parameters, for inference alone;
    without it, their values are copied.
    Raises UserError for a missing or damaged file, or weights of another network.
    """
    wanted = range(1, network.exits + 1) if blocks is None else blocks
    with _opened(path) as file:
        metadata = file.metadata() or {}
        _check_metadata(path, metadata, network)
        names = _names_by_part(file.keys())
        if not _has_exits(names):
            remedy = f"train its exits: mdibench train {network.name} --weights {path}"
            raise UserError(Problem("weights of a network without exits", str(path), remedy))
        _tell_wrapped(path, file.keys())
        for block in sorted(wanted):
            for kind, parts in (("blocks", network.blocks), ("heads", network.heads)):
                where = f"{kind}.{block - 1}"
                mine = names.get((kind, block - 1), {})
                own = _unwrapped(mine, parts[block - 1].state_dict())
                tensors = {name: _read(path, file, full) for name, full in own.items()}
                _check_scales(path, tensors, where)
                wide = _widened(tensors)
                _check_fits(path, parts[block - 1], wide, where)
                _check_content(path, parts[block - 1], tensors, where, metadata)
                _fill(parts[block - 1], wide, assign)


def continue_from(path: Path, network: MultiExitNetwork) -> None:
    """Fill ``network`` from ``path`` to train on: what is shared or frozen stays so.

    The file may also hold the whole network without exits, under its own names, as torchvision
    and timm have them: heads, and a classifier for other classes, then keep their values.
    Raises UserError for a missing or damaged file, or weights of another network.
    """
    with _opened(path) as file:
        names = _names_by_part(file.keys())
        whole = {} if _has_exits(names) else {n: n for n in file.keys()}  # noqa: SIM118
        if not whole:
            load_weights(path, network, assign=False)
            return
        taken: set[str] = set()
        for part in (*network.blocks, network.heads[-1]):
            expected = part.state_dict()
            own = {n: f for n, f in _unwrapped(whole, expected).items() if n in expected}
            tensors = {name: _read(path, file, full) for name, full in own.items()}
            fits = {n: v for n, v in tensors.items() if v.shape == expected[n].shape}
            part.load_state_dict(
                {n: v.to(expected[n].dtype) for n, v in fits.items()}, strict=False
            )
            taken |= {own[name] for name in fits}
    left = sorted(whole.keys() - taken)
    if not taken:
        raise UserError(
            Problem(f"weights of another network: it has no {left[0]}", str(path), REMEDY)
        )
    if left:
        log.warning("%s: %d tensors are not used (%s)", path, len(left), left[0])


def _check_content(
    path: Path, part: nn.Module, tensors: Mapping[str, Tensor], where: str, facts: Mapping[str, str]
) -> None:
    """Bytes by their checksum, and what they mean: the checksum knows no element types."""
    said = facts.get(f"crc32 {where}", "")
    if not said:
        return
    if said != checksum(tensors):
        raise UserError(Problem(f"damaged: checksum of {where}", str(path), REMEDY))
    for name, value in part.state_dict().items():
        kinds = (torch.int8,) if name + SCALE in tensors else (_stored_dtype(value), torch.float32)
        if tensors[name].dtype not in kinds:
            what = f"damaged: {where}.{name} is of type {tensors[name].dtype}"
            raise UserError(Problem(what, str(path), REMEDY))


def _check_scales(path: Path, tensors: Mapping[str, Tensor], where: str) -> None:
    """Each kernel in 8 bits needs as many scales as it has outputs."""
    for name, value in tensors.items():
        scales = tensors.get(name + SCALE)
        if scales is not None and (value.ndim < 1 or scales.shape != value.shape[:1]):
            what = f"damaged: {where}.{name} has {tuple(scales.shape)} scales"
            raise UserError(Problem(what, str(path), REMEDY))


def _opened(path: Path) -> safe_open:
    if not path.is_file():
        raise UserError(Problem("no such weights file", str(path), "check model.weights"))
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as failure:
        what = f"damaged, or not a safetensors file ({shorten(str(failure), 200)})"
        raise UserError(Problem(what, str(path), REMEDY)) from failure


def _check_metadata(path: Path, metadata: Mapping[str, str], network: MultiExitNetwork) -> None:
    """Raise UserError for weights of another network, as far as the file has metadata."""
    found = metadata.get("network", network.name)
    if found != network.name:
        what = f"weights of network '{found}', not of '{network.name}'"
        raise UserError(Problem(what, str(path), "set model.name or model.weights"))
    classes = metadata.get("classes", str(network.classes))
    if classes != str(network.classes):
        what = f"weights for {classes} classes, but the network has {network.classes}"
        raise UserError(Problem(what, str(path), "set model.dataset or model.weights"))
    cut_at = tuple(json.loads(metadata.get("cuts", "[]")))
    if cut_at and cut_at != network.cuts:
        what = f"weights of the network cut at {', '.join(cut_at)}, not at "
        what += ", ".join(network.cuts)
        raise UserError(Problem(what, str(path), "leave model.cuts out: the weights know them"))


def _names_by_part(names: Collection[str]) -> dict[tuple[str, int], dict[str, str]]:
    """(kind, index) -> {name within the part: name in the file}."""
    parts: dict[tuple[str, int], dict[str, str]] = {}
    for full in names:
        match = _PART.fullmatch(full)
        if match:
            key = (match[1], int(match[2][:LONGEST_INDEX]))
            parts.setdefault(key, {})[match[3]] = full
    return parts


def _has_exits(parts: Collection[tuple[str, int]]) -> bool:
    """Whether a file has heads; the whole network's own modules may be called blocks too."""
    return any(kind == "heads" for kind, _ in parts)


def _tell_wrapped(path: Path, names: Collection[str]) -> None:
    wrapped = next((n for n in names if _WRAPPER.match(n) or "_orig_mod." in n), "")
    if wrapped:
        log.warning("%s: names are read without module. and _orig_mod. (%s)", path, wrapped)


def _unwrapped(stored: Mapping[str, str], expected: Collection[str]) -> dict[str, str]:
    """``stored`` (name within the part -> name in the file) under the part's own names."""
    own = {_WRAPPER.sub("", name): name for name in expected}
    return {
        name if name in expected else own.get(_WRAPPER.sub("", name), name): full
        for name, full in stored.items()
    }


def _read(path: Path, file: safe_open, name: str) -> Tensor:
    try:
        value: Tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as failure:
        raise UserError(Problem(f"damaged tensor {name}", str(path), REMEDY)) from failure
    return value


def _check_fits(path: Path, part: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    expected = part.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    extra = sorted(tensors.keys() - expected.keys())
    if missing or extra:
        what = f"{where} lacks {missing[0]}" if missing else f"{where} has no {extra[0]}"
        raise UserError(Problem(f"weights of another network: {what}", str(path), REMEDY))
    for name, value in tensors.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)} instead of {tuple(expected[name].shape)}"
            what = f"weights of another network: {where}.{name} is {shapes}"
            raise UserError(Problem(what, str(path), REMEDY))
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UserError(Problem(f"{where}.{name} is not finite", str(path), REMEDY))


def _fill(part: nn.Module, tensors: dict[str, Tensor], assign: bool) -> None:
    full = {n: v.float() if v.is_floating_point() else v for n, v in tensors.items()}
    part.load_state_dict(full, assign=assign)
    if assign:
        part.eval().requires_grad_(False)
