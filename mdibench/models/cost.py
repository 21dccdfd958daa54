"""Costs of a network's blocks: FLOPs, parameters and feature sizes, counted on one black item.

The item is computed once: torch's meta device would save those milliseconds, but its first use
takes over a second of imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mdibench.models.network import MultiExitNetwork
from mdibench.network.plan import BlockInfo, ModelInfo


class CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts FLOPs and the largest operation's memory within a ``with`` block.

    FLOPs are those of convolutions and matrix products; a multiply-add counts two. Torch's own
    counter gives the same figures, but also decomposes every other operation, and the imports for
    that take longer than a short run.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: nothing is compiled here, and torch's compiler takes a second to import."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.working_bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run and count the operation; its FLOPs if torch's table has a formula."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        self.working_bytes = max(self.working_bytes, _tensor_bytes((args, kwargs, result)))
        return result


def count_flops(function: Callable[[], object]) -> int:
    """FLOPs of ``function()``, which must not enter inference mode itself."""
    return _counted(function).flops


def working_bytes(function: Callable[[], object]) -> int:
    """Bytes of inputs, weights and outputs of the largest operation of ``function()``."""
    return _counted(function).working_bytes


def _counted(function: Callable[[], object]) -> CostCounter:
    # In inference mode, the counter would see composite operations undecomposed.
    counter = CostCounter()
    with torch.inference_mode(False), torch.no_grad(), counter:
        function()
    return counter


def _tensor_bytes(values: Any) -> int:
    """Bytes of the distinct tensors anywhere in ``values``."""
    distinct = {id(v): v.nbytes for v in tree_leaves(values) if isinstance(v, Tensor)}
    return sum(distinct.values())


def network_costs(network: MultiExitNetwork) -> ModelInfo:
    """Costs and shapes for one item, heads included in their blocks. All blocks must be loaded."""
    features = torch.zeros((1, *network.input_shape), dtype=torch.uint8)
    size = features.nbytes
    blocks = []
    for block, head in zip(network.blocks, network.heads, strict=True):
        info, features = _block_costs(block.eval(), head.eval(), features)
        blocks.append(info)
    return ModelInfo(network.name, network.classes, network.input_shape, size, tuple(blocks))


def _block_costs(block: nn.Module, head: nn.Module, features: Tensor) -> tuple[BlockInfo, Tensor]:
    device = next(head.parameters(), features).device
    given = features.to(device)
    with torch.no_grad():
        output = block(given)
    head_flops = count_flops(lambda: head(output))
    parameters = sum(p.numel() for part in (block, head) for p in part.parameters())
    info = BlockInfo(
        flops=count_flops(lambda: block(given)) + head_flops,
        parameters=parameters,
        output_shape=tuple(output.shape[1:]),
        output_bytes=output.nbytes,
        head_flops=head_flops,
    )
    return info, output
