"""Algorithm 1: leave or go on, and which queue the next task joins."""

from __future__ import annotations

from collections.abc import Sequence

from mdibench.policy.views import PlacingView


def leaves(block: int, confidence: float, thresholds: Sequence[float], early_exit: bool) -> bool:
    """Whether an item leaves at exit ``block``: at the last one always, before if C_k >= T_e^k."""
    if block == len(thresholds):
        return True
    return early_exit and confidence >= thresholds[block - 1]


# --- placing -----------------------------------------------------------------------------------
# Which queue a new task joins (algorithm 1, second half, and its rivals).


def algorithm_1(view: PlacingView) -> bool:
    """I_n if n hosts the block and I_n is empty or O_n is over T_O; else O_n."""
    return view.hosts_block and (view.input_queue == 0 or view.output_queue > view.output_limit)


def stay_if_hosted(view: PlacingView) -> bool:
    """I_n whenever n hosts the block: no choice to offload."""
    return view.hosts_block


def raw_items_first(view: PlacingView) -> bool:
    """Raw items look for a worker through O_n; once a worker has an item, it keeps it (DDI)."""
    return view.hosts_block and not view.admitted


def always_offer(view: PlacingView) -> bool:
    """O_n always: the offloading rule also decides about staying."""
    return False
