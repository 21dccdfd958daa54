"""Maximum pressure: tasks and results flow down a price that workers tell their neighbours.

The price of a kind of message at a worker (task k, or a result) is the number of such messages
that are there. Where task k is not computed, its price at the cheapest next hop adds to it, so that
no task waits at a relay for longer than the way on is busy. A link takes the kind with the largest
fall of the price per second of its time, an engine the block with the largest fall per second of
compute time, and the source admits while the price of a raw item is at most V. Where short messages
need a link, what its time usually gains is a price of its own: long messages that gain less wait
(``core.pricing.PricedLink.keeps_free``). A task that gains less than others is served out of turn
once it has waited for long, in a small part of the engine's or the link's time.

Such a policy comes within O(1 / V) of the largest sustainable rate without knowing any rate
(Tassiulas and Ephremides 1992; Dai and Lin 2005; Neely 2010; for chains of services Feng et al.
2017), whatever bounded bias is added to the prices. The biases here keep the delay low while the
load is: they prefer the way that finishes earliest, as biased backpressure does (Zhao et al. 2024).

Prices are in messages, times in seconds; ``per_s`` (η) converts a second to messages: the tasks
that the worker computes in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from mdibench.compiled import statically_frozen

WORK_LIMIT = 2.0
"""Most tasks that a worker's waiting work counts for when ends of ways are compared."""
PROGRESS = 4.0
"""Bias of an engine, in messages per block: items that were begun first are finished first."""
NEARER = 2 * WORK_LIMIT
"""Bias, in messages, of a hop that leads a message nearer to where it must go."""

HOPS_FOR_V, DELAYS_FOR_V = 8, 24
"""The time of a hop counts for at most V / 8, its delay alone for at most V / 24.

Slow ways cost delay, not rate: where every hop's delay may cost more, tasks do not get far enough
to keep distant workers busy, unless V is larger and all queues longer.
"""


@dataclass(frozen=True, slots=True)
class PressureParameters:
    """V (the price at which admission stops), θ, and the hops after which a host keeps a task."""

    admission_price: int = 100
    threshold: float = 1.0
    hop_limit: int = 64

    @property
    def longest_hop(self) -> float:
        """Most that the time of a hop counts for, in messages."""
        return self.admission_price / HOPS_FOR_V

    @property
    def longest_delay(self) -> float:
        """Most that its delay counts for: what it does not keep the link busy."""
        return self.admission_price / DELAYS_FOR_V


@statically_frozen
class HopView:
    """What is known of a hop of one kind of message from worker n to its neighbour m.

    ``here_s`` and ``there_s`` are the distances to the finish in seconds without waiting,
    ``cost_s`` the time of the hop.
    """

    here_s: float
    there_s: float
    cost_s: float
    hosted_here: bool
    hosted_there: bool
    outward: bool
    """Whether m is farther from the source than n."""


@statically_frozen
class HopWorth:
    """What a hop is worth beyond the fall of the price, in messages.

    The work that waits at n adds to ``bias`` where ``own_work`` is 1, that at m takes from it where
    ``its_work`` is 1; every hop before costs ``toll``.
    """

    bias: float
    own_work: int = 0
    its_work: int = 0
    toll: float = 0.0


def hop_worth(hop: HopView, per_s: float, threshold: float, longest_hop: float = inf) -> HopWorth:
    """What a hop of a task is worth beyond the fall of the price.

    Where a task could be computed, or as near to that as n is, a hop must also pay for its time
    (``longest_hop`` messages at most) and θ, and a hop back toward the source for θ once more with
    every hop before. Without that, equal prices would let tasks wander.
    """
    nearer_s = hop.here_s - hop.there_s
    if not hop.hosted_here and 2 * nearer_s >= hop.cost_s:
        return HopWorth(NEARER, its_work=int(hop.hosted_there))
    gain = per_s * (nearer_s - hop.cost_s)
    bias = (gain if gain > -longest_hop else -longest_hop) - threshold
    farther = -2 * nearer_s >= hop.cost_s
    if not hop.hosted_there if hop.hosted_here else farther:
        bias -= NEARER
    balanced = int(hop.hosted_here and hop.hosted_there)
    return HopWorth(bias, balanced, balanced, 0.0 if hop.outward else threshold)


def result_bias(
    nearer_s: float, cost_s: float, per_s: float, threshold: float, longest_hop: float = inf
) -> float:
    """The same for a result on its way home; ``cost_s`` is the delay of the hop."""
    if 2 * nearer_s >= cost_s:
        return NEARER
    return max(per_s * (nearer_s - cost_s), -longest_hop) - threshold


def block_pressure(
    price: float, next_price: float, result_price: float, goes_on: float, bias: float
) -> float:
    """How much the prices fall when a task is computed; ``bias`` is η times its seconds."""
    return price - goes_on * next_price - (1 - goes_on) * result_price + bias
