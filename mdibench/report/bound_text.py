"""The capacity bound of a config, as text of 80 columns and as JSON. Called by ``cli.check``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap

import numpy as np

from mdibench.bounds.best_accuracy import NO_EXIT, BestAccuracy, Outcomes, best_accuracy
from mdibench.bounds.capacity import Bound, Demand, Resource, capacity, fleet_of, gains
from mdibench.bounds.inputs import BlockSeconds, demand, go_on_after
from mdibench.report import TEXT_WIDTH
from mdibench.simulation.scenario import Scenario, batch_seconds, profiled_times

MOST_LIMITS = 10
RATE_SHARES = (0.5, 0.75, 0.9, 1.0, 1.25, 1.5)
"""Rates of the table of best accuracies, as shares of the bound."""


@dataclass(frozen=True, slots=True)
class BoundReport:
    """The bound of a scenario and the best accuracies below it."""

    scenario: Scenario
    go_on: tuple[float, ...]
    bound: Bound
    gains: Mapping[Resource, float]
    """What 1 % more of each full resource alone is worth, as a share of the bound."""
    lifted: Bound
    """The bound if raw data may leave the source."""
    accuracies: Sequence[tuple[float, BestAccuracy | None]]
    """Pairs of a rate and the best accuracy at that rate."""


def bound_report(scenario: Scenario, rate_per_s: float | None = None) -> BoundReport:
    """The bound, the bound if raw data may leave the source, and the best accuracies."""
    asked = demand_of(scenario)
    fleet = fleet_of(scenario.plan)
    bound = capacity(fleet, asked)
    lifted = capacity(fleet, demand_of(scenario, raw_may_leave=True))
    accuracies = []
    if scenario.recordings is not None and scenario.config.scheme.exits_early:
        patience = scenario.config.model.confidence == "patience"
        seen = Outcomes(scenario.recordings.compared(patience), scenario.recordings.correct)
        rates = [rate_per_s] if rate_per_s else [share * bound.rate_per_s for share in RATE_SHARES]
        accuracies = [(rate, best_accuracy(fleet, asked, seen, rate)) for rate in rates]
    worth = gains(fleet, asked, bound)
    return BoundReport(scenario, tuple(asked.go_on), bound, worth, lifted, accuracies)


def demand_of(scenario: Scenario, raw_may_leave: bool = False) -> Demand:
    """What the scenario's items ask of its fleet at its thresholds."""
    return demand(
        fleet_of(scenario.plan),
        scenario.model,
        fastest_block_s(scenario),
        expected_go_on(scenario),
        scenario.config.scheme,
        raw_may_leave,
        scenario.config.transport.bottleneck,
    )


def fastest_block_s(scenario: Scenario) -> BlockSeconds:
    """Seconds of one task: of the batch size up to ``max_batch`` that serves it fastest.

    Only a profile has times of larger batches. An emulated device takes equally long for each task.
    """
    if scenario.profile is None:
        return scenario.block_s
    sizes = range(1, scenario.config.model.max_batch + 1)
    own = [
        min(batch_seconds(times, size) / size for size in sizes)
        for times in profiled_times(scenario.profile, scenario.config)
    ]
    return [device.block_s if device else own for device in scenario.plan.devices]


def expected_go_on(scenario: Scenario) -> tuple[float, ...]:
    """q_k: the share of items that go on after exit k, at the scenario's thresholds."""
    exits = scenario.model.exits
    if not scenario.config.scheme.exits_early:
        return (*(1.0,) * (exits - 1), 0.0)
    if scenario.recordings is None:
        return tuple(1.0 - 1.0 / left for left in range(exits, 0, -1))
    patience = scenario.config.model.confidence == "patience"
    taken = scenario.recordings.exits(scenario.thresholds, patience=patience)
    return go_on_after(taken, exits)


def bound_lines(report: BoundReport) -> list[str]:
    """The report as lines of at most 80 columns."""
    scenario, bound = report.scenario, report.bound
    plan, name = scenario.plan, scenario.config.scheme.name
    return [
        f"{name} on {plan.ranks} ranks, {plan.topology}, {plan.placement}",
        f"at most {bound.rate_per_s:,.2f} items per second, {_holding_for(scenario)}",
        f"block times: {_origin(scenario)}",
        *_without_load(scenario),
        "",
        *_go_on_lines(report),
        "",
        *_limit_lines(report),
        "",
        *_lifted_lines(report),
        *_accuracy_lines(report),
    ]


def _holding_for(scenario: Scenario) -> str:
    """Which policies the bound holds for: batches larger than the timed ones may be faster."""
    largest, profile = scenario.config.model.max_batch, scenario.profile
    timed = max(timing.batch for timing in profile.blocks[0].times) if profile else 1
    if all(scenario.plan.devices) or largest <= timed:
        return "whatever the policy"
    return f"in batches of at most {timed}, the largest timed"


def _origin(scenario: Scenario) -> str:
    """The origin of the block times."""
    if all(scenario.plan.devices):
        return "those of emulated devices"
    if scenario.profile is not None:
        return "a profile's (hardware)"
    return "measured just now on this machine (hardware)"


def _without_load(scenario: Scenario) -> list[str]:
    """How the bound of a run on real devices differs from this one."""
    if all(scenario.plan.devices):
        return []
    return wrap("unloaded: the bound in a report takes the times and exits that its run measured "
                "under load, and is lower where ranks share a processor or its memory",
                TEXT_WIDTH)  # fmt: skip


def bound_json(report: BoundReport) -> str:
    """The report as one JSON object."""
    data = {
        "rate_per_s": report.bound.rate_per_s,
        "binding": report.bound.binding,
        "limits": [
            asdict(limit) | {"name": limit.name, "gain": report.gains.get(limit)}
            for limit in report.bound.full
        ],
        "raw_offloaded_per_s": report.lifted.rate_per_s,
        "go_on": report.go_on,
        "thresholds": report.scenario.thresholds,
        "tasks_per_s": [
            {"rank": rank, "block": block, "per_s": value}
            for (rank, block), value in sorted(report.bound.tasks_per_s.items())
        ],
        "best_accuracy": [
            {"rate_per_s": rate, **(asdict(best) if best else {"accuracy": None})}
            for rate, best in report.accuracies
        ],
    }
    return json.dumps(data, indent=1)


def _go_on_lines(report: BoundReport) -> list[str]:
    exits = range(1, report.scenario.model.exits + 1)
    return [
        "after exit          " + "".join(f"{exit_:>8}" for exit_ in exits),
        "items that go on, % " + "".join(f"{100 * share:8.1f}" for share in report.go_on),
    ]


def _limit_lines(report: BoundReport) -> list[str]:
    full, worth = report.bound.full, report.gains
    lines = ["limited by            used %   1 % more of it alone raises the bound by"]
    for one in sorted(worth, key=lambda one: -worth[one])[:MOST_LIMITS]:
        lines.append(f"{one.name:20}{100 * one.used:8.1f}   {100 * worth[one]:.3f} %")
    if len(full) > MOST_LIMITS:
        lines.append(f"and {len(full) - MOST_LIMITS} more")
    if len(full) > 1:
        lines.append("1 % more of all of them raises it by 1 %")
    return lines


def _lifted_lines(report: BoundReport) -> list[str]:
    now, lifted = report.bound.rate_per_s, report.lifted.rate_per_s
    if lifted <= now * (1 + 1e-9):
        return ["offloading raw data would not raise the bound"]
    text = (
        f"with source_offloads_raw = true: {lifted:,.2f} items per second "
        f"({lifted / now - 1:+.0%}), limited by {report.lifted.binding}"
    )
    return wrap(text, TEXT_WIDTH)[:3]


def _accuracy_lines(report: BoundReport) -> list[str]:
    if not report.accuracies:
        return ["", _without_table(report.scenario)]
    lines = ["", "best accuracy at a rate, by the thresholds of the best mixture", ""]
    lines.append("items per s  of bound  accuracy  share of items: T_e of each exit but the last")
    for rate, best in report.accuracies:
        head = f"{rate:11,.2f}  {rate / report.bound.rate_per_s:7.0%}  "
        if best is None:
            lines.append(f"{head} beyond what any threshold allows")
            continue
        head += f"{100 * best.accuracy:7.2f}%  "
        for share, option in best.mixture:
            thresholds = " ".join(_threshold(value) for value in option.thresholds)
            lines.append(f"{head}{share:4.0%}: {thresholds}")
            head = " " * len(head)
    return lines


def _without_table(scenario: Scenario) -> str:
    """The reason why there is no table of best accuracies."""
    if scenario.recordings is None:
        return "no accuracy at any rate: the null block classifies nothing"
    last = scenario.recordings.correct[-1].mean()
    name = scenario.config.scheme.name
    return f"accuracy {100 * last:.2f}% at any rate up to the bound: {name} has no early exits here"


def _threshold(value: float) -> str:
    return "never" if value >= NO_EXIT else f"{np.clip(value, 0, 1):.3f}"
