"""The best placement of blocks for a network with early exits: a mixed-integer program.

The program of ``capacity``, with every worker able to host every block, gets one binary variable
for each pair of the two: only a host computes, and the weights of what a worker hosts fit its
memory. HiGHS maximises the admission rate, or minimises the expected latency of an item that has
the fleet for itself. Of placements that are equally good but for ``NEGLIGIBLE``, it prefers those
with fewer copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from mdibench.bounds.capacity import (
    RATE,
    ComputeVariable,
    Demand,
    Fleet,
    LinkVariable,
    Program,
    SparseRows,
    capacity,
    fleet_of,
)
from mdibench.bounds.inputs import demand
from mdibench.config.schema import PlacementSection, RunConfig
from mdibench.errors import Problem, UserError
from mdibench.network.placement import Blocks
from mdibench.network.plan import ModelInfo, Plan
from mdibench.network.planning import make_plan

BYTES_PER_WEIGHT = 4
MEBI = 1024**2
NEGLIGIBLE = 1e-3
"""Share of the objective that all copies together may cost."""
TOO_SLOW_PER_S = 1e-6
LONGEST_S = 60.0
"""HiGHS answers with the best placement so far after this time."""


@dataclass(frozen=True, slots=True)
class Hosting:
    """The binary variable that is 1 where a worker hosts a block."""

    rank: int
    block: int


@dataclass(frozen=True, slots=True)
class PlacementFigures:
    """A placement's bound, and the expected latency of an item that has the fleet for itself."""

    rate_per_s: float
    latency_s: float


def optimised(config: RunConfig, plan: Plan, model: ModelInfo) -> Blocks:
    """The placement that ``config.placement.optimise`` asks for.

    ``plan`` has every block on every worker. Raises UserError where a worker's memory or block
    times are unknown, and where the weights do not fit.
    """
    _check(config, plan)
    asked = _demand(config, plan, model)
    alone = config.placement.optimise == "latency"
    blocks = ChoosingProgram(fleet_of(plan), asked, plan, model, alone).choose()
    if blocks is None:
        raise UserError(_infeasible(config, plan, model))
    return blocks


def weight_bytes(model: ModelInfo, block: int) -> int:
    """Memory of a block's weights."""
    return BYTES_PER_WEIGHT * model.blocks[block - 1].parameters


def memory_bytes(plan: Plan, rank: int) -> int:
    """Memory of a rank's device, 0 where it is unknown."""
    device = plan.devices[rank]
    return (device.memory_bytes or 0) if device else 0


def _check(config: RunConfig, plan: Plan) -> None:
    """Every worker needs a device with memory and block times."""
    where = config.where("placement", "optimise")
    lacking = [rank for rank in range(plan.ranks) if not memory_bytes(plan, rank)]
    if lacking:
        what = f"the memory of rank {lacking[0]} is unknown, and placement.optimise needs it"
        remedy = "name devices in emulation.device, with memory_mb where they are your own"
        raise UserError(Problem(what, where, remedy))


def _infeasible(config: RunConfig, plan: Plan, model: ModelInfo) -> Problem:
    needed = [weight_bytes(model, k) for k in range(1, plan.exits + 1)]
    memory = [memory_bytes(plan, rank) / MEBI for rank in range(plan.ranks)]
    what = (
        f"no placement fits: the blocks need {', '.join(f'{n / MEBI:.3g}' for n in needed)} MiB, "
        f"the devices have {max(memory):.3g} MiB at most and {sum(memory):.3g} together"
    )
    remedy = "use more devices, devices with more memory, or a smaller network"
    return Problem(what, config.where("placement", "optimise"), remedy)


def figures(config: RunConfig, plan: Plan, model: ModelInfo) -> PlacementFigures:
    """What the placement of ``plan`` is worth."""
    fleet, asked = fleet_of(plan), _demand(config, plan, model)
    return PlacementFigures(
        capacity(fleet, asked).rate_per_s, AloneProgram(fleet, asked).least_latency_s()
    )


def balanced_cut(config: RunConfig, plan: Plan, model: ModelInfo) -> Plan:
    """The plan with the balanced cut in place of the optimised placement."""
    cut = config.model_copy(update={"placement": PlacementSection(partition=True)})
    return make_plan(cut, plan.ranks, model)


def _demand(config: RunConfig, plan: Plan, model: ModelInfo) -> Demand:
    block_s = [device.block_s if device else () for device in plan.devices]
    go_on = config.placement.go_on or (1.0,) * (plan.exits - 1)
    shares = (*go_on[: plan.exits - 1], 0.0)
    ratio = config.transport.bottleneck
    return demand(fleet_of(plan), model, block_s, shares, config.scheme, bottleneck=ratio)


class AloneProgram(Program):
    """One item in each second on a fleet that has nothing else to do: nothing is a limit."""

    def __init__(self, fleet: Fleet, demand: Demand) -> None:
        super().__init__(fleet, demand)
        self.limits = SparseRows()
        self.equalities.add([(self.columns[RATE], 1.0)], 1.0)

    def least_latency_s(self) -> float:
        """Expected time of computing and of transfers, by the fastest ways."""
        times = latencies_s(self)
        values = self.maximise({variable: -seconds for variable, seconds in times.items()}).values
        return sum(seconds * float(values[self.columns[v]]) for v, seconds in times.items())


class ChoosingProgram(Program):
    """The program with a choice of hosts, for the highest rate, or for one item ``alone``."""

    def __init__(
        self, fleet: Fleet, demand: Demand, plan: Plan, model: ModelInfo, alone: bool
    ) -> None:
        super().__init__(fleet, demand)
        if alone:
            self.limits = SparseRows()
            self.equalities.add([(self.columns[RATE], 1.0)], 1.0)
        self._alone = alone
        computing = [one for one in self.columns if isinstance(one, ComputeVariable)]
        self._hosting = {Hosting(one.rank, one.block): one for one in computing}
        for hosting, one in self._hosting.items():
            most_per_s = 1.0 if alone else 1 / demand.block_s[one.rank][one.block - 1]
            here = (self.column(hosting), -most_per_s)
            self.limits.add([(self.columns[one], 1.0), here], 0.0)
        for rank in range(plan.ranks):
            weights = [
                (self.columns[Hosting(rank, k)], weight_bytes(model, k) / MEBI)
                for k in range(1, plan.exits + 1)
            ]
            self.limits.add(weights, memory_bytes(plan, rank) / MEBI)

    def choose(self) -> Blocks | None:
        """The best placement; None where a block fits nowhere."""
        values = self._minimise()
        if values is None or values[self.columns[RATE]] < TOO_SLOW_PER_S:
            return None
        ranks = range(len(self.fleet.blocks))
        held = {one for one in self._hosting if values[self.columns[one]] > 0.5}
        return tuple(frozenset(one.block for one in held if one.rank == rank) for rank in ranks)

    def _minimise(self) -> NDArray[np.float64] | None:
        width = len(self.columns)
        hosting = [self.columns[one] for one in self._hosting]
        most, whole = np.full(width, np.inf), np.zeros(width, np.int64)
        most[hosting] = whole[hosting] = 1
        equal, limited = self.equalities, self.limits
        answer = milp(
            self._costs(),
            integrality=whole,
            bounds=Bounds(0, most),
            constraints=[
                LinearConstraint(equal.matrix(width), equal.right, equal.right),
                LinearConstraint(limited.matrix(width), -np.inf, limited.right),
            ],
            options={"time_limit": LONGEST_S, "mip_rel_gap": NEGLIGIBLE / 10},
        )
        return answer.x

    def _costs(self) -> NDArray[np.float64]:
        """The objective, about 1 in size, and a little for every host."""
        costs = np.zeros(len(self.columns))
        if self._alone:
            times = latencies_s(self)
            scale = AloneProgram(self.fleet, self.demand).least_latency_s()
            for variable, seconds in times.items():
                costs[self.columns[variable]] = seconds / scale
        else:
            costs[self.columns[RATE]] = -1 / capacity(self.fleet, self.demand).rate_per_s
        for one in self._hosting:
            costs[self.columns[one]] = NEGLIGIBLE / len(self._hosting)
        return costs


def latencies_s(program: Program) -> dict[ComputeVariable | LinkVariable, float]:
    """Seconds that each task and each transfer takes by itself."""
    asked = program.demand
    found: dict[ComputeVariable | LinkVariable, float] = {}
    for variable in program.columns:
        if isinstance(variable, ComputeVariable):
            found[variable] = asked.block_s[variable.rank][variable.block - 1]
        elif isinstance(variable, LinkVariable):
            link = program.fleet.links[variable.source, variable.target]
            sizes = (*asked.task_bytes[link.codec], asked.result_bytes)
            bits = 8 * sizes[variable.kind - 1]
            found[variable] = link.delay_s + (
                bits / link.bandwidth_bps if link.bandwidth_bps else 0
            )
    return found
