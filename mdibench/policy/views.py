"""The input of a policy (views) and its result (decisions). Everything here is immutable.

The views are named tuples: one is made at every decision, and a tuple costs a third of a frozen
dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias


class Generator(Protocol):
    """The part of ``random.Random`` that policies use."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def shuffle(self, x: list[Candidate]) -> None:
        """Shuffle in place."""
        ...


class Candidate(NamedTuple):
    """A neighbour m that could take a task: |I_m|, Γ_m and D_nm, as worker n knows them."""

    rank: int
    input_queue: int
    gamma_s: float
    hop_delay_s: float

    @property
    def wait_s(self) -> float:
        """w_m = D_nm + |I_m| Γ_m."""
        return self.hop_delay_s + self.input_queue * self.gamma_s


class PlacingView(NamedTuple):
    """The input of algorithm 1 when τ_k+1 was created (or τ_1 admitted) at worker n.

    ``admitted``: the task is a raw item at the source; ``output_limit`` is T_O.
    """

    block: int
    hosts_block: bool
    input_queue: int
    output_queue: int
    output_limit: int
    admitted: bool


class OffloadView(NamedTuple):
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
