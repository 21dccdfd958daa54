"""Algorithm 1: whether an item leaves, and which queue its next task joins; with alternatives."""

from __future__ import annotations

from collections.abc import Sequence

from mdibench.policy.views import PlacingView


def leaves(block: int, confidence: float, thresholds: Sequence[float], early_exit: bool) -> bool:
    """Whether an item leaves at exit ``block``: always at the last, earlier if C_k >= T_e^k.

    T_e = 1 closes an exit: a 32-bit confidence rounds to 1 for items that are merely very likely.
    """
    if block == len(thresholds):
        return True
    return early_exit and confidence >= thresholds[block - 1] < 1


def algorithm_1(view: PlacingView) -> bool:
    """I_n if n hosts the block and I_n is empty or O_n is over T_O; else O_n."""
    return view.hosts_block and (view.input_queue == 0 or view.output_queue > view.output_limit)


def stay_if_hosted(view: PlacingView) -> bool:
    """I_n whenever n hosts the block: such tasks are never offloaded."""
    return view.hosts_block


def raw_items_first(view: PlacingView) -> bool:
    """Raw items are offered through O_n; later tasks stay where n hosts the block (DDI)."""
    return view.hosts_block and not view.admitted


def always_offer(view: PlacingView) -> bool:
    """Always O_n: the offloading policy also decides whether a task stays."""
    return False
