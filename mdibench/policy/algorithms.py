"""Algorithms 1 to 4 of MDI-Exit, what other schemes do in their place, and what they all see.

* Algorithm 1: whether an item leaves, and which queue its next task joins.
* Algorithm 2: whether the head of O_n is kept or sent, and where. An offloading policy is called
  whenever its view may have changed; it may draw from the generator of the worker, and is otherwise
  a pure function of the view.
* Algorithms 3 and 4: the rate of admission and the exit thresholds that queues allow.

Everything here is immutable. One view is made at every decision: see ``statically_frozen``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from mdibench.compiled import statically_frozen


class Generator(Protocol):
    """The part of ``random.Random`` that policies use."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def shuffle(self, x: list[Candidate]) -> None:
        """Shuffle in place."""
        ...


@statically_frozen
class Candidate:
    """A neighbour m that could take a task: |I_m|, Γ_m and D_nm, as worker n knows them."""

    rank: int
    input_queue: int
    gamma_s: float
    hop_delay_s: float

    @property
    def wait_s(self) -> float:
        """w_m = D_nm + |I_m| Γ_m."""
        return self.hop_delay_s + self.input_queue * self.gamma_s


@statically_frozen
class PlacingView:
    """The input of algorithm 1 when τ_k+1 was created (or τ_1 admitted) at worker n.

    ``admitted``: the task is a raw item at the source; ``output_limit`` is T_O.
    """

    block: int
    hosts_block: bool
    input_queue: int
    output_queue: int
    output_limit: int
    admitted: bool


@statically_frozen
class OffloadView:
    """The input of algorithm 2 for the head of O_n.

    ``candidates`` are the neighbours that could take it: they host its block or lead to a host,
    are not suspected, and their link has room. ``turn`` counts this worker's earlier decisions.
    """

    block: int
    hosts_block: bool
    input_queue: int
    output_queue: int
    gamma_s: float
    candidates: tuple[Candidate, ...]
    turn: int

    @property
    def wait_s(self) -> float:
        """w_n = |I_n| Γ_n."""
        return self.input_queue * self.gamma_s


@dataclass(frozen=True, slots=True)
class Keep:
    """The head of O_n moves to I_n; ``rule`` names the rule that decided."""

    rule: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The head stays in O_n until the view changes."""


@dataclass(frozen=True, slots=True)
class Offload:
    """The head goes to ``target``; ``rule`` names the rule that decided."""

    target: int
    rule: str


OffloadDecision: TypeAlias = Keep | Wait | Offload
PlacingPolicy: TypeAlias = Callable[[PlacingView], bool]
"""Whether the task joins I_n; otherwise it joins O_n."""
OffloadPolicy: TypeAlias = Callable[[OffloadView, Generator], OffloadDecision]


# --- algorithm 1 ---------------------------------------------------------------------------------


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


# --- algorithm 2 ---------------------------------------------------------------------------------


def algorithm_2(view: OffloadView, generator: Generator) -> OffloadDecision:
    """MDI-Exit: send where the wait is shorter, else with probability w_n / w_m; never idle."""
    idle = view.input_queue == 0
    if idle and view.hosts_block:
        return Keep("idle")
    eligible = [c for c in view.candidates if view.output_queue > c.input_queue]
    generator.shuffle(eligible)
    wait_s = view.wait_s
    for candidate in eligible:
        if wait_s > candidate.wait_s:
            return Offload(candidate.rank, "shorter")
        if generator.random() * candidate.wait_s < wait_s:
            return Offload(candidate.rank, "chance")
    if idle and view.candidates:
        candidates = list(view.candidates)
        generator.shuffle(candidates)
        return Offload(min(candidates, key=lambda c: c.wait_s).rank, "least")
    return Wait()


def by_price(view: OffloadView, generator: Generator) -> OffloadDecision:
    """Nothing leaves by this rule: links and engines of scheme ``pressure`` serve themselves."""
    return Wait()


def to_the_host(view: OffloadView, generator: Generator) -> OffloadDecision:
    """A fixed pipeline: send to the block's host as soon as the link has room."""
    if view.hosts_block:
        return Keep("host")
    return Offload(view.candidates[0].rank, "host") if view.candidates else Wait()


def uniformly_random(view: OffloadView, generator: Generator) -> OffloadDecision:
    """A host drawn with equal probability, n itself included."""
    places = len(view.candidates) + view.hosts_block
    if places == 0:
        return Wait()
    choice = int(generator.random() * places)
    if choice == len(view.candidates):
        return Keep("random")
    return Offload(view.candidates[choice].rank, "random")


def round_robin(view: OffloadView, generator: Generator) -> OffloadDecision:
    """Hosts in turn, n itself included."""
    places = len(view.candidates) + view.hosts_block
    if places == 0:
        return Wait()
    choice = view.turn % places
    if choice == len(view.candidates):
        return Keep("turn")
    return Offload(view.candidates[choice].rank, "turn")


def join_shortest_queue(view: OffloadView, generator: Generator) -> OffloadDecision:
    """The host with the fewest waiting tasks, n itself included and preferred among equals."""
    candidates = list(view.candidates)
    generator.shuffle(candidates)
    shortest = min(candidates, key=_input_queue, default=None)
    if view.hosts_block and (shortest is None or view.input_queue <= shortest.input_queue):
        return Keep("shortest")
    return Wait() if shortest is None else Offload(shortest.rank, "shortest")


def _input_queue(candidate: Candidate) -> int:
    return candidate.input_queue


# --- algorithms 3 and 4 --------------------------------------------------------------------------


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
