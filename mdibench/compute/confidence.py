"""Confidence of an exit head, from its logits: how sure C_k(d) is, in [0, 1].

``patience`` needs no measure of its own: there the worker counts how many heads in a row agree,
and the engine gives ``max-softmax`` for the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Measure = Literal["max-softmax", "entropy", "margin", "patience"]


def max_softmax(logits: Tensor) -> Tensor:
    """Largest class probability: ``[N, classes] -> [N]``."""
    return torch.softmax(logits, dim=1).amax(dim=1)


def entropy(logits: Tensor) -> Tensor:
    """1 - H / log(classes): 0 for the uniform distribution, 1 for certainty."""
    logs = torch.log_softmax(logits, dim=1)
    nats = -(logs.exp() * logs).sum(dim=1)
    return (1 - nats / math.log(logits.shape[1])).clamp(0, 1)


def margin(logits: Tensor) -> Tensor:
    """Largest class probability minus the second largest."""
    first, second = torch.softmax(logits, dim=1).topk(2, dim=1).values.unbind(1)
    return first - second


MEASURES: Mapping[Measure, Callable[[Tensor], Tensor]] = {
    "max-softmax": max_softmax,
    "entropy": entropy,
    "margin": margin,
    "patience": max_softmax,
}
