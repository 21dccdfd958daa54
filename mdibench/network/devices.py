"""Profiles of devices and links to emulate, and the heterogeneity of a fleet.

Every figure of a profile is an estimate, and ``basis`` gives its derivation. Your own measurements
are better: see ``[emulation.devices]``, ``[[topology.links]]``, ``mdibench profile`` and
``mdibench probe``. Heterogeneous fleets are drawn from ``topology.seed``: the same config is the
same fleet.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import networkx as nx

from mdibench.config.network_keys import EmulationSection
from mdibench.core.records import SOURCE
from mdibench.network.plan import Device, Link
from mdibench.network.topology import Graph

MBIT = 1e6
MS = 1e-3
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """An estimate of a device: sustained rate on small CNNs at batch 1, and cost of any task.

    The time of a block is its FLOPs (two per multiply-add) / ``flops_per_s`` + ``overhead_s``.
    """

    name: str
    flops_per_s: float
    overhead_s: float
    memory_bytes: int | None
    basis: str


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """An estimate of one direction of a link, as TCP sees it; jitter is added to the delay.

    Losses that a radio repairs itself are part of the jitter; ``loss`` (repaired by TCP after its
    time-out) is only for links that a user describes.
    """

    name: str
    bandwidth_bps: float
    delay_s: float
    jitter_s: float
    basis: str


DEVICES: Mapping[str, DeviceProfile] = {
    device.name: device
    for device in (
        DeviceProfile(
            "jetson-nano",
            23.6e9,
            2.0 * MS,
            4 * GIB,
            "estimate: 10 % of the peak 236 GFLOP/s in single precision (128 Maxwell cores x 2 x"
            " 0.92 GHz, vendor's data sheet) is assumed at batch 1, and 2 ms for about 20 kernel"
            " launches from a Cortex-A57; not measured",
        ),
        DeviceProfile(
            "jetson-orin-nano",
            128e9,
            1.0 * MS,
            8 * GIB,
            "estimate: 10 % of the peak 1280 GFLOP/s in single precision (1024 Ampere cores x 2 x"
            " 0.625 GHz, vendor's data sheet of the 8 GB module) is assumed at batch 1, and 1 ms"
            " for about 20 kernel launches from a Cortex-A78AE; not measured",
        ),
        DeviceProfile(
            "raspberry-pi-4",
            9.6e9,
            1.0 * MS,
            4 * GIB,
            "estimate: 20 % of the peak 48 GFLOP/s in single precision (4 Cortex-A72 x 8 per"
            " cycle x 1.5 GHz, vendor's data) is assumed at batch 1, and 1 ms for about 20"
            " operator calls; not measured",
        ),
        DeviceProfile(
            "raspberry-pi-5",
            30.7e9,
            0.5 * MS,
            8 * GIB,
            "estimate: 20 % of the peak 154 GFLOP/s in single precision (4 Cortex-A76 x 16 per"
            " cycle x 2.4 GHz, vendor's data) is assumed at batch 1, and 0.5 ms for about 20"
            " operator calls; not measured",
        ),
        DeviceProfile(
            "generic",
            10e9,
            1.0 * MS,
            None,
            "assumption: round figures of no particular device, 10 GFLOP/s and 1 ms per task",
        ),
    )
}

LINKS: Mapping[str, LinkProfile] = {
    link.name: link
    for link in (
        LinkProfile(
            "ethernet-1g",
            941 * MBIT,
            0.1 * MS,
            0.02 * MS,
            "estimate: 1 Gbit/s less the framing of full-size TCP segments (1460 of 1538 bytes,"
            " with time stamps 1448); delay of one switch is assumed",
        ),
        LinkProfile(
            "wifi-5ghz",
            200 * MBIT,
            1.5 * MS,
            1.5 * MS,
            "estimate: 46 % of the 433 Mbit/s of 802.11ac with one stream of 80 MHz is assumed to"
            " reach TCP; delay and jitter of a quiet channel are assumed",
        ),
        LinkProfile(
            "wifi-2.4ghz",
            35 * MBIT,
            3.0 * MS,
            5.0 * MS,
            "estimate: 48 % of the 72 Mbit/s of 802.11n with one stream of 20 MHz is assumed to"
            " reach TCP; delay and jitter of a shared channel are assumed",
        ),
        LinkProfile(
            "lte",
            20 * MBIT,
            25.0 * MS,
            15.0 * MS,
            "estimate: 40 % of the 50 Mbit/s uplink of LTE category 4 is assumed, both ways; delay"
            " and jitter of half a typical round trip of 50 to 80 ms are assumed",
        ),
    )
}


# --- heterogeneity -------------------------------------------------------------------------------

RankPair = tuple[int, int]


def device_names(emulation: EmulationSection, graph: Graph, seed: int) -> list[str] | None:
    """The device of each rank, drawn or by distance from the source; None without either."""
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


def spread_rates(links: Mapping[RankPair, Link], spread: float, seed: int) -> dict[RankPair, Link]:
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
