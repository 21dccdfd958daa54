"""Rows of the table ``steps``: what a worker did with a task, and the numbers it went by."""

from __future__ import annotations

from mdibench.core.events import Note
from mdibench.core.neighbours import Neighbour
from mdibench.core.queues import Entry
from mdibench.policy.views import Keep, Offload, OffloadView

_GOLDEN = 0x9E3779B1
"""Knuth's multiplicative hash: spreads consecutive items evenly over 32 bits."""


def traced(item: int, share: float) -> bool:
    """Whether the steps of ``item`` are recorded; every rank answers the same."""
    return share > 0 and item * _GOLDEN % 2**32 < share * 2**32


def compute_step(
    now: float,
    rank: int,
    entry: Entry,
    batch: tuple[int, float],
    judged: tuple[float, float, int, str],
    seen: tuple[int, int, float],
) -> Note:
    """A block was run. ``batch``: tasks, and seconds that they took together; ``judged``: C_k,
    T_e^k, class, verdict; ``seen``: |I_n|, |O_n|, Γ_n.
    """
    task = entry.task
    tasks, batch_s = batch
    queued_s = max(0.0, now - entry.since_s - batch_s)
    head = (now, rank, task.item, task.attempt, task.block, "compute", queued_s, batch_s)
    return Note("steps", (*head, *judged, None, *seen, None, None, None, None, None, tasks))


def keep_step(now: float, rank: int, entry: Entry, decision: Keep, view: OffloadView) -> Note:
    """A task left O_n for I_n: the rule that decided, and what the policy saw."""
    task = entry.task
    head = (now, rank, task.item, task.attempt, task.block, "keep", now - entry.since_s, None)
    seen = (view.input_queue, view.output_queue, view.gamma_s)
    judged = (None, None, None, decision.rule)
    return Note("steps", (*head, *judged, None, *seen, None, None, None, None, None, None))


def send_step(
    now: float, rank: int, entry: Entry, decision: Offload, view: OffloadView, target: Neighbour
) -> Note:
    """A task was offloaded: the rule that decided, and what the policy saw of both sides."""
    task = entry.task
    head = (now, rank, task.item, task.attempt, task.block, "send", now - entry.since_s)
    seen = (view.input_queue, view.output_queue, view.gamma_s)
    over_there = (target.input_queue, target.gamma_s, target.hop_delay_s, now - target.told_s)
    judged = (None, None, None, None, decision.rule)
    return Note(
        "steps", (*head, *judged, target.rank, *seen, *over_there, task.payload_bytes, None)
    )
