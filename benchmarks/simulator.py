"""What the simulator and the bound cost: time per event and per item, a million items, a large LP.

    python -m benchmarks.simulator [--plot FILE] [--only growth|million|bound]
    python -m benchmarks.simulator --only million [--scheme NAME] [--topology NAME] [--items N]

Markdown on stdout. The million items go through a tree of 31 children each, or a small world of 8
neighbours each. Times are processor time of one process, so that they
hold on a busy machine; the million items say their elapsed time too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdibench.bounds.capacity import Demand, capacity, fleet_of
from mdibench.codec.codecs import task_bytes
from mdibench.core.wire import HEADER_BYTES
from mdibench.record.run_folder import find_runs, read_manifest
from mdibench.simulation.run import build_world
from mdibench.simulation.scenario import Scenario, load_scenario

WORKERS = (4, 8, 16, 32, 64, 125, 250, 500, 1000)
ITEMS = 20_000
REPEATS = 3
GRID = 200
DEGREES = {"tree": 31, "small-world": 8}
"""Of the network of the million items."""

CONFIG = """\
[run]
name = "simulator"
warmup_s = 0.0
items = {items}
trace = 0.0
sample_s = 2.0
results = "{results}"

[scheme]
name = "{scheme}"
source_offloads_raw = true

[admission]
mode = "fixed-rate"
arrivals = "poisson"
interarrival_s = {gap_s}
max_in_flight = 20000

[placement]
replicate = true

[topology]
name = "{topology}"
degree = {degree}

[emulation]
device = "{device}"
link = "ethernet-1g"
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one simulation cost."""

    workers: int
    items: int
    events: int
    seconds: float

    @property
    def event_us(self) -> float:
        """Microseconds per event."""
        return 1e6 * self.seconds / self.events

    @property
    def item_us(self) -> float:
        """Microseconds per item."""
        return 1e6 * self.seconds / self.items


def growth() -> list[Cost]:
    """The same load on small worlds of more and more workers: best of a few repeats."""
    costs = []
    for workers in WORKERS:
        scenario = _scenario(workers, topology="small-world", degree=4, gap_s=0.001, items=ITEMS)
        costs.append(min((_cost(scenario) for _ in range(REPEATS)), key=lambda c: c.seconds))
    return costs


def million(
    scheme: str, topology: str, workers: int = 1000, items: int = 1_000_000
) -> dict[str, float]:
    """A whole ``mdibench simulate``, files and summary included."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "million.toml"
        keys = {"scheme": scheme, "topology": topology, "degree": DEGREES[topology]}
        config.write_text(_text(folder, **keys, gap_s=0.0001, items=items))
        command = [sys.executable, "-m", "mdibench", "simulate", str(config), "-q"]
        started = time.monotonic()
        subprocess.run(
            [*command, "--workers", str(workers)],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        elapsed_s = time.monotonic() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        (run,) = find_runs([folder])
        manifest = read_manifest(run)
    return {
        "workers": workers,
        "items": manifest["totals"]["ok"],
        "events": manifest["simulation"]["events"],
        "virtual_s": manifest["simulation"]["virtual_s"],
        "elapsed_s": elapsed_s,
        "processor_s": used.ru_utime + used.ru_stime,
        "memory_gib": used.ru_maxrss / 2**20,
    }


def bound_seconds(workers: int = GRID) -> tuple[float, float]:
    """Processor time of the bound of a grid, and the bound itself."""
    scenario = _scenario(workers, topology="grid", degree=4, gap_s=0.001, items=1)
    exits = scenario.model.exits
    demand = Demand(
        scenario.block_s,
        (*(0.5,) * (exits - 1), 0.0),
        {"none": task_bytes(scenario.model, "none")},
        HEADER_BYTES,
        raw_stays=False,
    )
    started = time.process_time()
    bound = capacity(fleet_of(scenario.plan), demand)
    return time.process_time() - started, bound.rate_per_s


def _cost(scenario: Scenario) -> Cost:
    world = build_world(scenario, lambda row: None)
    started = time.process_time()
    world.run()
    seconds = time.process_time() - started
    return Cost(scenario.plan.ranks, scenario.config.run.items or 0, world.events, seconds)


def _scenario(workers: int, **keys: object) -> Scenario:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.toml"
        config.write_text(_text(folder, **keys))
        return load_scenario(config, workers=workers)


def _text(results: str, **keys: object) -> str:
    return CONFIG.format(results=results, **{"device": "jetson-nano", "scheme": "mdi-exit", **keys})


def growth_lines(costs: Sequence[Cost]) -> list[str]:
    """A Markdown table."""
    lines = ["| workers | events per item | µs per event | µs per item |", "| ---: " * 4 + "|"]
    for cost in costs:
        row = (cost.workers, cost.events / cost.items, cost.event_us, cost.item_us)
        lines.append("| {} | {:.1f} | {:.1f} | {:.0f} |".format(*row))
    return lines


def plot(costs: Sequence[Cost], path: Path) -> None:
    """Time per event over the number of workers, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mdibench"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    workers = [cost.workers for cost in costs]
    axes.plot(workers, [cost.event_us for cost in costs], "o-", label="µs per event")
    axes.plot(workers, [cost.item_us / 10 for cost in costs], "s--", label="µs per item / 10")
    axes.set(xscale="log", xlabel="workers", ylabel="processor time, µs", ylim=(0, None))
    axes.set_title("Simulator: the same load on larger small worlds", fontsize=10)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, help="write the plot of growth here (SVG)")
    parser.add_argument("--only", choices=["growth", "million", "bound"])
    parser.add_argument("--scheme", default="mdi-exit", help="of the million items")
    parser.add_argument("--topology", choices=DEGREES, default="tree", help="of the million items")
    parser.add_argument("--items", type=int, default=1_000_000, help="instead of a million")
    options = parser.parse_args()
    if options.only in (None, "bound"):
        seconds, rate = bound_seconds()
        print(
            f"Bound of a grid of {GRID} workers: {seconds:.1f} s ({rate:,.0f} items per second).\n"
        )
    if options.only in (None, "growth"):
        costs = growth()
        print("\n".join(growth_lines(costs)), flush=True)
        if options.plot:
            plot(costs, options.plot)
    if options.only in (None, "million"):
        found = million(options.scheme, options.topology, items=options.items)
        print(
            "\n{workers:,} workers, {items:,} items, {events:,} events, {virtual_s:.0f} s of "
            "virtual time: {elapsed_s:.0f} s elapsed, {processor_s:.0f} s of processor time, "
            "{memory_gib:.2f} GiB.".format(**found)
        )


if __name__ == "__main__":
    main()
