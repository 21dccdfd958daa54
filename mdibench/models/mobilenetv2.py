"""MobileNetV2 for 32 x 32 images, cut into five blocks with an exit each.

The network of Sandler et al. 2018 (arXiv 1801.04381, table 2) at width 1 with strides for
CIFAR-10: the stem and the second stage keep the full resolution. Without the early exits
it has the 2,236,682 parameters of the original with ten classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from mdibench.models.network import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    ConvHead,
    MultiExitNetwork,
    Normalise,
    PooledHead,
)

NAME = "mobilenetv2"
INPUT_SHAPE = (3, 32, 32)

LAST_CHANNELS = 1280

STAGES: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
    ((1, 16, 1, 1), (6, 24, 2, 1)),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2),),
    ((6, 96, 3, 1),),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)
"""Per block, its stages as (expansion, channels, units, stride of the first unit)."""

EARLY_HEADS = ((24, 8), (32, 8), (64, 4), (96, 4))
"""Channels at each cut, and the grid that the head pools them to."""


def unit(source: int, target: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias (same padding), batch normalisation, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(source, target, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(target),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand with 1 x 1, filter each channel with 3 x 3, project with a linear 1 x 1."""

    def __init__(self, source: int, target: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = source * expansion
        self.shortcut = stride == 1 and source == target
        self.expand = unit(source, hidden, 1) if expansion > 1 else nn.Identity()
        self.filter = unit(hidden, hidden, 3, stride, groups=hidden)
        self.project = nn.Sequential(
            nn.Conv2d(hidden, target, 1, bias=False), nn.BatchNorm2d(target)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``[N, source, H, W] -> [N, target, H / stride, W / stride]``."""
        change: Tensor = self.project(self.filter(self.expand(features)))
        return features + change if self.shortcut else change


def build(classes: int = 10) -> MultiExitNetwork:
    """The network with random weights."""
    blocks: list[nn.Module] = []
    channels = 32
    for number, stages in enumerate(STAGES):
        layers: list[nn.Module] = (
            [Normalise(CIFAR10_MEAN, CIFAR10_STD), unit(3, 32, 3)] if number == 0 else []
        )
        for expansion, target, units, stride in stages:
            for index in range(units):
                step = stride if index == 0 else 1
                layers.append(InvertedResidual(channels, target, step, expansion))
                channels = target
        blocks.append(nn.Sequential(*layers))
    blocks[-1].append(unit(channels, LAST_CHANNELS, 1))  # type: ignore[operator]
    return MultiExitNetwork(NAME, blocks, _heads(classes), INPUT_SHAPE, classes)


def _heads(classes: int) -> list[nn.Module]:
    early = [ConvHead(channels, classes, grid) for channels, grid in EARLY_HEADS]
    return [*early, PooledHead(LAST_CHANNELS, classes)]
