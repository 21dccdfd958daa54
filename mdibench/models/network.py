"""A network cut into blocks with an exit head each: what every model here, and a user's, is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class MultiExitNetwork:
    """K blocks and K heads, in order; the last head is the network's own classifier.

    Block 1 takes raw items as uint8 ``[N, C, H, W]`` and normalises them itself, so that raw data
    travels as bytes; block k takes the feature map of block k-1. Head k takes the feature map of
    block k and gives logits ``[N, classes]``.
    """

    name: str
    blocks: Sequence[nn.Module]
    heads: Sequence[nn.Module]
    input_shape: tuple[int, ...]
    """``(C, H, W)`` of one raw item, uint8."""
    classes: int

    @property
    def exits(self) -> int:
        """K."""
        return len(self.blocks)
