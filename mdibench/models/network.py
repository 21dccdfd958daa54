"""``MultiExitNetwork``, the form of all networks, and the layers that ours share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class MultiExitNetwork:
    """K blocks and K heads, in order; the last head is the network's own classifier.

    Block 1 takes raw items as uint8 ``[N, C, H, W]`` and normalises them itself, so that raw items
    are sent as bytes; block k takes the feature map of block k-1. Head k takes the feature map of
    block k and gives logits ``[N, classes]``.
    """

    name: str
    blocks: Sequence[nn.Module]
    heads: Sequence[nn.Module]
    input_shape: tuple[int, ...]
    """``(C, H, W)`` of one raw item, uint8."""
    classes: int
    cuts: tuple[str, ...] = ()
    """Where a whole network was cut (``models.cutting``); empty for one made in blocks."""

    @property
    def exits(self) -> int:
        """K."""
        return len(self.blocks)


# --- layers --------------------------------------------------------------------------------------

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of each colour of CIFAR-10's training items, scaled to [0, 1]."""


class Normalise(nn.Module):
    """Raw pixels 0..255, uint8 or float, ``[N, C, H, W]`` to zero mean and unit variance."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """``mean`` and ``std`` per channel, for pixels scaled to [0, 1]."""
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).view(1, -1, 1, 1)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Float pixels of the same shape."""
        return (pixels - self.mean) * self.scale


def conv_unit(source: int, target: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias (same padding), batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(source, target, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(target),
        nn.ReLU(),
    )


class PooledHead(nn.Module):
    """Exit head: average pooling to ``grid`` x ``grid`` and one linear layer.

    ``[N, C, H, W] -> [N, classes]``; H and W must be multiples of ``grid``. A grid of 1 is global
    average pooling; a finer one keeps some spatial information for a shallow exit.
    """

    def __init__(self, channels: int, classes: int, grid: int = 1) -> None:
        super().__init__()
        self.grid = grid
        self.linear = nn.Linear(channels * grid * grid, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.linear(self._pool(features).flatten(1))
        return logits

    def _pool(self, features: Tensor) -> Tensor:
        if self.grid == 1:
            return features.mean((2, 3))
        return functional.avg_pool2d(features, features.shape[2] // self.grid)


class ConvHead(nn.Module):
    """Exit head for shallow features: pool to ``grid`` x ``grid``, convolve, pool, classify.

    On the coarse grid the convolution costs little, and gives an early exit better features than a
    linear layer on few channels.
    """

    def __init__(self, channels: int, classes: int, grid: int, hidden: int = 128) -> None:
        super().__init__()
        self.grid = grid
        self.conv = conv_unit(channels, hidden)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, features: Tensor) -> Tensor:
        """``[N, C, H, W] -> [N, classes]`` logits."""
        pooled = functional.adaptive_avg_pool2d(features, self.grid)
        logits: Tensor = self.linear(self.conv(pooled).mean((2, 3)))
        return logits
