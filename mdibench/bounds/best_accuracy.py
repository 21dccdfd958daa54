"""The best accuracy at a given rate: the best mixture of exit thresholds that the fleet sustains.

For a fixed admission rate, the linear program of ``capacity`` is solved with the exits as
variables: e[n, k] items leave worker n after block k, and over all workers they add up to what a
mixture of threshold vectors lets leave, by the recorded outputs of a real network on real items.
Threshold vectors come from column generation: the dual values give the worth of an exit at k, and a
coordinate search finds the vector with the highest value.

Workers may let different items leave, so that no policy with one set of thresholds for all workers
reaches a higher accuracy with these vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mdibench.bounds.capacity import (
    RATE,
    Balance,
    ComputeVariable,
    Demand,
    Fleet,
    Program,
    capacity,
)

QUANTILES = 32
"""Of the confidences at each exit: these are candidate thresholds, beside ``STARTS``."""
SMALLEST_GAIN = 1e-7
TOLERANCE = 1e-12
NOTABLE_WEIGHT = 1e-6
NO_EXIT = 2.0
"""A threshold above every confidence."""
STARTS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, NO_EXIT)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Outputs of exit k for item i: ``confidences`` and ``correct``, both ``[K, N]``."""

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

    def worth(self, exit_values: Sequence[float]) -> float:
        """Its accuracy plus the value of its early exits."""
        early = zip(self.leaves, exit_values, strict=False)
        return self.accuracy + sum(share * value for share, value in early)


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

    ``demand.go_on`` is not used: here the thresholds decide which items go on.
    """
    fastest = capacity(fleet, replace(demand, go_on=(0.0,) * demand.exits))
    if rate_per_s > fastest.rate_per_s * (1 + TOLERANCE):
        return None
    search = ThresholdSearch(outcomes)
    options = [search.option(start) for start in search.starts()]
    while True:
        program = MixedProgram(fleet, demand, options, min(rate_per_s, fastest.rate_per_s))
        better = search.best(program.exit_values, options)
        if program.gain(better) < SMALLEST_GAIN:
            better = search.best_of_pairs(program.exit_values, better)
        if program.gain(better) < SMALLEST_GAIN:
            return BestAccuracy(program.accuracy, program.mixture)
        options.append(better)


class MixedProgram(Program):
    """The program with a fixed rate, exits as variables and a mixture of ``options``; solved."""

    def __init__(
        self, fleet: Fleet, demand: Demand, options: Sequence[Option], rate_per_s: float
    ) -> None:
        self._options = options
        self._rate_per_s = rate_per_s
        super().__init__(fleet, demand)
        self._fix_rate()
        self._mix()
        optimum = self.maximise({Weight(option): option.accuracy for option in options})
        weights = [optimum.values[self.columns[Weight(option)]] for option in options]
        pairs = zip(weights, options, strict=True)
        self.mixture = tuple((float(w), option) for w, option in pairs if w > NOTABLE_WEIGHT)
        self.accuracy = float(sum(w * option.accuracy for w, option in self.mixture))
        prices = optimum.equality_gains[-demand.exits :]
        self.exit_values = tuple(-float(price) * rate_per_s for price in prices[:-1])
        """Value, in accuracy, of all items leaving at exit k, for k < K."""
        self._worth = float(prices[-1])

    def gain(self, option: Option) -> float:
        """How much the accuracy would rise per unit of ``option`` in the mixture."""
        return option.worth(self.exit_values) - self._worth

    def balance_computed(self, balance: Balance, task: ComputeVariable) -> None:
        """x[n, k] consumes a task k; an item that does not leave becomes a task k + 1."""
        self.credit(balance, (task.rank, task.block), task, -1.0)
        result = (task.rank, self.demand.exits + 1)
        if task.block == self.demand.exits:
            self.credit(balance, result, task, 1.0)
            return
        leaving = Leaving(task.rank, task.block)
        self.column(leaving)
        self.credit(balance, (task.rank, task.block + 1), task, 1.0)
        self.credit(balance, (task.rank, task.block + 1), leaving, -1.0)
        self.credit(balance, result, leaving, 1.0)

    def _fix_rate(self) -> None:
        self.equalities.add([(self.columns[RATE], 1.0)], self._rate_per_s)

    def _mix(self) -> None:
        """Only computed items leave; those that leave at k are the mixture's; weights sum to 1.

        The last K equalities are those of the exits before the last, and of the weights.
        """
        leaving = [variable for variable in self.columns if isinstance(variable, Leaving)]
        for one in leaving:
            computed = self.columns[ComputeVariable(one.rank, one.block)]
            self.limits.add([(self.columns[one], 1.0), (computed, -1.0)], 0.0)
        weights = [(self.column(Weight(option)), option) for option in self._options]
        rate = self._rate_per_s
        for k in range(1, self.demand.exits):
            mixed = [(column, rate * option.leaves[k - 1]) for column, option in weights]
            left = [(self.columns[one], -1.0) for one in leaving if one.block == k]
            self.equalities.add([*mixed, *left], 0.0)
        self.equalities.add([(column, 1.0) for column, _ in weights], 1.0)


class ThresholdSearch:
    """Finds the threshold vector with the highest value for given values of the exits."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        steps = np.linspace(0.0, 1.0, QUANTILES)
        quantiles = np.quantile(outcomes.confidences[:-1], steps, axis=1)
        starts = np.repeat(np.array(STARTS)[:, None], quantiles.shape[1], axis=1)
        self._candidates = np.concatenate([quantiles, starts])
        """``[candidates, K - 1]``"""

    def starts(self) -> list[NDArray[np.float64]]:
        """One threshold for all exits, from all items leave at exit 1 to none leaves early."""
        return [np.full(self._candidates.shape[1], start) for start in STARTS]

    def option(self, thresholds: NDArray[np.float64]) -> Option:
        """Accuracy and exit shares of the thresholds on the recorded items."""
        exits = self._outcomes.exits(thresholds)
        items = np.arange(len(exits))
        taken = np.bincount(exits, minlength=len(self._outcomes.confidences)) / len(exits)
        accuracy = float(self._outcomes.correct[exits, items].mean())
        return Option(tuple(thresholds.tolist()), accuracy, tuple(taken.tolist()))

    def best(self, exit_values: Sequence[float], known: Sequence[Option]) -> Option:
        """The most valuable vector that coordinate searches from the known ones reach."""
        values = self._outcomes.correct + np.array([*exit_values, 0.0])[:, None]
        ends = [self._climb(np.array(option.thresholds), values) for option in known]
        return max(map(self.option, ends), key=lambda option: option.worth(exit_values))

    def best_of_pairs(self, exit_values: Sequence[float], known: Option) -> Option:
        """The same from ``known``, where two thresholds may change at once.

        Slow: for when changes of one find nothing.
        """
        values = self._outcomes.correct + np.array([*exit_values, 0.0])[:, None]
        thresholds = np.array(known.thresholds)
        best = self._mean_value(thresholds[None], values)[0]
        for one, other in combinations(range(len(thresholds)), 2):
            for candidate in self._candidates[:, one]:
                tried = np.repeat(thresholds[None], len(self._candidates), axis=0)
                tried[:, one], tried[:, other] = candidate, self._candidates[:, other]
                means = self._mean_value(tried, values)
                if means.max() > best + TOLERANCE:
                    best, thresholds = means.max(), tried[means.argmax()]
        return self.option(self._climb(thresholds, values))

    def _climb(
        self, thresholds: NDArray[np.float64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Change one threshold after the other as long as the mean value increases."""
        best = self._mean_value(thresholds[None], values)[0]
        while True:
            before = best
            for k in range(len(thresholds)):
                tried = np.repeat(thresholds[None], len(self._candidates), axis=0)
                tried[:, k] = self._candidates[:, k]
                means = self._mean_value(tried, values)
                if means.max() > best + TOLERANCE:
                    best, thresholds = means.max(), tried[means.argmax()]
            if best == before:
                return thresholds

    def _mean_value(
        self, thresholds: NDArray[np.float64], values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        exits = self._outcomes.exits(thresholds)
        means: NDArray[np.float64] = values[exits, np.arange(exits.shape[-1])].mean(axis=-1)
        return means
