"""What a decision may look at, and what it may answer. Everything here is frozen.

The views are named tuples: they are made at every decision, and a tuple costs a third of a frozen
dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias


class Generator(Protocol):
    """The part of ``random.Random`` that policies use: seeded, and handed in."""

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
    """What algorithm 1 knows when τ_k+1 was created (or τ_1 admitted) at worker n.

    ``admitted`` tells that the task is a raw item at the source; ``output_limit`` is T_O.
    """

    block: int
    hosts_block: bool
    input_queue: int
    output_queue: int
    output_limit: int
    admitted: bool


class OffloadView(NamedTuple):
    """What algorithm 2 knows about the head of O_n.

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
    """The head of O_n moves to I_n; ``rule`` says in one word which rule decided."""

    rule: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The head stays where it is until something changes."""


@dataclass(frozen=True, slots=True)
class Offload:
    """The head goes to ``target``; ``rule`` says in one word which rule decided."""

    target: int
    rule: str


OffloadDecision: TypeAlias = Keep | Wait | Offload
PlacingPolicy: TypeAlias = Callable[[PlacingView], bool]
"""Whether the task joins I_n; otherwise it joins O_n."""
OffloadPolicy: TypeAlias = Callable[[OffloadView, Generator], OffloadDecision]
