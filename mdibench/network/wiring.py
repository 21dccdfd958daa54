"""From a config's ``[topology]`` and ``[emulation]`` to a graph, links and devices.

Each function appends mistakes to ``problems`` and continues, so that all are reported together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mdibench.config.messages import choose
from mdibench.config.network_keys import DeviceTable, LinkEntry
from mdibench.config.schema import RunConfig
from mdibench.errors import Problem
from mdibench.network import topology
from mdibench.network.devices import (
    DEVICES,
    LINKS,
    MBIT,
    MS,
    device_names,
    spread_rates,
    spread_speeds,
)
from mdibench.network.plan import Device, Link, ModelInfo
from mdibench.network.topology import GENERATORS, Graph

REAL = "real"
"""A device of this name in a list of devices is not emulated."""

MEBI = 1024**2


def graph_of(config: RunConfig, ranks: int, problems: list[Problem]) -> Graph:
    """The topology's graph; a full one if the config's is wrong."""
    if config.topology.edges is not None:
        graph = _from_edges(config, ranks, problems)
    else:
        graph = _from_name(config, ranks, problems)
    _check_connected(config, graph, problems)
    return graph


def topology_name(config: RunConfig) -> str:
    """The topology's name, ``edges`` for a list of edges, ``full`` by default."""
    if config.topology.edges is not None:
        return "edges"
    return config.topology.name or "full"


def links_of(
    config: RunConfig, graph: Graph, problems: list[Problem]
) -> dict[tuple[int, int], Link]:
    """The link of each edge by (sender, receiver), in both directions even of one-way edges."""
    tables = _link_tables(config, graph, problems)
    base = _base_link(config, problems)
    links: dict[tuple[int, int], Link] = {}
    for pair in sorted({way for edge in graph.edges for way in (edge, edge[::-1])}):
        table = tables.get(pair) or (None if pair in graph.edges else tables.get(pair[::-1]))
        links[pair] = _refined(base, table) if table else base
    spread = config.emulation.rate_spread if config.emulation else 0.0
    return spread_rates(links, spread, config.topology.seed) if spread else links


def devices_of(
    config: RunConfig, graph: Graph, model: ModelInfo, problems: list[Problem]
) -> tuple[Device | None, ...]:
    """The emulated device of each rank; None for a real one."""
    emulation, ranks = config.emulation, len(graph)
    if emulation is None:
        return (None,) * ranks
    given = device_names(emulation, graph, config.topology.seed) or emulation.device
    if given is None:
        return (None,) * ranks
    if isinstance(given, list) and len(given) != ranks:
        remedy = f"give one for each rank, one name for all, or use {rank_options(len(given))}"
        problems.append(
            Problem(
                f"{count_of(len(given), 'device')} for {count_of(ranks, 'rank')}",
                config.where("emulation", "device"),
                remedy,
            )
        )
    names = (given or [REAL]) if isinstance(given, list) else [given]
    known = {name: _device(config, name, model, problems) for name in dict.fromkeys(names)}
    per_rank = names if len(names) == ranks else [names[0]] * ranks
    devices = tuple(known[name] for name in per_rank)
    spread, seed = emulation.speed_spread, config.topology.seed
    return spread_speeds(devices, spread, seed) if spread else devices


def _from_name(config: RunConfig, ranks: int, problems: list[Problem]) -> Graph:
    name, where = topology_name(config), config.where("topology", "name")
    if name in GENERATORS:
        return GENERATORS[name](ranks, config.topology.degree, config.topology.seed)
    named = topology.find(name)
    if named is None:
        remedy = choose(name, [*topology.TOPOLOGIES, "4-mesh", "4-circular", *GENERATORS])
        problems.append(Problem(f'unknown topology "{name}"', where, remedy))
    elif not named.fits(ranks):
        needed = named.exact or named.least
        what = f'"{name}" is a topology of {count_of(needed, "rank")}'
        what += f"{'' if named.exact else ' or more'}, and this run has {ranks}"
        remedy = f'use {rank_options(needed)}, or topology "full"'
        problems.append(Problem(what, where, remedy))
    else:
        return named.build(ranks)
    return topology.full(ranks)


def _from_edges(config: RunConfig, ranks: int, problems: list[Problem]) -> Graph:
    one_way = config.topology.one_way
    seen: set[tuple[int, int]] = set()
    wrong = len(problems)
    for index, (one, other) in enumerate(config.topology.edges or ()):
        where = config.where("topology", "edges", index)
        _check_ranks((one, other), ranks, where, problems)
        if (one, other) in seen or (not one_way and (other, one) in seen):
            problems.append(
                Problem(f"the edge {one} - {other} is given twice", where, "give each edge once")
            )
        seen.add((one, other))
    if len(problems) > wrong:
        return topology.full(ranks)
    return (topology.directed if one_way else topology.undirected)(ranks, sorted(seen))


def _check_ranks(pair: tuple[int, int], ranks: int, where: str, problems: list[Problem]) -> bool:
    """Whether both ends exist and differ."""
    beyond = sorted(rank for rank in set(pair) if rank >= ranks)
    for rank in beyond:
        problems.append(no_such_rank(rank, ranks, where))
    if pair[0] == pair[1]:
        problems.append(
            Problem(f"rank {pair[0]} is linked with itself", where, "join two different ranks")
        )
    return not beyond and pair[0] != pair[1]


def no_such_rank(rank: int, ranks: int, where: str) -> Problem:
    """The problem for a rank that this run does not have."""
    what = f"there is no rank {rank} among the {count_of(ranks, 'rank')} of this run"
    return Problem(what, where, f"use {rank_options(rank + 1)}, or ranks from 0 to {ranks - 1}")


def _check_connected(config: RunConfig, graph: Graph, problems: list[Problem]) -> None:
    unreached, stranded = topology.cut_off(graph)
    where = config.where("topology", "edges")
    if unreached:
        problems.append(
            Problem(
                f"no task can get from the source to {_ranks(unreached)}",
                where,
                "add edges that lead there, or use fewer ranks",
            )
        )
    lost = [rank for rank in stranded if rank not in unreached]
    if lost:
        problems.append(
            Problem(
                f"no result can get back to the source from {_ranks(lost)}",
                where,
                "add edges that lead back to rank 0",
            )
        )


def _link_tables(
    config: RunConfig, graph: Graph, problems: list[Problem]
) -> dict[tuple[int, int], LinkEntry]:
    tables: dict[tuple[int, int], LinkEntry] = {}
    for index, table in enumerate(config.topology.links):
        where = config.where("topology", "links", index)
        one, other = table.between
        if not _check_ranks(table.between, len(graph), where, problems):
            continue
        if table.profile is not None and table.profile not in LINKS:
            problems.append(_unknown_link(table.profile, where))
        ways = [(one, other)] if table.one_way else [(one, other), (other, one)]
        if not any(way in graph.edges for way in ((one, other), (other, one))):
            what = f'there is no edge {one} - {other} in the topology "{topology_name(config)}"'
            problems.append(Problem(what, where, "describe an edge of the topology"))
        if any(way in tables for way in ways):
            remedy = "describe each link once, or each way with one_way = true"
            problems.append(Problem(f"the link {one} - {other} is given twice", where, remedy))
        tables.update(dict.fromkeys(ways, table))
    return tables


def _base_link(config: RunConfig, problems: list[Problem]) -> Link:
    """The link of edges that no table describes."""
    plain = Link(codec=config.transport.codec)
    name = config.emulation.link if config.emulation else None
    if name is None:
        return plain
    if name not in LINKS:
        problems.append(_unknown_link(name, config.where("emulation", "link")))
    return _of_profile(name, plain)


def _of_profile(name: str, base: Link) -> Link:
    profile = LINKS.get(name)
    if profile is None:
        return base
    return Link(profile.bandwidth_bps, profile.delay_s, profile.jitter_s, 0.0, base.codec)


def _refined(base: Link, table: LinkEntry) -> Link:
    link = _of_profile(table.profile, base) if table.profile else base
    return Link(
        link.bandwidth_bps if table.bandwidth_mbps is None else table.bandwidth_mbps * MBIT,
        link.delay_s if table.delay_ms is None else table.delay_ms * MS,
        link.jitter_s if table.jitter_ms is None else table.jitter_ms * MS,
        link.loss if table.loss is None else table.loss,
        table.codec or link.codec,
    )


def _unknown_link(name: str, where: str) -> Problem:
    return Problem(f'unknown link profile "{name}"', where, choose(name, LINKS))


def _device(
    config: RunConfig, name: str, model: ModelInfo, problems: list[Problem]
) -> Device | None:
    own: Mapping[str, DeviceTable] = config.emulation.devices if config.emulation else {}
    if name in own:
        return _own_device(config, name, own[name], model, problems)
    if name == REAL:
        return None
    if name not in DEVICES:
        remedy = choose(name, [*own, *DEVICES, REAL])
        where = config.where("emulation", "device")
        problems.append(Problem(f'unknown device "{name}"', where, remedy))
        return None
    profile = DEVICES[name]
    times = _times(model, profile.flops_per_s, profile.overhead_s)
    return Device(name, times, profile.memory_bytes, profile.basis)


def _own_device(
    config: RunConfig, name: str, table: DeviceTable, model: ModelInfo, problems: list[Problem]
) -> Device | None:
    memory = None if table.memory_mb is None else int(table.memory_mb * MEBI)
    basis = table.basis or "given in the config"
    if table.block_ms is None:
        times = _times(model, (table.gflops or 1.0) * 1e9, table.overhead_ms * MS)
        return Device(name, times, memory, basis)
    if len(table.block_ms) != model.exits:
        what = f"{count_of(len(table.block_ms), 'time')} for the {count_of(model.exits, 'block')}"
        problems.append(
            Problem(
                f'{what} of "{model.name}"',
                config.where("emulation", "devices", name, "block_ms"),
                "give one time for each block with its head, in order",
            )
        )
        return None
    return Device(name, tuple(time * MS for time in table.block_ms), memory, basis)


def _times(model: ModelInfo, flops_per_s: float, overhead_s: float) -> tuple[float, ...]:
    return tuple(block.flops / flops_per_s + overhead_s for block in model.blocks)


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(str(rank) for rank in ranks)}"


def rank_options(ranks: int) -> str:
    """How to start that many, in either way."""
    return f"--ranks {ranks} (simulate: --workers {ranks}) or mpirun -n {ranks}"


def count_of(number: int, noun: str) -> str:
    """``1 rank``, ``2 ranks``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
