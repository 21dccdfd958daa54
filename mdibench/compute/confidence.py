"""Measures of confidence: from the logits of an exit head, the class and C_k(d) in [0, 1].

Every measure maps logits float32 ``[N, classes]`` to confidences ``[N]`` and predicted classes
``[N]``. They are plain numpy; ``onnx_export`` says the same in ONNX's operators.

With ``patience`` the worker counts how many heads in a row agree; the engine then reports
``max-softmax`` for the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdibench.errors import Problem, UserError

Measure = Literal["max-softmax", "entropy", "margin", "patience"]
Logits: TypeAlias = NDArray[np.floating[Any]]
Judged: TypeAlias = tuple[NDArray[np.floating[Any]], NDArray[np.int64]]
FEW_CLASSES = 100
"""Up to so many classes, the confidence of a single item is quicker in plain Python."""


def judge(
    measure: Callable[[Logits], Judged], logits: Logits, temperature: float, block: int
) -> list[tuple[int, float]]:
    """Class and confidence of each item at the exit behind ``block``; UserError for NaN.

    One item with few classes needs no numpy: between two calls of a network its code is no longer
    in the processor's cache, and takes ten times as long as in a loop of its own.
    """
    if measure is max_softmax and len(logits) == 1 and logits.shape[1] <= FEW_CLASSES:
        said = [_max_softmax_of_one(logits[0].tolist(), temperature)]
    else:
        scaled = logits if temperature == 1.0 else logits / np.float32(temperature)
        confidences, predictions = measure(scaled)
        said = list(zip(predictions.tolist(), confidences.tolist(), strict=True))
    check_known([confidence for _, confidence in said], block)
    return said


def check_known(confidences: Sequence[float], block: int) -> None:
    """Raise UserError for NaN among the confidences of the exit behind ``block``."""
    if any(confidence != confidence for confidence in confidences):  # only NaN differs from itself
        what = f"exit {block} gives NaN as a confidence"
        remedy = "mdibench check CONFIG names the block that it comes from"
        raise UserError(Problem(what, "model", remedy))


def _max_softmax_of_one(logits: list[float], temperature: float) -> tuple[int, float]:
    """``max_softmax`` of one item, in 64 bits."""
    top = max(logits)
    total = sum([math.exp((logit - top) / temperature) for logit in logits])
    return logits.index(top), 1 / total


def max_softmax(logits: Logits) -> Judged:
    """Largest class probability."""
    # reductions of the ufuncs: what the methods call, without the way there
    powers = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
    return 1 / np.add.reduce(powers, axis=1), logits.argmax(axis=1)


def entropy(logits: Logits) -> Judged:
    """1 - H / log(classes): 0 for the uniform distribution, 1 for certainty."""
    shares = softmax(logits)
    logs = np.log(np.maximum(shares, np.finfo(shares.dtype).tiny))
    nats = -(shares * logs).sum(axis=1)
    return (1 - nats / math.log(logits.shape[1])).clip(0, 1), logits.argmax(axis=1)


def margin(logits: Logits) -> Judged:
    """Largest class probability minus the second largest."""
    shares = softmax(logits)
    two = np.partition(shares, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0], logits.argmax(axis=1)


def softmax(logits: Logits) -> Logits:
    """Class probabilities, of the logits' own type."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Logits = powers / powers.sum(axis=1, keepdims=True)
    return shares


MEASURES: Mapping[Measure, Callable[[Logits], Judged]] = {
    "max-softmax": max_softmax,
    "entropy": entropy,
    "margin": margin,
    "patience": max_softmax,
}
