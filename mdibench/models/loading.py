"""Building a network of which only some blocks are needed, without paying for the others."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mdibench.errors import InvariantError


class Uninitialised(TorchFunctionMode):
    """Within a ``with`` block, new layers allocate their weights and do not fill them.

    Weights that are about to be read from a file need no random values, and memory that nobody
    has written to is never resident.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Leave out the functions of ``torch.nn.init``; run everything else."""
        named = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


class Absent(nn.Module):
    """Stands for block or head ``number`` of a network where another rank hosts it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, features: Tensor) -> Tensor:
        """Never runs: a task that comes here was sent to the wrong worker."""
        raise InvariantError(f"block {self.number} is not loaded here")
