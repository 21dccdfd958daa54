"""Fleets that are not all alike: devices drawn or by distance, speeds and rates that spread.

Everything is drawn from ``topology.seed``, so that the same config is the same fleet.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import networkx as nx

from mdibench.config import EmulationSection
from mdibench.core.records import SOURCE
from mdibench.network.plan import Device, Link
from mdibench.network.topology import Graph

Pair = tuple[int, int]


def device_names(emulation: EmulationSection, graph: Graph, seed: int) -> list[str] | None:
    """The device of each rank, where the config draws it or tells it by distance; else None."""
    if emulation.drawn:
        return random.Random(f"{seed}/devices").choices(
            list(emulation.drawn), list(emulation.drawn.values()), k=len(graph)
        )
    if emulation.tiers:
        hops = nx.single_source_shortest_path_length(graph, SOURCE)
        last = len(emulation.tiers) - 1
        return [emulation.tiers[min(hops.get(rank, last), last)] for rank in range(len(graph))]
    return None


def spread_speeds(
    devices: Sequence[Device | None], spread: float, seed: int
) -> tuple[Device | None, ...]:
    """Each rank's block times multiplied by a log-normal factor, two decimals, median 1."""
    uniform = random.Random(f"{seed}/speeds")
    factors = [round(math.exp(uniform.gauss(0.0, spread)), 2) or 0.01 for _ in devices]
    return tuple(
        _slowed(device, factor) if device else None
        for device, factor in zip(devices, factors, strict=True)
    )


def spread_rates(links: Mapping[Pair, Link], spread: float, seed: int) -> dict[Pair, Link]:
    """Each edge's bandwidth, both ways, multiplied by a log-normal factor with median 1."""
    uniform = random.Random(f"{seed}/rates")
    factors = {
        edge: math.exp(uniform.gauss(0.0, spread))
        for edge in sorted({(min(pair), max(pair)) for pair in links})
    }
    return {
        pair: replace(link, bandwidth_bps=link.bandwidth_bps * factors[min(pair), max(pair)])
        if link.bandwidth_bps
        else link
        for pair, link in links.items()
    }


def _slowed(device: Device, factor: float) -> Device:
    times = tuple(factor * time_s for time_s in device.block_s)
    return replace(device, name=f"{device.name} x{factor:g}", block_s=times)
