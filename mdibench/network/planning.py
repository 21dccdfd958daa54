"""The plan of a run, made from its config, the number of ranks and the network's costs.

Every rank makes the same plan from the same three; nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mdibench.config.messages import choose
from mdibench.config.schema import PlacementSection, RunConfig
from mdibench.core.wire import MAX_PRICED_EXITS
from mdibench.errors import Problem, UserError
from mdibench.network import placement, topology
from mdibench.network.placement import Blocks
from mdibench.network.plan import Device, ModelInfo, Plan
from mdibench.network.topology import Graph
from mdibench.network.wiring import (
    count_of,
    devices_of,
    graph_of,
    links_of,
    no_such_rank,
    topology_name,
)
from mdibench.policy.schemes import SCHEMES

GUESSED_FLOPS_PER_S = 10e9
"""Converts FLOPs to seconds where no time was measured; only ratios matter."""


def make_plan(config: RunConfig, ranks: int, model: ModelInfo) -> Plan:
    """The plan of ``config`` for ``ranks`` ranks and the costs of ``model``.

    Raises UserError with all problems: a topology of another number of ranks or that is not
    connected, duplicate links and self-loops, ranks and blocks that do not exist, a block without
    a host or that the source cannot reach, unknown profiles, lists of the wrong length.
    """
    problems: list[Problem] = []
    graph = graph_of(config, ranks, problems)
    links = links_of(config, graph, problems)
    devices = devices_of(config, graph, model, problems)
    _check_thresholds(config, model, problems)
    _check_prices(config, model, problems)
    blocks = _blocks(config, graph, model, _seconds(model, devices), problems)
    if problems:
        raise UserError(*problems)
    return Plan(
        ranks=ranks,
        exits=model.exits,
        topology=topology_name(config),
        placement=placement_name(config),
        blocks=blocks,
        neighbours=tuple(_neighbours(graph, rank) for rank in range(ranks)),
        next_hops=topology.next_hops(graph, blocks, model.exits),
        toward_source=topology.toward_source(graph),
        links=links,
        devices=devices,
        ways=frozenset(graph.edges),
    )


def network_problems(config: RunConfig, ranks: int) -> list[Problem]:
    """The problems of the topology and its links, which do not depend on the model."""
    problems: list[Problem] = []
    links_of(config, graph_of(config, ranks, problems), problems)
    return problems


def placement_name(config: RunConfig) -> str:
    """The placement of the scheme or of the config, such as ``copies = 2``."""
    scheme = SCHEMES.get(config.scheme.name)
    if scheme is not None and scheme.placement != "config":
        return scheme.placement
    given = config.placement
    if given.copies is not None:
        return f"copies = {given.copies}"
    if given.blocks is not None:
        return "explicit"
    return "replicate" if given.replicate else "partition"


def usual_ranks(config: RunConfig) -> int | None:
    """The number of ranks that the config implies; None if it fits any."""
    given = config.topology
    named = topology.find(given.name) if given.name else None
    device = config.emulation.device if config.emulation else None
    if named is not None and named.exact:
        return named.exact
    if given.edges:
        return 1 + max(rank for edge in given.edges for rank in edge)
    if isinstance(device, list) and device:
        return len(device)
    if config.placement.blocks:
        return 1 + max(int(rank) for rank in config.placement.blocks)
    return None


def plan_facts(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able data for a run's manifest; the run adds ``hosts``."""
    used = {device.name: device for device in plan.devices if device is not None}
    return {
        "ranks": plan.ranks,
        "exits": plan.exits,
        "topology": plan.topology,
        "placement": plan.placement,
        "blocks": [sorted(held) for held in plan.blocks],
        "neighbours": [list(neighbours) for neighbours in plan.neighbours],
        "links": [_link_facts(plan, pair) for pair in sorted(plan.links)],
        "devices": [device.name if device else None for device in plan.devices],
        "device_profiles": {
            name: asdict(device) | {"block_s": list(device.block_s)}
            for name, device in sorted(used.items())
        },
    }


def _link_facts(plan: Plan, pair: tuple[int, int]) -> dict[str, Any]:
    ends = {"source": pair[0], "target": pair[1], "tasks": pair in plan.ways}
    return ends | asdict(plan.links[pair])


def _neighbours(graph: Graph, rank: int) -> tuple[int, ...]:
    return tuple(sorted({*graph.successors(rank), *graph.predecessors(rank)}))


def _seconds(model: ModelInfo, devices: Sequence[Device | None]) -> list[Sequence[float]]:
    """Time of each block on each rank: the device's, else the measured one, else by FLOPs."""
    if all(block.seconds > 0 for block in model.blocks):
        own = [block.seconds for block in model.blocks]
    elif all(block.flops > 0 for block in model.blocks):
        own = [block.flops / GUESSED_FLOPS_PER_S for block in model.blocks]
    else:
        own = [1.0] * model.exits
    return [device.block_s if device and any(device.block_s) else own for device in devices]


def _check_thresholds(config: RunConfig, model: ModelInfo, problems: list[Problem]) -> None:
    given = config.scheme.threshold
    if isinstance(given, list) and len(given) != model.exits:
        problems.append(
            Problem(
                f"{count_of(len(given), 'threshold')} for the {count_of(model.exits, 'exit')}"
                f' of "{model.name}"',
                config.where("scheme", "threshold"),
                "give one number for all, or one for each exit (the last is never used)",
            )
        )


def _check_prices(config: RunConfig, model: ModelInfo, problems: list[Problem]) -> None:
    scheme = SCHEMES.get(config.scheme.name)
    if scheme is not None and scheme.priced and model.exits > MAX_PRICED_EXITS:
        what = f'the prices of {model.exits} exits do not fit a message: "{scheme.name}"'
        remedy = f"use another scheme, or a network of at most {MAX_PRICED_EXITS} exits"
        problems.append(Problem(what, config.where("scheme", "name"), remedy))


def _blocks(
    config: RunConfig,
    graph: Graph,
    model: ModelInfo,
    seconds: Sequence[Sequence[float]],
    problems: list[Problem],
) -> Blocks:
    ranks, name = len(graph), config.scheme.name
    if name not in SCHEMES:
        where = config.where("scheme", "name")
        problems.append(Problem(f'unknown scheme "{name}"', where, choose(name, SCHEMES)))
    way, given = placement_name(config), config.placement
    if way == "source":
        return placement.at_the_source(ranks, model.exits)
    if way == "replicate":
        return placement.replicate(ranks, model.exits)
    if way == "explicit":
        return _explicit(config, graph, model.exits, problems)
    if way == "partition" or given.copies is None:
        return placement.partition(graph, seconds)
    _check_copies(config, given, ranks, problems)
    return placement.copies(graph, seconds, given.copies)


def _check_copies(
    config: RunConfig, given: PlacementSection, ranks: int, problems: list[Problem]
) -> None:
    if given.copies is not None and given.copies > ranks:
        problems.append(
            Problem(
                f"{given.copies} copies of each block do not fit on {count_of(ranks, 'rank')}",
                config.where("placement", "copies"),
                f"use mpirun -n {given.copies} or more, or copies = {ranks}",
            )
        )


def _explicit(config: RunConfig, graph: Graph, exits: int, problems: list[Problem]) -> Blocks:
    ranks = len(graph)
    table = {int(rank): blocks for rank, blocks in (config.placement.blocks or {}).items()}
    for rank, (written, blocks) in zip(table, (config.placement.blocks or {}).items(), strict=True):
        where = config.where("placement", "blocks", written)
        if rank >= ranks:
            problems.append(no_such_rank(rank, ranks, where))
        problems += [
            Problem(f"there is no block {block}", where, f"blocks are 1 to {exits}")
            for block in sorted(set(blocks))
            if block > exits
        ]
    held = placement.explicit(ranks, table)
    _check_hosted(config, graph, table, exits, problems)
    return held


def _check_hosted(
    config: RunConfig,
    graph: Graph,
    table: dict[int, list[int]],
    exits: int,
    problems: list[Problem],
) -> None:
    """Every block needs a host that the source can reach."""
    unreached = set(topology.cut_off(graph)[0])
    where = config.where("placement", "blocks")
    for block in range(1, exits + 1):
        hosts = {rank for rank, blocks in table.items() if block in blocks}
        if not hosts:
            problems.append(Problem(f"no rank hosts block {block}", where, "give it to a rank"))
        elif hosts <= unreached:
            text = ", ".join(str(rank) for rank in sorted(hosts))
            problems.append(
                Problem(
                    f"the source cannot reach block {block}: only rank {text} hosts it",
                    where,
                    "give it to a rank that tasks can reach, or add edges",
                )
            )
