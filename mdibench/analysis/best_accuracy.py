"""The best accuracy at a given rate: which mixture of exit thresholds the fleet can afford.

For a fixed admission rate, the linear program of ``capacity`` is solved with the exits as
variables: e[n, k] items leave worker n after block k, and over all workers they add up to what a
mixture of threshold vectors lets leave, judged by what a real network said about real items.
Threshold vectors come by column generation: the program's prices say what an exit at k is worth,
and a coordinate search finds the vector that earns most.

Workers may differ in whom they let leave, so that no policy with one set of thresholds for all
does better with these vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis.capacity import RATE, Balance, Computed, Demand, Fleet, Program
from mdibench.errors import UserError

LEVELS = 33
"""Candidate thresholds of each exit: even steps of the confidences that occur, and never."""
ROUNDS = 60
SMALLEST_GAIN = 1e-7
NOTABLE_WEIGHT = 1e-6
NEVER = 2.0
"""A threshold that no confidence reaches."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What exit k says about item i: ``confidences`` and ``correct``, both ``[K, N]``."""

    confidences: NDArray[np.float64]
    correct: NDArray[np.bool_]

    def exits(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Exit (from 0) of each item: thresholds ``[..., K - 1]`` -> ``[..., N]``."""
        leaves = self.confidences[:-1] >= thresholds[..., None]
        last = np.ones((*leaves.shape[:-2], 1, leaves.shape[-1]), bool)
        exits: NDArray[np.int64] = np.concatenate([leaves, last], axis=-2).argmax(axis=-2)
        return exits


@dataclass(frozen=True, slots=True)
class Option:
    """A threshold vector: ``leaves[k-1]`` of the items leave at exit k."""

    thresholds: tuple[float, ...]
    accuracy: float
    leaves: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BestAccuracy:
    """The accuracy of the best mixture, and the mixture: (share of the items, option)."""

    accuracy: float
    mixture: tuple[tuple[float, Option], ...]


@dataclass(frozen=True, slots=True)
class Leaving:
    """The variable e[n, k]."""

    rank: int
    block: int


@dataclass(frozen=True, slots=True)
class Weight:
    """The variable that is an option's share of the items."""

    option: Option


def best_accuracy(
    fleet: Fleet, demand: Demand, outcomes: Outcomes, rate_per_s: float
) -> BestAccuracy | None:
    """The best accuracy at ``rate_per_s``; None where the fleet cannot sustain that rate at all.

    ``demand.go_on`` is not used: here the thresholds decide who goes on.
    """
    search = _Search(outcomes)
    options = search.start()
    for _ in range(ROUNDS):
        try:
            program = _MixedProgram(fleet, demand, options, rate_per_s)
        except _Unreachable:
            return None
        better = search.best(program.exit_prices)
        if program.reduced_gain(better) < SMALLEST_GAIN or better in options:
            break
        options.append(better)
    return BestAccuracy(program.accuracy, program.mixture)


class _Unreachable(UserError):
    """The rate cannot be sustained even if every item leaves at once."""
