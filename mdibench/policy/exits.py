"""Exit or go on (algorithm 1, first half)."""

from __future__ import annotations

from collections.abc import Sequence


def leaves(block: int, confidence: float, thresholds: Sequence[float], early_exit: bool) -> bool:
    """Whether an item leaves at exit ``block``: at the last one always, before if C_k >= T_e^k."""
    if block == len(thresholds):
        return True
    return early_exit and confidence >= thresholds[block - 1]
