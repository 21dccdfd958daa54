"""Networks of a chosen cost, for measuring the harness rather than the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mdibench.models.network import MultiExitNetwork


class Scale(nn.Module):
    """Raw bytes to floats."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, 3, 32, 32]`` uint8 to float32."""
        return x.float() / 255


class Head(nn.Module):
    """Mean over the picture, then a linear classifier."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` to ``[N, 10]``."""
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def even_blocks() -> MultiExitNetwork:
    """Four blocks of the same cost, for a pipeline that can be cut in two equal halves.

    Block 1 normalises and widens the picture besides, a hundredth of its work.
    """
    torch.manual_seed(0)
    channels, depth = 48, 2
    blocks = []
    for index in range(4):
        first = [Scale(), nn.Conv2d(1, channels, 1)] if index == 0 else []
        layers = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)]
        blocks.append(nn.Sequential(*first, *layers))
    heads = [Head(channels) for _ in range(4)]
    return MultiExitNetwork("even-blocks", blocks, heads, (1, 32, 32), 10)


def ten_milliseconds() -> MultiExitNetwork:
    """Five blocks of plain convolutions: about MobileNetV2's time per item on a desktop core."""
    torch.manual_seed(0)
    channels, depth = 64, 7
    blocks = []
    for index in range(5):
        first = [Scale(), nn.Conv2d(1, channels, 3, padding=1)] if index == 0 else []
        layers = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)]
        blocks.append(nn.Sequential(*first, *layers))
    heads = [Head(channels) for _ in range(5)]
    return MultiExitNetwork("ten-milliseconds", blocks, heads, (1, 32, 32), 10)
