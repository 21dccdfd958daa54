"""Batch normalisation folded into the convolution before it: fewer operations for an inference."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(module: nn.Module) -> None:
    """Fold, in place, every ``Conv2d, BatchNorm2d`` pair that an ``nn.Sequential`` runs in a row.

    ``module`` must be in evaluation mode. Its results stay the same but for rounding. Pairs that
    a ``forward`` of its own puts together are left alone: only a Sequential says who follows whom.
    """
    for part in module.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)


def _fold(layers: nn.Sequential) -> None:
    for at, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            layers[at] = fuse_conv_bn_eval(first, second)
            layers[at + 1] = nn.Identity()
