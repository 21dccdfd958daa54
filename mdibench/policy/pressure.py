"""Maximum pressure: tasks and results flow down a price that workers tell their neighbours.

The price of a kind of message at a worker (task k, or a result) is the number of such messages
that are there. A link takes the kind with the largest fall of the price per second of its time, an
engine the block with the largest fall per second of compute time, and the source admits while the
price of a raw item is at most V. Such a policy comes within O(1 / V) of the largest sustainable
rate without knowing any rate (Tassiulas and Ephremides 1992; Dai and Lin 2005; Neely 2010; for
chains of services Feng et al. 2017), whatever bounded bias is added to the prices. The biases here
keep the delay low while the load is: they prefer the way that finishes earliest, as biased
backpressure does (Zhao et al. 2024).

Prices are in messages, times in seconds; ``per_s`` (η) converts a second to messages: the tasks
that the worker computes in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

WORK_LIMIT = 8.0
"""Most tasks that a worker's waiting work counts for when ends of ways are compared."""
NEARER = 2 * WORK_LIMIT
"""Bias, in messages, of a hop that leads a message nearer to where it must go."""


@dataclass(frozen=True, slots=True)
class PressureParameters:
    """V (the price at which admission stops), θ, and the hops after which a host keeps a task."""

    admission_price: int = 100
    threshold: float = 1.0
    hop_limit: int = 64


class HopView(NamedTuple):
    """What is known of a hop of one message from worker n to its neighbour m.

    ``fall`` is the price at n less that at m; ``here_s`` and ``there_s`` are the distances to the
    finish in seconds without waiting, ``cost_s`` the time of the hop. ``own_work_s`` and
    ``its_work_s`` are the work that waits at n and at m, 0 for a worker that is not to run it.
    """

    fall: float
    here_s: float
    there_s: float
    cost_s: float
    hosted_here: bool
    hosted_there: bool
    own_work_s: float
    its_work_s: float
    outward: bool
    """Whether m is farther from the source than n."""
    hops: int


def hop_pressure(hop: HopView, per_s: float, threshold: float) -> float:
    """How much is to be gained by the hop, in messages; none where it is not positive.

    Where a task could be computed, or as near to that as n is, a hop must also pay for its time
    and θ, and a hop back toward the source for θ once more with every hop before. Without that,
    equal prices would let tasks wander.
    """
    fall = hop.fall
    nearer_s = hop.here_s - hop.there_s
    if hop.hosted_here:
        gain_s = nearer_s - hop.cost_s
        if hop.hosted_there:
            gain_s += hop.own_work_s - hop.its_work_s
        else:
            fall -= NEARER
    elif 2 * nearer_s >= hop.cost_s:
        return fall + NEARER - per_s * hop.its_work_s
    else:
        gain_s = nearer_s - hop.cost_s
        if -2 * nearer_s >= hop.cost_s:
            fall -= NEARER
    toll = threshold if hop.outward else threshold * (1 + hop.hops)
    return fall + per_s * gain_s - toll


def result_pressure(fall: float, nearer_s: float, cost_s: float, per_s: float) -> float:
    """The same for a result on its way home; ``cost_s`` is the delay of the hop."""
    if 2 * nearer_s >= cost_s:
        return fall + NEARER
    return fall + per_s * (nearer_s - cost_s)


def block_pressure(
    price: float, next_price: float, result_price: float, goes_on: float, bias: float
) -> float:
    """How much the prices fall when a task is computed; ``bias`` is η times its seconds."""
    return price - goes_on * next_price - (1 - goes_on) * result_price + bias
