"""Measures of confidence: from the logits of an exit head, the class and C_k(d) in [0, 1].

Every measure maps logits ``[N, classes]`` to confidences ``[N]`` and predicted classes ``[N]``.

With ``patience`` the worker counts how many heads in a row agree; the engine then reports
``max-softmax`` for the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Measure = Literal["max-softmax", "entropy", "margin", "patience"]


def max_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest class probability."""
    confidences, predictions = torch.softmax(logits, dim=1).max(dim=1)
    return confidences, predictions


def entropy(logits: Tensor) -> tuple[Tensor, Tensor]:
    """1 - H / log(classes): 0 for the uniform distribution, 1 for certainty."""
    logs = torch.log_softmax(logits, dim=1)
    nats = -(logs.exp() * logs).sum(dim=1)
    return (1 - nats / math.log(logits.shape[1])).clamp(0, 1), logits.argmax(dim=1)


def margin(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest class probability minus the second largest."""
    shares, classes = torch.softmax(logits, dim=1).topk(2, dim=1)
    return shares[:, 0] - shares[:, 1], classes[:, 0]


MEASURES: Mapping[Measure, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "max-softmax": max_softmax,
    "entropy": entropy,
    "margin": margin,
    "patience": max_softmax,
}
