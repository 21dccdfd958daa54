"""A training's state in one safetensors file: weights, optimizer state, epoch and seed. No pickle.

Tensors are named ``model.<name>`` and ``optimizer.<parameter>.<key>``; epoch and seed are text in
the file's metadata.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mdibench.errors import Problem, UserError


def write_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, seed: int
) -> None:
    """Write the state after ``epoch`` epochs; a crash leaves the previous file whole."""
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in state.items()}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(plain, partial, {"epoch": str(epoch), "seed": str(seed)})
    partial.replace(path)


def read_checkpoint(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, seed: int
) -> int:
    """Restore both in place; the number of epochs done. UserError if the file does not fit."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as failure:
        raise UserError(
            Problem("no checkpoint, or a damaged one", str(path), "name another file")
        ) from failure
    if metadata.get("seed") != str(seed):
        found = metadata.get("seed", "none")
        remedy = "delete it, or give its seed"
        raise UserError(Problem(f"checkpoint of seed {found}, not {seed}", str(path), remedy))
    try:
        module.load_state_dict(_below("model.", tensors))
    except RuntimeError as failure:
        remedy = "delete it, or choose another folder"
        raise UserError(Problem("checkpoint of another network", str(path), remedy)) from failure
    _restore(optimizer, _below("optimizer.", tensors))
    return int(metadata["epoch"])


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
