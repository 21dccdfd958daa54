"""Adaptation of the rate of admission and of the exit threshold (algorithms 3 and 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gains:
    """T_Q1, T_Q2 and the steps α > β (queues short) and ζ (queues long)."""

    queue_low: int = 10
    queue_high: int = 30
    alpha: float = 0.2
    beta: float = 0.1
    zeta: float = 0.2


SHORTEST_INTERARRIVAL_S = 1e-6
"""Lower bound of μ: shorter intervals are below the resolution of a clock."""


def adapt_interarrival(interarrival_s: float, queued: int, gains: Gains) -> float:
    """Algorithm 3: the next μ, from q = |I_0| + |O_0|."""
    if queued < gains.queue_low:
        factor = 1 - gains.alpha
    elif queued < gains.queue_high:
        factor = 1 - gains.beta
    else:
        factor = 1 + gains.zeta
    return max(SHORTEST_INTERARRIVAL_S, interarrival_s * factor)


def adapt_threshold(threshold: float, queued: int, gains: Gains, lowest: float) -> float:
    """Algorithm 4: the next T_e, from q = |I_0| + |O_0|; between ``lowest`` and 1."""
    if queued < gains.queue_low:
        return min(1.0, (1 + gains.alpha) * threshold)
    if queued < gains.queue_high:
        return min(1.0, (1 + gains.beta) * threshold)
    return max(lowest, (1 - gains.zeta) * threshold)


@dataclass(frozen=True, slots=True)
class ThresholdCurve:
    """The thresholds of all exits by one severity, so that algorithm 4 keeps what was calibrated.

    ``at(severity)`` raises it to each exit's exponent: at ``start`` the thresholds are those that
    were given, at 1 every exit is closed, and the way back is the way there. Equal thresholds have
    the exponent 1 and move as one T_e does. An exit at 1 or at 0 stays there.
    """

    start: float
    exponents: tuple[float | None, ...]
    fixed: tuple[float, ...]

    @classmethod
    def through(cls, thresholds: Sequence[float]) -> ThresholdCurve:
        """The curve that goes through ``thresholds``."""
        moving = [t for t in thresholds if 0 < t < 1]
        if not moving:
            return cls(1.0, (None,) * len(thresholds), tuple(thresholds))
        logs = [math.log(t) for t in moving]
        start = moving[0] if len(set(moving)) == 1 else math.exp(sum(logs) / len(logs))
        exponents = (
            None if not 0 < t < 1 else 1.0 if t == start else math.log(t) / math.log(start)
            for t in thresholds
        )
        return cls(start, tuple(exponents), tuple(thresholds))

    def at(self, severity: float, lowest: float) -> tuple[float, ...]:
        """The thresholds at ``severity``; those that move are between ``lowest`` and 1."""
        return tuple(
            given if exponent is None else min(1.0, max(lowest, severity**exponent))
            for exponent, given in zip(self.exponents, self.fixed, strict=True)
        )
