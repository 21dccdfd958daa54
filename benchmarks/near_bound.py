"""How near schemes come to the capacity bound, network by network; all figures are simulated.

    python -m benchmarks.near_bound [--only PATTERN ...] [--schemes NAME ...] [--repeats N]

Workers are emulated Jetson Nanos (the tree has tiers of its own) with the digits network, links are
emulated Wi-Fi or of another rate or delay. The source admits as much as goes in; raw items may
leave it. The bound takes the exit shares of the whole evaluation set. Markdown on stdout.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from benchmarks.scaling import completed_items
from mdibench.bounds.capacity import capacity, fleet_of
from mdibench.network.devices import MBIT, MS
from mdibench.report.bound_text import demand_of
from mdibench.simulation.scenario import Scenario, load_scenario

SCHEMES = ("pressure", "mdi-exit", "join-shortest-queue", "ddi")
RATES_MBPS = (200.0, 50.0, 12.5, 3.0)
LONG_DELAY_MS = 20.0
SLOW_ITEMS_PER_S = 1000.0
"""Below it, a cell is measured for longer, so that the window holds enough items."""
IN_FLIGHT = {"pressure": 1_000_000}
"""Scheme -> cap of the items in flight; ``pressure`` limits them by its own price."""
USUAL_IN_FLIGHT = 400

CONFIG = """\
[run]
warmup_s = {warmup_s}
duration_s = {measured_s}
seed = {seed}
trace = 0.0

[scheme]
name = "{scheme}"
source_offloads_raw = true

[admission]
mode = "offline"
max_in_flight = {in_flight}

[placement]
{placement}

[topology]
{topology}

[emulation]
{devices}
link = "wifi-5ghz"
"""

NANOS = 'device = "jetson-nano"'
TIERS = 'tiers = ["jetson-orin-nano", "jetson-nano", "raspberry-pi-4"]'
ENDS = "{ 0 = [1], 4 = [2, 3, 4, 5] }"
RELAYS = "{ 0 = [1], 3 = [1, 2, 3, 4, 5], 5 = [1, 2], 10 = [3, 4, 5], 12 = [4, 5], 15 = [2, 3] }"


@dataclass(frozen=True, slots=True)
class Network:
    """A topology with its hosts and devices. ``meshed``: also measured with a long delay."""

    name: str
    workers: int
    topology: str
    placement: str = "replicate = true"
    devices: str = NANOS
    meshed: bool = False


NETWORKS = (
    *(
        Network(name, ranks, f'name = "{name}"', "copies = 2" if ranks > 1 else "copies = 1")
        for name, ranks in (
            ("local", 1), ("2-node", 2), ("3-mesh", 3), ("3-circular", 3), ("5-mesh", 5)
        )
    ),
    Network("line, hosts at the ends", 5, 'name = "line"', f"blocks = {ENDS}"),
    Network("grid, sparse hosts", 16, 'name = "grid"', f"blocks = {RELAYS}"),
    *(
        Network("small world", ranks, 'name = "small-world"\ndegree = 8', meshed=True)
        for ranks in (16, 64, 250, 1000)
    ),
    Network("grid", 64, 'name = "grid"'),
    Network("geometric", 100, 'name = "geometric"\ndegree = 8'),
    Network("tree, three tiers", 85, 'name = "tree"', devices=TIERS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """A network over links of one rate and delay."""

    network: Network
    rate_mbps: float
    delay_ms: float | None = None

    @property
    def name(self) -> str:
        """The network, its workers, and its links."""
        delay = f" {self.delay_ms:g} ms" if self.delay_ms else ""
        return f"{self.network.name}, {self.network.workers} @ {self.rate_mbps:g} Mbit/s{delay}"


def cells() -> Iterator[Cell]:
    """Every network at every rate, meshes with a long delay too."""
    for network in NETWORKS:
        yield from (Cell(network, rate) for rate in RATES_MBPS)
        if network.meshed:
            yield Cell(network, RATES_MBPS[0], LONG_DELAY_MS)


def scenario_of(cell: Cell, scheme: str, seed: int, window_s: tuple[float, float]) -> Scenario:
    """A cell under a scheme; ``window_s`` is warm-up and measured time."""
    text = CONFIG.format(
        warmup_s=window_s[0],
        measured_s=window_s[1],
        seed=seed,
        scheme=scheme,
        in_flight=IN_FLIGHT.get(scheme, USUAL_IN_FLIGHT),
        placement=cell.network.placement,
        topology=cell.network.topology,
        devices=cell.network.devices,
    )
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.toml"
        config.write_text(text)
        scenario = load_scenario(config, workers=cell.network.workers)
    links = {}
    for pair, link in scenario.plan.links.items():
        delay_s = link.delay_s if cell.delay_ms is None else cell.delay_ms * MS
        links[pair] = replace(link, bandwidth_bps=cell.rate_mbps * MBIT, delay_s=delay_s)
    return replace(scenario, plan=replace(scenario.plan, links=links))


def measure(cell: Cell, scheme: str, seed: int) -> tuple[float, float]:
    """Sustained rate and bound, items per second."""
    scenario = scenario_of(cell, scheme, seed, (3.0, 4.0))
    bound = capacity(fleet_of(scenario.plan), demand_of(scenario)).rate_per_s
    if bound < SLOW_ITEMS_PER_S:
        scenario = scenario_of(cell, scheme, seed, (10.0, 30.0))
    run = scenario.config.run
    _, items = completed_items(scenario)
    at_s = items["completed_s"]
    done = np.count_nonzero((at_s >= run.warmup_s) & (at_s < run.warmup_s + run.duration_s))
    return done / run.duration_s, bound


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of the cells' names")
    parser.add_argument("--schemes", nargs="*", default=list(SCHEMES))
    parser.add_argument("--repeats", type=int, default=1, help="seeds of each cell")
    options = parser.parse_args()
    print(f"| network | bound, /s | {' | '.join(options.schemes)} |")
    print(f"| --- | ---: {'| ---: ' * len(options.schemes)}|")
    for cell in cells():
        if any(fnmatch(cell.name, pattern) for pattern in options.only):
            print(row(cell, options.schemes, options.repeats), flush=True)


def row(cell: Cell, schemes: Sequence[str], repeats: int) -> str:
    """A line of the table: each scheme's mean share of its own bound."""
    shares, bounds = [], []
    for scheme in schemes:
        found = [measure(cell, scheme, seed) for seed in range(1, repeats + 1)]
        shares.append(f"{np.mean([rate / bound for rate, bound in found]):.3f}")
        bounds.append(found[0][1])
        print(f"{cell.name}: {scheme} {shares[-1]}", file=sys.stderr, flush=True)
    return f"| {cell.name} | {bounds[0]:,.0f} | {' | '.join(shares)} |"


if __name__ == "__main__":
    main()
