"""From a config and a plan to the state machines, the same for real and simulated runs.

``exit_rule_of`` takes the thresholds from the config or calibrates them; ``make_node`` builds the
worker of a rank and, on rank 0, the source.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from mdibench.assembly.workload import SourceItems
from mdibench.config.schema import RunConfig
from mdibench.core.node import Node
from mdibench.core.pressure_worker import PressureWorker
from mdibench.core.records import SOURCE
from mdibench.core.setup import (
    Figure,
    SourceSetup,
    Until,
    WorkerSetup,
    constant,
    poisson,
    traced_arrivals,
)
from mdibench.core.source import Source
from mdibench.core.worker import Worker
from mdibench.network.placement import last_blocks
from mdibench.network.plan import Plan
from mdibench.policy.algorithms import Gains
from mdibench.policy.pressure import PressureParameters

ATTEMPTS = 9
"""How often an item is tried before it counts as lost.

More than once at the same silent worker: each neighbour that has not noticed the silence yet may
send it there again.
"""


@dataclass(frozen=True, slots=True)
class ExitRule:
    """T_e^k and the temperature of each exit; ``calibration`` describes how they were chosen."""

    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...] = ()
    calibration: dict[str, Any] | None = None

    @classmethod
    def from_json(
        cls, thresholds: list[float], temperatures: list[float], calibration: dict[str, Any] | None
    ) -> ExitRule:
        """The reverse of ``dataclasses.asdict``, from JSON data."""
        return cls(tuple(thresholds), tuple(temperatures), calibration)


def exit_rule_of(config: RunConfig, exits: int) -> ExitRule:
    """The config's thresholds; for a target, thresholds calibrated on this rank."""
    scheme = config.scheme
    if not scheme.calibrated:
        return ExitRule(scheme.thresholds(exits))
    from mdibench.training.calibration import calibrated_exits

    found = calibrated_exits(config.model, scheme)
    facts = asdict(found.chosen) | {"ece": found.ece, "items": found.items}
    return ExitRule(found.chosen.thresholds, found.temperatures, facts)


def generator(config: RunConfig, purpose: str) -> random.Random:
    """A random generator for one purpose, seeded from the run's seed and the purpose."""
    return random.Random(f"{config.run.seed}/{purpose}")


def worker_setup(
    config: RunConfig, plan: Plan, rank: int, thresholds: tuple[float, ...]
) -> WorkerSetup:
    """The settings of worker ``rank``."""
    scheme = config.scheme
    return WorkerSetup(
        rank=rank,
        blocks=plan.blocks[rank],
        neighbours=plan.neighbours[rank],
        next_hops=plan.next_hops[rank],
        toward_source=plan.toward_source[rank],
        scheme=scheme.policies,
        early_exit=scheme.exits_early,
        thresholds=thresholds,
        offers_raw=scheme.offers_raw,
        output_limit=scheme.output_queue_limit,
        max_batch=config.model.max_batch,
        last_block=last_blocks(config.scheme, plan.blocks[rank]),
        patience=config.model.confidence == "patience",
        gossip_s=config.transport.gossip_s,
        link_window=config.transport.link_window,
        suspect_after_s=config.transport.suspect_after_s,
        smoothing=config.transport.smoothing,
        trace=config.run.trace,
        max_in_flight=config.admission.max_in_flight,
        attempts=ATTEMPTS,
        outgoing={
            other: plan.blocks[other]
            for other in plan.neighbours[rank]
            if (rank, other) in plan.ways
        },
        pressure=PressureParameters(
            scheme.admission_price, scheme.price_threshold, scheme.hop_limit
        ),
    )


def source_setup(
    config: RunConfig, items: SourceItems, thresholds: tuple[float, ...]
) -> SourceSetup:
    """The settings of the source: how it admits, adapts and ends the run."""
    admission = config.admission
    order = list(range(len(items.labels)))
    generator(config, "order").shuffle(order)
    return SourceSetup(
        mode=admission.mode,
        interarrival_s=1.0 if admission.arrivals == "trace" else admission.interarrival_s,
        gaps=_gaps(config, items.arrivals_s),
        order=order,
        labels=items.labels,
        fetch=items.fetch,
        thresholds=thresholds,
        warmup_s=config.run.warmup_s,
        duration_s=config.run.duration_s,
        drain_s=config.run.drain_s,
        items=config.run.items,
        until=_until(config),
        max_in_flight=admission.max_in_flight,
        period_s=admission.period_s,
        gains=Gains(
            admission.queue_low,
            admission.queue_high,
            admission.alpha,
            admission.beta,
            admission.zeta,
        ),
        threshold_min=admission.threshold_min,
        exits_together=admission.exits == "together",
        rerun=config.transport.on_suspect == "rerun",
        attempts=ATTEMPTS,
    )


def _until(config: RunConfig) -> Until | None:
    wanted = config.run.precision
    return Until(cast(Figure, wanted[0]), wanted[1]) if wanted else None


def make_node(
    config: RunConfig,
    plan: Plan,
    rank: int,
    thresholds: tuple[float, ...],
    items: SourceItems | None,
    now: float = 0.0,
) -> Node:
    """The node of ``rank``, started at ``now``; only rank 0 needs ``items``."""
    setup = worker_setup(config, plan, rank, thresholds)
    machine = PressureWorker if setup.scheme.priced else Worker
    worker = machine(setup, generator(config, f"worker {rank}"), now)
    if rank != SOURCE:
        return Node(worker)
    assert items is not None
    return Node(worker, Source(source_setup(config, items, thresholds)))


def _gaps(config: RunConfig, arrivals_s: Sequence[float]) -> Iterator[float]:
    if config.admission.arrivals == "poisson":
        return poisson(generator(config, "arrivals"))
    if config.admission.arrivals == "trace":
        return traced_arrivals(arrivals_s)
    return constant()
