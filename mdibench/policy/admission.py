"""Adaptation of the rate of admission and of the exit threshold (algorithms 3 and 4)."""

from __future__ import annotations

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
