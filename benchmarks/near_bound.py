"""How near schemes come to the capacity bound, network by network; all figures are simulated.

    python -m benchmarks.near_bound FILE [--only PATTERN ...] [--schemes NAME ...] [--seeds N]
    python -m benchmarks.near_bound FILE --table

Workers are emulated Jetson Nanos (the tree has tiers of its own) with the digits network, links are
emulated Wi-Fi or of another rate or delay. The source admits as much as goes in; raw items may
leave it. The bound takes the exit shares of the whole evaluation set, and the cell's placement,
under which ``ddi`` does not run: it has every block on every worker.

A run is watched over windows that double, each of which is the later half of the run so far. It
ends with the first window in which enough items completed and in which the number of items in
flight hardly grew: before that, items that leave early come first, and more items complete than any
policy can sustain. A run that reaches ``MOST_ITEMS`` before is marked as not steady. Its rate is
the smallest that the items of any exit and those after it stand for: blocks of which too few are
computed are the last ones.

Every run adds a line of JSON to FILE, and what is there is not run again. ``--table`` prints FILE
as Markdown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from mdibench.analysis.statistics import mean_of_independent
from mdibench.bounds.capacity import capacity, fleet_of
from mdibench.core.records import SOURCE
from mdibench.core.rows import ItemRow, Row
from mdibench.network.devices import MBIT, MS
from mdibench.report.bound_text import demand_of
from mdibench.simulation.run import build_world, few_collections
from mdibench.simulation.scenario import Scenario, load_scenario

SCHEMES = ("pressure", "mdi-exit", "join-shortest-queue", "ddi")
RATES_MBPS = (200.0, 50.0, 12.5, 3.0)
LONG_DELAY_MS = 20.0
FIRST_WINDOW_S = 0.5
"""The first window begins and ends after so long, and after twice as long, or with enough items."""
BATCHES = 10
"""Parts of a window, for the interval of a single run."""
FEWEST_ITEMS, MOST_ITEMS = 3_000, 1_000_000
"""Completed in a window; in a run that does not get steady."""
STEADY = 0.005
"""Growth of the items in flight over a window, as a share of the items completed in it."""
ENDLESS_S = 1e6
PRICED_IN_FLIGHT = 1_000_000
"""No limit: ``pressure`` limits the items in flight by its price."""
FEW_HOSTS, ALL_HOSTS = 100, 40
"""V where few workers host a block, and where all do."""
USUAL_IN_FLIGHT, IN_FLIGHT_S = 400, 0.1
"""Items in flight under other schemes: so many, and at least this many seconds of the bound."""

CONFIG = """\
[run]
warmup_s = 0.0
duration_s = {duration_s}
seed = {seed}
trace = 0.0

[scheme]
name = "{scheme}"
source_offloads_raw = true
admission_price = {price}

[admission]
{admission}

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
SMALL_WORLD = 'name = "small-world"\ndegree = 8'
RELAYS = "{ 0 = [1], 3 = [1, 2, 3, 4, 5], 5 = [1, 2], 10 = [3, 4, 5], 12 = [4, 5], 15 = [2, 3] }"


@dataclass(frozen=True, slots=True)
class Network:
    """A topology with its hosts and devices.

    ``meshed``: also measured with a long delay. ``price``: V under ``pressure``. The larger it is,
    the nearer the rate comes to the bound and the longer queues take to fill: where every worker
    hosts all blocks, less is enough.
    """

    name: str
    workers: int
    topology: str
    placement: str = "replicate = true"
    devices: str = NANOS
    meshed: bool = False
    price: int = ALL_HOSTS


NETWORKS = (
    *(
        Network(
            name,
            ranks,
            f'name = "{name}"',
            f"copies = {min(ranks, 2)}",
            meshed="mesh" in name,
            price=FEW_HOSTS,
        )
        for name, ranks in (
            ("local", 1), ("2-node", 2), ("3-mesh", 3), ("3-circular", 3), ("5-mesh", 5)
        )
    ),
    Network("line, hosts at the ends", 5, 'name = "line"', f"blocks = {ENDS}", price=FEW_HOSTS),
    Network("grid, sparse hosts", 16, 'name = "grid"', f"blocks = {RELAYS}", price=FEW_HOSTS),
    Network("small world", 16, SMALL_WORLD, meshed=True),
    Network("tree, three tiers", 85, 'name = "tree"', devices=TIERS),
    Network("grid", 64, 'name = "grid"', meshed=True),
    Network("small world", 64, SMALL_WORLD, meshed=True),
    Network("geometric", 100, 'name = "geometric"\ndegree = 8', meshed=True),
    Network("small world", 250, SMALL_WORLD, meshed=True),
    Network("small world", 1000, SMALL_WORLD, meshed=True),
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


def scenario_of(
    cell: Cell, scheme: str, seed: int, admission: str, duration_s: float = ENDLESS_S
) -> Scenario:
    """A cell under a scheme, with the lines of the config's table ``admission``."""
    text = CONFIG.format(
        duration_s=duration_s,
        seed=seed,
        scheme=scheme,
        admission=admission,
        price=cell.network.price,
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


def offline(in_flight: int) -> str:
    """As much as goes in, with at most so many items in flight."""
    return f'mode = "offline"\nmax_in_flight = {in_flight}'


class Watched:
    """A world on its way, with the moments and hops of the items that are completed."""

    def __init__(self, scenario: Scenario, bound_per_s: float) -> None:
        self.completed_s: list[float] = []
        self.hops: list[int] = []
        self.exits: list[int] = []
        self.first_s = max(FIRST_WINDOW_S, FEWEST_ITEMS / bound_per_s)
        self.reach = np.cumprod([1.0, *demand_of(scenario).go_on[:-1]])
        self.world = build_world(scenario, self._record)
        source = self.world.parts.nodes[SOURCE].source
        assert source is not None
        self.source = source

    def _record(self, row: Row) -> None:
        if isinstance(row, ItemRow) and row.completed_s is not None:
            self.completed_s.append(row.completed_s)
            self.hops.append(row.hops or 0)
            self.exits.append(row.exit or 0)

    def last_window(self, most_items: int) -> Window:
        """The first window that is steady, or the last one that ``most_items`` allow."""
        start_s = self.first_s
        self.world.run(start_s)
        while True:
            before, in_flight = len(self.completed_s), self.source.in_flight
            self.world.run(2 * start_s)
            growth = self.source.in_flight - in_flight
            done = len(self.completed_s) - before
            steady = done >= FEWEST_ITEMS and abs(growth) <= STEADY * done
            if steady or len(self.completed_s) >= most_items:
                return self._window((start_s, 2 * start_s), growth, steady)
            start_s *= 2

    def _window(self, span_s: tuple[float, float], growth: int, steady: bool) -> Window:
        edges = np.linspace(*span_s, BATCHES + 1)
        counts = np.diff(np.searchsorted(self.completed_s, edges))
        rate = mean_of_independent(counts / (edges[1] - edges[0]))
        done = max(int(counts.sum()), 1)
        hops = float(np.mean(self.hops[-done:]))
        in_flight, least = self.source.in_flight, self._least_per_s(done, span_s)
        return Window(span_s, rate.value, rate.half_width, least, hops, in_flight, growth, steady)

    def _least_per_s(self, done: int, span_s: tuple[float, float]) -> float:
        exits = np.array(self.exits[-done:])
        left = [np.count_nonzero(exits > k) for k in range(len(self.reach))]
        return float(np.min(left / self.reach)) / (span_s[1] - span_s[0])


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in a window: the rate with half its interval's width, and items in flight.

    ``least_per_s`` is the rate that those who left at or after some exit stand for, at the exit
    where it is smallest: while queues fill, what was computed of the last blocks stays behind.
    """

    span_s: tuple[float, float]
    rate_per_s: float
    half_per_s: float
    least_per_s: float
    hops_per_item: float
    in_flight: int
    growth: int
    steady: bool


def measure(cell: Cell, scheme: str, seed: int, most_items: int) -> dict[str, Any]:
    """One run: a line of the file."""
    scenario = scenario_of(cell, scheme, seed, offline(USUAL_IN_FLIGHT))
    bound = capacity(fleet_of(scenario.plan), demand_of(scenario)).rate_per_s
    cap = PRICED_IN_FLIGHT if scheme == "pressure" else int(IN_FLIGHT_S * bound)
    scenario = scenario_of(cell, scheme, seed, offline(max(USUAL_IN_FLIGHT, cap)))
    begun_s = time.process_time()
    watched = Watched(scenario, bound)
    with few_collections():
        window = watched.last_window(most_items)
    return {
        "cell": cell.name,
        "scheme": scheme,
        "seed": seed,
        "price": cell.network.price,
        "bound_per_s": bound,
        **asdict(window),
        "events": watched.world.events,
        "processor_s": time.process_time() - begun_s,
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fill(path: Path, wanted: Sequence[Cell], options: argparse.Namespace) -> None:
    """Run what the file lacks, one seed of all cells after the other."""
    known = {(line["cell"], line["price"], line["scheme"], line["seed"]) for line in read(path)}
    for seed in range(1, options.seeds + 1):
        for cell in wanted:
            for scheme in options.schemes:
                if (cell.name, cell.network.price, scheme, seed) in known:
                    continue
                line = measure(cell, scheme, seed, options.most_items)
                with path.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def table(lines: Sequence[dict[str, Any]], wanted: Sequence[Cell]) -> Iterator[str]:
    """Markdown: rates as shares of the bound of the cell's own placement, by cell and scheme."""
    schemes = [name for name in SCHEMES if any(line["scheme"] == name for line in lines)]
    yield f"| network | V | seeds | bound, /s | {' | '.join(schemes)} | hops per item |"
    yield f"| --- | ---: | ---: | ---: {'| ---: ' * len(schemes)}| ---: |"
    for cell in wanted:
        key = (cell.name, cell.network.price)
        own = [line for line in lines if (line["cell"], line["price"]) == key]
        if priced := {line["seed"]: line for line in own if line["scheme"] == "pressure"}:
            bounds = {seed: line["bound_per_s"] for seed, line in priced.items()}
            runs = [[line for line in own if line["scheme"] == name] for name in schemes]
            found = " | ".join(share(of_one, bounds) for of_one in runs)
            hops = np.mean([line["hops_per_item"] for line in priced.values()])
            first = f"{cell.name} | {key[1]} | {len(bounds)} | {next(iter(bounds.values())):,.0f}"
            yield f"| {first} | {found} | {hops:.1f} |"


def share(runs: Sequence[dict[str, Any]], bounds: dict[int, float]) -> str:
    """The mean share of ``bounds`` (by seed), with its interval; marked where not steady."""
    if not runs:
        return ""
    kept = [(run["rate_per_s" if run["steady"] else "least_per_s"], run) for run in runs]
    shares = [rate / bounds[run["seed"]] for rate, run in kept]
    between = mean_of_independent(shares).half_width if len(shares) > 1 else 0.0
    within = np.mean([run["half_per_s"] / bounds[run["seed"]] for run in runs]) / len(runs) ** 0.5
    text = f"{np.mean(shares):.3f} ± {max(between, within):.3f}"
    return text if all(run["steady"] for run in runs) else f"{text} †"


def main() -> None:
    """Measure what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="lines of JSON, one for each run")
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of the cells' names")
    parser.add_argument("--schemes", nargs="*", default=list(SCHEMES))
    parser.add_argument("--seeds", type=int, default=1, help="runs of each cell")
    parser.add_argument("--most-items", type=int, default=MOST_ITEMS, help="of a run")
    parser.add_argument("--table", action="store_true", help="print the file as Markdown")
    options = parser.parse_args()
    wanted = [
        cell for cell in cells() if any(fnmatch(cell.name, pattern) for pattern in options.only)
    ]
    if options.table:
        print("\n".join(table(read(options.file), wanted)))
    else:
        fill(options.file, wanted, options)


if __name__ == "__main__":
    main()
