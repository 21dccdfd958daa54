"""What travels between workers: tasks, results and the state that neighbours tell each other.

All records are frozen (``statically_frozen``), and carry the item they belong to, so that one
item's story can be told from any of them. A payload (a tensor, or nothing at all in a simulation)
is opaque here.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple, TypeAlias

from mdibench.compiled import statically_frozen

SOURCE = 0
"""Rank of the source: it admits items, keeps the ledger and may host blocks like any worker."""


@statically_frozen
class Task:
    """τ_k(d): run block ``block`` (from 1) and its exit head on item ``item``.

    ``payload`` is the block's input; ``payload_bytes`` its size on a wire without a codec.
    ``prediction`` and ``streak`` tell what the previous head said and how many heads in a row
    have agreed. ``path`` lists the ranks that computed a block, ``hops`` counts every transfer
    (relays too) and ``wire_bytes`` what those transfers carried. ``attempt`` counts re-runs from 0.
    """

    item: int
    block: int
    payload: Any = field(default=None, compare=False, repr=False)
    payload_bytes: int = 0
    prediction: int = -1
    streak: int = 0
    path: tuple[int, ...] = ()
    hops: int = 0
    wire_bytes: int = 0
    attempt: int = 0
    sample: int = 0
    """Index of the item's input in the evaluation data: several items may share one sample."""

    @classmethod
    def raw(
        cls, item: int, sample: int, payload: Any, payload_bytes: int, attempt: int = 0
    ) -> Task:
        """τ_1 of an item."""
        return cls(item, 1, payload, payload_bytes, -1, 0, (), 0, 0, attempt, sample)

    def following(self, block: int, outcome: Outcome, streak: int, rank: int) -> Task:
        """τ_``block``, which ``rank`` made of this task."""
        return Task(
            self.item,
            block,
            outcome.payload,
            outcome.payload_bytes,
            outcome.prediction,
            streak,
            (*self.path, rank),
            self.hops,
            self.wire_bytes,
            self.attempt,
            self.sample,
        )

    def result(
        self, exit_: int, prediction: int, confidence: float, threshold: float, rank: int
    ) -> Result:
        """The item leaves at an exit of ``rank``."""
        return Result(
            self.item,
            exit_,
            prediction,
            confidence,
            threshold,
            (*self.path, rank),
            self.hops,
            self.wire_bytes,
            self.attempt,
        )

    def moved(self, hops: int = 0, wire_bytes: int = 0) -> Task:
        """The same task after further hops and bytes; much cheaper than ``dataclasses.replace``."""
        return Task(
            self.item,
            self.block,
            self.payload,
            self.payload_bytes,
            self.prediction,
            self.streak,
            self.path,
            self.hops + hops,
            self.wire_bytes + wire_bytes,
            self.attempt,
            self.sample,
        )


@statically_frozen
class Outcome:
    """What block and head k say about one task: computed by an engine, judged by a policy.

    ``confidence`` is C_k(d); ``payload`` the feature map that block k+1 takes (``None`` after the
    last block), ``payload_bytes`` its size.
    """

    prediction: int
    confidence: float
    payload: Any = field(default=None, compare=False, repr=False)
    payload_bytes: int = 0


Copy: TypeAlias = tuple[int, int]
"""Item and attempt: which of an item's runs, for the source may start an item anew."""


@statically_frozen
class Result:
    """An item's classification on its way to the source."""

    item: int
    exit: int
    prediction: int
    confidence: float
    threshold: float
    path: tuple[int, ...] = ()
    hops: int = 0
    wire_bytes: int = 0
    attempt: int = 0

    def moved(self, wire_bytes: int) -> Result:
        """The same result after further bytes on its way home, which counts no hops."""
        return Result(
            self.item,
            self.exit,
            self.prediction,
            self.confidence,
            self.threshold,
            self.path,
            self.hops,
            self.wire_bytes + wire_bytes,
            self.attempt,
        )


class State(NamedTuple):
    """What worker n tells a neighbour about itself, with every message and by gossip.

    ``input_queue`` is |I_n|, ``gamma_s`` is Γ_n (0 until a task was computed) and ``received``
    the number of tasks that n has ever received from that neighbour: with it the neighbour knows
    which of its own tasks |I_n| already counts.

    Scheme ``pressure`` counts results with them, and tells ``prices``: the messages of each kind at
    n (tasks by block, results last), their distances to the finish, seconds, and the seconds of
    work that wait. Others tell none.
    """

    input_queue: int
    gamma_s: float
    received: int = 0
    prices: tuple[float, ...] = ()


def is_paced(state: State, body: Task | Result | None) -> bool:
    """Whether a message is answered with ``LinkFree`` and ``Delivered``: results only if priced."""
    return isinstance(body, Task) or (body is not None and bool(state.prices))
