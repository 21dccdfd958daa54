"""The highest rate that any policy could sustain: a linear program over rates and flows.

Variables: the admission rate, x[n, k], the rate of task k computed at worker n, and f[n, m, k], the
flow of task k over the link from n to m, all per second. Results flow to the source as if they were
tasks of one more block that only the source hosts and that takes no time.

* At every worker, what comes in and what is created is computed there or goes out.
* A worker computes for at most one second in each second: sum over k of x[n, k] s[n, k] <= 1.
* A link carries at most its bandwidth.
* x[n, k] q_k tasks k+1 are created at n, where q_k is the share of items that go on after exit k.

The program has no queues, no delays and full knowledge: a policy can approach the bound, not
exceed it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from mdibench.core.records import SOURCE
from mdibench.errors import InvariantError, Problem, UserError
from mdibench.network.plan import Link, Plan

RankPair: TypeAlias = tuple[int, int]
Balance: TypeAlias = dict[RankPair, dict[int, float]]
"""Tasks of kind k that appear at worker n, by (n, k): column -> coefficient."""
NOTABLE_SHARE = 1e-6
"""A resource whose share in the bound is smaller than this does not bind."""
FULL = 1 - 1e-6
"""A resource that is used more than this binds."""
MORE = 1.01
MOST_SOLVED = 20
"""Resources that the program is solved again for, with ``MORE`` of each."""
_UNBOUNDED = 3


@dataclass(frozen=True, slots=True)
class Fleet:
    """The blocks of each worker, and the links that may carry tasks by (sender, receiver).

    ``closed`` are workers that nobody sends tasks to.
    """

    blocks: Sequence[frozenset[int]]
    links: Mapping[RankPair, Link]
    closed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Demand:
    """The load of the items on the fleet. Blocks count from 1: task k is at index k - 1.

    ``block_s[n][k-1]`` are the seconds of task k at worker n, ``go_on[k-1]`` is q_k (the last is
    0), ``task_bytes[codec][k-1]`` the size of a message with task k, ``result_bytes`` that of one
    with a result. ``raw_stays``: the source computes every first block itself, if it hosts it.
    ``tasks_stay``: a host never sends on a task that it can compute (all schemes without a choice).
    ``received_stays``: a host computes what it received, and sends on only tasks created there.
    """

    block_s: Sequence[Sequence[float]]
    go_on: Sequence[float]
    task_bytes: Mapping[str, Sequence[float]]
    result_bytes: float = 0.0
    raw_stays: bool = True
    tasks_stay: bool = False
    received_stays: bool = False

    @property
    def exits(self) -> int:
        """K."""
        return len(self.go_on)


@dataclass(frozen=True, slots=True)
class Rate:
    """The variable that is the admission rate."""


@dataclass(frozen=True, slots=True)
class ComputeVariable:
    """The variable x[n, k]."""

    rank: int
    block: int


@dataclass(frozen=True, slots=True)
class LinkVariable:
    """The variable f[n, m, k]; ``kind`` K + 1 stands for results."""

    source: int
    target: int
    kind: int


RATE = Rate()


@dataclass(frozen=True, slots=True)
class Resource:
    """A worker's time (``ranks`` has one) or a link (sender, receiver) at the optimum.

    ``used`` is its utilisation. ``share`` is its part in the bound: one per cent more of it raises
    the bound by that many per cent (to first order), and all shares sum to 1.
    """

    ranks: tuple[int, ...]
    used: float
    share: float

    @property
    def name(self) -> str:
        """``worker 2`` or ``link 0 -> 1``."""
        if len(self.ranks) == 1:
            return f"worker {self.ranks[0]}"
        return f"link {self.ranks[0]} -> {self.ranks[1]}"


@dataclass(frozen=True, slots=True)
class Bound:
    """The bound, what limits it (largest share first), and one way to reach it."""

    rate_per_s: float
    resources: tuple[Resource, ...]
    tasks_per_s: Mapping[RankPair, float]
    """x[n, k] by (n, k)."""
    flows_per_s: Mapping[tuple[int, int, int], float]
    """f[n, m, k] by (n, m, k); k = K + 1 are results."""

    @property
    def limits(self) -> tuple[Resource, ...]:
        """The resources worth upgrading."""
        return tuple(r for r in self.resources if r.share > NOTABLE_SHARE)

    @property
    def full(self) -> tuple[Resource, ...]:
        """The resources that are used fully; where they bind together, some have no share."""
        return tuple(r for r in self.resources if r.used > FULL)

    @property
    def binding(self) -> str:
        """The limiting resources as text."""
        return ", ".join(f"{r.name} ({r.share:.0%})" for r in self.limits)


def fleet_of(plan: Plan) -> Fleet:
    """The part of a plan that the program uses."""
    return Fleet(plan.blocks, {pair: plan.links[pair] for pair in sorted(plan.ways)})


def capacity(fleet: Fleet, demand: Demand) -> Bound:
    """The largest sustainable admission rate, by HiGHS.

    Raises UserError where nothing limits the rate.
    """
    return Program(fleet, demand).solve()


def gains(fleet: Fleet, demand: Demand, bound: Bound) -> dict[Resource, float]:
    """How much 1 % more of a full resource alone raises the bound, as a share of it.

    Found by solving again: where several resources bind together, the shares are one of many
    answers, and more of a single resource is worth less than its share, or nothing.
    """
    program = Program(fleet, demand)
    return {
        resource: program.rate_with_more_of(resource) / bound.rate_per_s - 1
        for resource in bound.full[:MOST_SOLVED]
    }


@dataclass(frozen=True, slots=True)
class Optimum:
    """The variables at the optimum, and the gain per unit of each row's right-hand side."""

    values: NDArray[np.float64]
    limit_gains: NDArray[np.float64]
    equality_gains: NDArray[np.float64]


def optimum(costs: NDArray[np.float64], limits: SparseRows, equalities: SparseRows) -> Optimum:
    """The least cost of variables that are not negative, by HiGHS."""
    width, limited = len(costs), bool(limits.right)
    answer = linprog(
        costs,
        limits.matrix(width) if limited else None,
        limits.right if limited else None,
        equalities.matrix(width),
        equalities.right,
        method="highs",
    )
    if answer.status == _UNBOUNDED:
        raise UserError(_unbounded())
    if answer.status != 0:
        raise InvariantError(f"the bound's program did not end: {answer.message}")
    found = (answer.x, answer.ineqlin.marginals if limited else (), answer.eqlin.marginals)
    values, per_limit, per_equality = (np.asarray(part, np.float64) for part in found)
    return Optimum(values, -per_limit, -per_equality)


class Program:
    """The linear program. Subclasses add variables and rows before ``solve``."""

    def __init__(self, fleet: Fleet, demand: Demand) -> None:
        self.fleet = fleet
        self.demand = demand
        self.columns: dict[Hashable, int] = {}
        self.equalities = SparseRows()
        self.limits = SparseRows()
        self.resources: list[tuple[int, ...]] = []
        self._add_variables()
        self._add_conservation()
        self._add_limits()
        if demand.received_stays:
            self._add_stays()

    def solve(self) -> Bound:
        """Maximise the rate."""
        return self._bound(self.maximise({RATE: 1.0}))

    def rate_with_more_of(self, resource: Resource) -> float:
        """The highest rate with ``MORE`` of one resource."""
        row = self.resources.index(resource.ranks)
        self.limits.right[row] = MORE
        rate = float(self.maximise({RATE: 1.0}).values[self.columns[RATE]])
        self.limits.right[row] = 1.0
        return rate

    def maximise(self, objective: Mapping[Hashable, float]) -> Optimum:
        """Maximise a weighted sum of variables."""
        width = len(self.columns)
        costs = np.zeros(width)
        for variable, gain in objective.items():
            costs[self.columns[variable]] = -gain
        return optimum(costs, self.limits, self.equalities)

    # --- variables ----------------------------------------------------------------------------

    @property
    def _kinds(self) -> range:
        """Tasks of block 1 to K and, where results have a size, K + 1 for results."""
        return range(1, self.demand.exits + 1 + (self.demand.result_bytes > 0))

    def column(self, variable: Hashable) -> int:
        """The variable's index; adds the variable where it is new."""
        return self.columns.setdefault(variable, len(self.columns))

    def _add_variables(self) -> None:
        self.column(RATE)
        for rank, held in enumerate(self.fleet.blocks):
            for block in sorted(held):
                self.column(ComputeVariable(rank, block))
        for source, target in self.fleet.links:
            for kind in self._kinds:
                if self._may_cross(source, target, kind):
                    self.column(LinkVariable(source, target, kind))

    def _may_cross(self, rank: int, target: int, kind: int) -> bool:
        """Whether ``rank`` may send tasks of this kind to ``target``."""
        if kind > self.demand.exits:
            return rank != SOURCE
        if target in self.fleet.closed:
            return False
        hosts = kind in self.fleet.blocks[rank]
        if kind == 1 and rank == SOURCE:
            return not (hosts and self.demand.raw_stays)
        return not (hosts and self.demand.tasks_stay)

    # --- rows ---------------------------------------------------------------------------------

    def _add_conservation(self) -> None:
        balance: Balance = {
            (rank, kind): {}
            for rank in range(len(self.fleet.blocks))
            for kind in self._kinds
            if not (rank == SOURCE and kind > self.demand.exits)
        }
        self.credit(balance, (SOURCE, 1), RATE, 1.0)
        for variable in list(self.columns):
            if isinstance(variable, ComputeVariable):
                self.balance_computed(balance, variable)
            elif isinstance(variable, LinkVariable):
                self.credit(balance, (variable.source, variable.kind), variable, -1.0)
                self.credit(balance, (variable.target, variable.kind), variable, 1.0)
        for entries in balance.values():
            self.equalities.add(entries.items(), 0.0)

    def balance_computed(self, balance: Balance, task: ComputeVariable) -> None:
        """x[n, k] consumes a task k and creates q_k tasks k + 1 and 1 - q_k results."""
        exits, goes_on = self.demand.exits, self.demand.go_on[task.block - 1]
        self.credit(balance, (task.rank, task.block), task, -1.0)
        if task.block < exits:
            self.credit(balance, (task.rank, task.block + 1), task, goes_on)
        self.credit(balance, (task.rank, exits + 1), task, 1.0 - goes_on)

    def credit(self, balance: Balance, place: RankPair, variable: Hashable, amount: float) -> None:
        """Let ``amount`` tasks appear at ``place`` per unit of ``variable``."""
        row = balance.get(place)
        if row is not None and amount:
            column = self.columns[variable]
            row[column] = row.get(column, 0.0) + amount

    def _add_limits(self) -> None:
        for rank, held in enumerate(self.fleet.blocks):
            seconds = self.demand.block_s[rank]
            entries = [
                (self.columns[ComputeVariable(rank, k)], seconds[k - 1]) for k in sorted(held)
            ]
            self._limit((rank,), entries)
        for (source, target), link in self.fleet.links.items():
            if link.bandwidth_bps is None:
                continue
            sizes = (*self.demand.task_bytes[link.codec], self.demand.result_bytes)
            entries = [
                (self.columns[LinkVariable(source, target, kind)], 8 * size / link.bandwidth_bps)
                for kind, size in zip(self._kinds, sizes, strict=False)
                if LinkVariable(source, target, kind) in self.columns
            ]
            self._limit((source, target), entries)

    def _add_stays(self) -> None:
        """Tasks that leave a host were created there: by block k - 1, or by admission."""
        leaving: dict[RankPair, list[int]] = defaultdict(list)
        for variable, column in self.columns.items():
            if isinstance(variable, LinkVariable):
                leaving[variable.source, variable.kind].append(column)
        for rank, held in enumerate(self.fleet.blocks):
            for block in sorted(held):
                entries = [(column, 1.0) for column in leaving[rank, block]]
                if block - 1 in held:
                    before = self.columns[ComputeVariable(rank, block - 1)]
                    entries.append((before, -self.demand.go_on[block - 2]))
                if block == 1 and rank == SOURCE:
                    entries.append((self.columns[RATE], -1.0))
                self.limits.add(entries, 0.0)

    def _limit(self, ranks: tuple[int, ...], entries: list[tuple[int, float]]) -> None:
        """A resource may be used fully, not more."""
        if any(amount > 0 for _, amount in entries):
            self.resources.append(ranks)
            self.limits.add(entries, 1.0)

    # --- the answer -----------------------------------------------------------------------------

    def _bound(self, optimum: Optimum) -> Bound:
        rate = float(optimum.values[0])
        used = self.limits.matrix(len(self.columns)) @ optimum.values
        resources = [
            Resource(ranks, float(u), float(gain) / rate if rate else 0.0)
            for ranks, u, gain in zip(self.resources, used, optimum.limit_gains, strict=False)
        ]
        values = {v: float(x) for v, i in self.columns.items() if (x := optimum.values[i]) > 0}
        return bound_at(rate, resources, values)


def bound_at(rate: float, resources: list[Resource], values: Mapping[Hashable, float]) -> Bound:
    """The answer at ``values``, all per second."""
    return Bound(
        rate,
        tuple(sorted(resources, key=lambda r: -r.share)),
        {(v.rank, v.block): x for v, x in values.items() if isinstance(v, ComputeVariable)},
        {(v.source, v.target, v.kind): x for v, x in values.items() if isinstance(v, LinkVariable)},
    )


class SparseRows:
    """Sparse rows, each as its (column, value), with their right-hand sides."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[int, float]]] = []
        self.right: list[float] = []

    def add(self, entries: Iterable[tuple[int, float]], right: float) -> None:
        """One more row."""
        self.rows.append(list(entries))
        self.right.append(right)

    def matrix(self, columns: int) -> Any:
        """All rows, sparse."""
        at = np.repeat(np.arange(len(self.rows)), [len(row) for row in self.rows])
        entries = np.array([*chain.from_iterable(self.rows)], np.float64).reshape(-1, 2)
        places = at, entries[:, 0].astype(np.int64)
        return coo_array((entries[:, 1], places), (len(self.rows), columns)).tocsr()


def _unbounded() -> Problem:
    return Problem(
        "the rate has no bound: neither the workers' time nor a link limits it",
        "block times and bandwidths",
        "give block times (emulation.device, or a profile of the network) or link bandwidths",
    )
