"""The plan of a run, made from its config, the number of ranks and the network's costs.

Every rank makes the same plan from the same three; nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any

from mdibench.config.messages import choose
from mdibench.config.schema import EventEntry, PlacementSection, RunConfig
from mdibench.core.wire import MAX_PRICED_EXITS
from mdibench.errors import Problem, UserError
from mdibench.network import placement, topology
from mdibench.network.devices import MBIT, MS
from mdibench.network.placement import Blocks
from mdibench.network.plan import Device, Link, ModelInfo, Plan
from mdibench.network.topology import Graph
from mdibench.network.wiring import (
    count_of,
    devices_of,
    graph_of,
    links_of,
    no_such_rank,
    rank_options,
    topology_name,
)
from mdibench.policy.schemes import SCHEMES

GUESSED_FLOPS_PER_S = 10e9
"""Converts FLOPs to seconds where no time was measured; only ratios matter."""


def make_plan(
    config: RunConfig, ranks: int, model: ModelInfo, optimised: Blocks | None = None
) -> Plan:
    """The plan of ``config`` for ``ranks`` ranks and the costs of ``model``.

    ``optimised`` is the placement where the config has it optimised; without it, every rank hosts
    every block there.
    Raises UserError with all problems: a topology of another number of ranks or that is not
    connected, duplicate links and self-loops, ranks and blocks that do not exist, a block without
    a host or that the source cannot reach, unknown profiles, lists of the wrong length.
    """
    problems: list[Problem] = []
    graph = graph_of(config, ranks, problems)
    links = links_of(config, graph, problems)
    devices = devices_of(config, graph, model, problems)
    _check_thresholds(config, model, problems)
    _check_shares(config, model, problems)
    _check_prices(config, model, problems)
    blocks = optimised or _blocks(config, graph, model, _seconds(model, devices), problems)
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
    if given.optimise is not None:
        return f"optimised for {given.optimise}"
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


def _check_shares(config: RunConfig, model: ModelInfo, problems: list[Problem]) -> None:
    given = config.placement.go_on
    if given is not None and len(given) != model.exits - 1:
        what = f"{count_of(len(given), 'share')} for the {count_of(model.exits, 'exit')}"
        remedy = "give one for each exit but the last: `mdibench bound` prints them"
        where = config.where("placement", "go_on")
        problems.append(Problem(f'{what} of "{model.name}"', where, remedy))


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
    if way == "replicate" or way.startswith("optimised"):
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
                f"use {rank_options(given.copies)} or more, or copies = {ranks}",
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


# --- events ------------------------------------------------------------------------------------
# What a config's scripted events need of a plan, and what they are called in a run's records.


def check_events(config: RunConfig, plan: Plan) -> None:
    """Raise UserError with every event of a rank or a link that the plan does not have."""
    problems: list[Problem] = []
    for index, event in enumerate(config.events):
        where = config.where("events", index)
        if event.rank is not None and event.rank >= plan.ranks:
            what = f"there is no rank {event.rank} among the {plan.ranks} ranks of this run"
            problems.append(Problem(what, where, f"use --workers {event.rank + 1} or more"))
        if event.between is not None and event.between not in plan.links:
            one, other = event.between
            what = f"there is no link {one} - {other} in this run"
            problems.append(Problem(what, where, "name two ranks that are neighbours"))
    if problems:
        raise UserError(*problems)


def absent_at_start(events: Sequence[EventEntry]) -> list[int]:
    """Ranks whose first presence event is to join."""
    first: dict[int, str] = {}
    for event in sorted(events, key=lambda event: event.at_s):
        if event.rank is not None and event.kind in ("join", "leave", "fail"):
            first.setdefault(event.rank, event.kind)
    return sorted(rank for rank, kind in first.items() if kind == "join")


def changed_link(link: Link, event: EventEntry) -> Link:
    """The link as a ``link`` event leaves it."""
    if event.bandwidth_mbps is not None:
        link = replace(link, bandwidth_bps=event.bandwidth_mbps * MBIT)
    if event.delay_ms is not None:
        link = replace(link, delay_s=event.delay_ms * MS)
    return link


@dataclass(frozen=True, slots=True)
class FleetState:
    """What scripted events have changed of a plan."""

    silent: frozenset[int] = frozenset()
    """Workers that have not joined yet, or failed."""
    left: frozenset[int] = frozenset()
    """Workers that take no new tasks."""
    slowness: Mapping[int, float] = field(default_factory=dict)
    changes: Mapping[tuple[int, int], tuple[EventEntry, ...]] = field(default_factory=dict)
    """Events of each edge, by its ranks in order."""

    def after(self, event: EventEntry) -> FleetState:
        """The state once ``event`` has happened. ``load`` changes nothing of the fleet."""
        if event.between is not None:
            edge = min(event.between), max(event.between)
            changed = {edge: (*self.changes.get(edge, ()), event)}
            return replace(self, changes={**self.changes, **changed})
        if event.rank is None:
            return self
        if event.kind == "slow":
            return replace(self, slowness={**self.slowness, event.rank: event.factor or 1.0})
        if event.kind == "fail":
            return replace(self, silent=self.silent | {event.rank})
        if event.kind == "leave":
            return replace(self, left=self.left | {event.rank})
        present = replace(self, silent=self.silent - {event.rank}, left=self.left - {event.rank})
        if event.rank not in self.silent:
            return present
        slowness = {rank: by for rank, by in self.slowness.items() if rank != event.rank}
        return replace(present, slowness=slowness)

    def blocks(self, planned: Sequence[frozenset[int]]) -> list[frozenset[int]]:
        """The blocks of each worker that takes part."""
        return [frozenset() if n in self.silent else held for n, held in enumerate(planned)]

    def links(self, planned: Mapping[tuple[int, int], Link]) -> dict[tuple[int, int], Link]:
        """The links between workers that take part, as they are now."""
        links = {pair: link for pair, link in planned.items() if not self.silent & {*pair}}
        for pair in links:
            for event in self.changes.get((min(pair), max(pair)), ()):
                links[pair] = changed_link(links[pair], event)
        return links


def fleet_states(events: Sequence[EventEntry]) -> list[tuple[float, FleetState]]:
    """The states that events make of a plan, each with the time from which on it holds."""
    states = [(-inf, FleetState(silent=frozenset(absent_at_start(events))))]
    for event in sorted(events, key=lambda event: event.at_s):
        states.append((event.at_s, states[-1][1].after(event)))
    return states


def event_text(event: EventEntry) -> str:
    """What happened, in one line for a person."""
    if event.kind == "link":
        assert event.between is not None
        one, other = event.between
        rate = "" if event.bandwidth_mbps is None else f" {event.bandwidth_mbps:g} Mbit/s"
        delay = "" if event.delay_ms is None else f" {event.delay_ms:g} ms"
        return f"link {one} - {other}:{rate}{delay}"
    texts = {
        "join": "joins",
        "leave": "leaves: takes no new tasks, finishes its own",
        "fail": "fails: falls silent",
        "slow": f"blocks take {event.factor or 1:g} times as long as at the start",
        "load": f"items arrive {event.factor or 1:g} times as fast as at the start",
    }
    return texts[event.kind]
