"""Sizes of messages on a link, computed from the network's shapes.

Imports the codecs only when needed: they load torch.
"""

from __future__ import annotations

from math import prod

from mdibench.core.wire import HEADER_BYTES
from mdibench.network.plan import BlockInfo, ModelInfo

USUAL_RATIO = 8.0
"""Ratio of the codec ``bottleneck`` by default."""


def task_bytes(model: ModelInfo, codec: str, bottleneck: float = USUAL_RATIO) -> tuple[int, ...]:
    """Size of a message with τ_k under ``codec``, header included, for each block k.

    τ_1 carries the raw item, which no codec changes; τ_k the feature map of block k - 1.
    ``bottleneck`` is how many times smaller the codec of that name makes a feature map.
    """
    features = [_feature_bytes(block, codec, bottleneck) for block in model.blocks[:-1]]
    return tuple(HEADER_BYTES + size for size in (model.input_bytes, *features))


def _feature_bytes(block: BlockInfo, codec: str, bottleneck: float) -> int:
    elements = prod(block.output_shape)
    if codec == "none" or not elements:
        return block.output_bytes
    if codec == "bottleneck":
        from mdibench.codec.bottleneck import code_bytes

        return code_bytes(block.output_shape, bottleneck)
    from mdibench.codec.codecs import encoded_bytes

    return encoded_bytes(codec, elements, block.output_bytes // elements)
