"""What a network's blocks cost, found on the meta device: shapes and counts, no arithmetic."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mdibench.models.network import MultiExitNetwork
from mdibench.network.plan import BlockInfo, ModelInfo


def describe(network: MultiExitNetwork) -> ModelInfo:
    """FLOPs (a multiply-add counts two; convolutions and matrix products), parameters, shapes.

    Counts hold for one item; a block's include its exit head.
    """
    features = torch.empty((1, *network.input_shape), dtype=torch.uint8, device="meta")
    blocks = []
    for block, head in zip(network.blocks, network.heads, strict=True):
        info, features = _describe_block(_on_meta(block), _on_meta(head), features)
        blocks.append(info)
    size = features.new_empty(network.input_shape, dtype=torch.uint8).nbytes
    return ModelInfo(network.name, network.classes, network.input_shape, size, tuple(blocks))


def _describe_block(block: nn.Module, head: nn.Module, features: Tensor) -> tuple[BlockInfo, Tensor]:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        output = block(features)
        head(output)
    parameters = sum(p.numel() for part in (block, head) for p in part.parameters())
    shape = tuple(output.shape[1:])
    return BlockInfo(counter.get_total_flops(), parameters, shape, output[0].nbytes), output


def _on_meta(part: nn.Module) -> nn.Module:
    return copy.deepcopy(part).to("meta").eval()
