"""ResNet for 32 x 32 images, cut into blocks with an exit each (He et al. 2016).

Depths 20, 32 and 56 are the paper's CIFAR networks (three stages of basic units, parameter-free
shortcuts, option A); depth 50 is the ImageNet network of bottleneck units with a 3 x 3 stem and
no max-pooling, as is usual for CIFAR. Their units are divided as evenly as possible over K blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from mdibench.models.network import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    ConvHead,
    MultiExitNetwork,
    Normalise,
    PooledHead,
    conv_unit,
)

INPUT_SHAPE = (3, 32, 32)


class BasicUnit(nn.Module):
    """Two 3 x 3 convolutions; the shortcut subsamples and pads with zero channels (option A)."""

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = target - source
        self.first = conv_unit(source, target, 3, stride)
        self.second = nn.Sequential(
            nn.Conv2d(target, target, 3, 1, 1, bias=False), nn.BatchNorm2d(target)
        )

    def forward(self, features: Tensor) -> Tensor:
        """``[N, source, H, W] -> [N, target, H / stride, W / stride]``."""
        return functional.relu(self.second(self.first(features)) + self._shortcut(features))

    def _shortcut(self, features: Tensor) -> Tensor:
        if self.stride == 1 and self.new_channels == 0:
            return features
        sampled = features[:, :, :: self.stride, :: self.stride]
        return functional.pad(sampled, (0, 0, 0, 0, 0, self.new_channels))


class BottleneckUnit(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions; a 1 x 1 shortcut where the shape changes (option B)."""

    expansion = 4

    def __init__(self, source: int, target: int, stride: int) -> None:
        super().__init__()
        width = target // self.expansion
        self.body = nn.Sequential(
            conv_unit(source, width, 1),
            conv_unit(width, width, 3, stride),
            nn.Conv2d(width, target, 1, bias=False),
            nn.BatchNorm2d(target),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or source != target:
            self.shortcut = nn.Sequential(
                nn.Conv2d(source, target, 1, stride, bias=False), nn.BatchNorm2d(target)
            )

    def forward(self, features: Tensor) -> Tensor:
        """``[N, source, H, W] -> [N, target, H / stride, W / stride]``."""
        return functional.relu(self.body(features) + self.shortcut(features))


@dataclass(frozen=True, slots=True)
class Design:
    """A depth's units, stages (channels, units) and number of exits."""

    unit: Callable[[int, int, int], nn.Module]
    stem: int
    stages: tuple[tuple[int, int], ...]
    exits: int


def _basic(units: int, exits: int) -> Design:
    return Design(BasicUnit, 16, ((16, units), (32, units), (64, units)), exits)


DESIGNS: Mapping[int, Design] = {
    20: _basic(3, exits=4),
    32: _basic(5, exits=5),
    56: _basic(9, exits=6),
    50: Design(BottleneckUnit, 64, ((256, 3), (512, 4), (1024, 6), (2048, 3)), exits=5),
}


def build(depth: int, classes: int = 10) -> MultiExitNetwork:
    """ResNet of a depth in ``DESIGNS``, with random weights."""
    design = DESIGNS[depth]
    shapes = _unit_shapes(design)
    blocks: list[nn.Module] = []
    heads: list[nn.Module] = []
    for number in range(design.exits):
        first, last = (len(shapes) * edge // design.exits for edge in (number, number + 1))
        stem = (
            [Normalise(CIFAR10_MEAN, CIFAR10_STD), conv_unit(3, design.stem)] if number == 0 else []
        )
        units = [design.unit(*shape) for shape in shapes[first:last]]
        blocks.append(nn.Sequential(*stem, *units))
        heads.append(_head(shapes[last - 1][1], classes, is_last=last == len(shapes)))
    return MultiExitNetwork(f"resnet{depth}", blocks, heads, INPUT_SHAPE, classes)


def _unit_shapes(design: Design) -> list[tuple[int, int, int]]:
    """(source channels, target channels, stride) of every unit, in order."""
    shapes = []
    source = design.stem
    for stage, (channels, units) in enumerate(design.stages):
        for index in range(units):
            shapes.append((source, channels, 2 if stage > 0 and index == 0 else 1))
            source = channels
    return shapes


def _head(channels: int, classes: int, is_last: bool) -> nn.Module:
    if is_last:
        return PooledHead(channels, classes)
    return ConvHead(channels, classes, grid=8 if channels <= 32 else 4)
