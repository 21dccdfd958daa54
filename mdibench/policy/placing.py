"""Which queue a new task joins (algorithm 1, second half, and its rivals)."""

from __future__ import annotations

from mdibench.policy.views import PlacingView


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
