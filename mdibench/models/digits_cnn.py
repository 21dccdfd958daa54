"""A small network with five exits for 32 x 32 digits: about half a millisecond per block.

Each block costs roughly the same time at batch 1 on one core, so that a partition over two to
five workers can be balanced, and each exit has a larger receptive field than the one before.
"""

from __future__ import annotations

from torch import Tensor, nn

from mdibench.models.network import MultiExitNetwork, Normalise, PooledHead, conv_unit

NAME = "digits-cnn"
INPUT_SHAPE = (1, 32, 32)


class Residual(nn.Module):
    """Two 3 x 3 convolution units with a shortcut around them; the shape stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_unit(channels, channels), conv_unit(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """``features`` plus the output of the convolutions."""
        change: Tensor = self.body(features)
        return features + change


def build(classes: int = 10) -> MultiExitNetwork:
    """The network with random weights."""
    stem = [Normalise([0.3], [0.3]), conv_unit(1, 16), conv_unit(16, 32)]
    blocks = [
        nn.Sequential(*stem, conv_unit(32, 32, stride=2)),
        nn.Sequential(conv_unit(32, 48), Residual(48)),
        nn.Sequential(conv_unit(48, 48), Residual(48)),
        nn.Sequential(conv_unit(48, 96, stride=2), Residual(96)),
        nn.Sequential(conv_unit(96, 96), Residual(96)),
    ]
    # A coarse grid limits the first exits: hard items go on to the later ones.
    grids = ((32, 2), (48, 2), (48, 2), (96, 4), (96, 4))
    heads = [PooledHead(channels, classes, grid) for channels, grid in grids]
    return MultiExitNetwork(NAME, blocks, heads, INPUT_SHAPE, classes)
