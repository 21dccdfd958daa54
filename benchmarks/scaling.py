"""How schemes scale in the number of workers and in the size of tasks; all figures are simulated.

    python -m benchmarks.scaling [--plot FILE] [--most WORKERS]

Every worker is an emulated Jetson Nano that holds the whole digits network, links are emulated
Wi-Fi, and the fleet is a small world in which each worker has eight neighbours. Each scheme runs
twice: with as much as goes in (rate), and under Poisson arrivals at 70 % of that rate (latency,
gossip). Markdown on stdout.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdibench.bounds.capacity import capacity, fleet_of
from mdibench.bounds.inputs import go_on_after
from mdibench.core.records import SOURCE
from mdibench.core.rows import ItemRow, Row
from mdibench.network.devices import MBIT
from mdibench.report.bound_text import demand_of
from mdibench.simulation.run import build_world
from mdibench.simulation.scenario import Scenario, load_scenario
from mdibench.simulation.world import World

WORKERS = (4, 16, 64, 250, 1000)
SCHEMES = (
    "local", "mdi", "static-exit", "ddi", "mdi-exit", "join-shortest-queue", "random", "round-robin"
)  # fmt: skip
OFFERS_RAW = ("mdi-exit", "join-shortest-queue", "random", "round-robin")
"""Schemes that ``source_offloads_raw`` changes."""
RATES_MBPS = (200.0, 50.0, 12.5, 3.0)
SIZED_WORKERS = 64
SIZED_SCHEMES = (
    ("ddi", False),
    ("mdi-exit", False),
    ("mdi-exit", True),
    ("join-shortest-queue", True),
    ("random", True),
)
LARGEST_BYTES = 48 * 1024
"""The feature maps behind the second and third block of the digits network."""
WARMUP_S = 2.0
MEASURED_S = 4.0
IN_FLIGHT = 400
LOAD = 0.7

CONFIG = """\
[run]
warmup_s = {warmup_s}
duration_s = {measured_s}
trace = 0.0

[scheme]
name = "{scheme}"
source_offloads_raw = {raw}

[admission]
{admission}

[placement]
replicate = true

[topology]
name = "small-world"
degree = 8

[emulation]
device = "jetson-nano"
link = "wifi-5ghz"
"""

SATURATED = f'mode = "offline"\nmax_in_flight = {IN_FLIGHT}'
POISSON = 'mode = "fixed-rate"\narrivals = "poisson"\ninterarrival_s = {gap_s:.9f}'


@dataclass(frozen=True, slots=True)
class Figures:
    """One scheme on one fleet."""

    scheme: str
    raw: bool
    workers: int
    bound_per_s: float
    keeping_bound_per_s: float
    """The bound if a host must compute what it receives."""
    rate_per_s: float
    latency_p50_s: float
    latency_p95_s: float
    gossip_bytes_per_item: float
    hops_per_item: float
    busy_workers: int
    """Workers that computed anything under saturation."""

    @property
    def name(self) -> str:
        """The scheme, and whether raw data may leave the source."""
        return f"{self.scheme}, raw offloaded" if self.raw else self.scheme


def measure(
    scheme: str, workers: int, raw: bool = False, rate_mbps: float | None = None
) -> Figures:
    """Simulate one scheme under both loads, over Wi-Fi or links of another rate."""
    full = _scenario(scheme, workers, raw, SATURATED, rate_mbps)
    world, items = completed_items(full)
    done = _in_window(items["completed_s"])
    rate = np.count_nonzero(done) / MEASURED_S
    asked = replace(demand_of(full), go_on=go_on_after(items["exit"][done], full.model.exits))
    admission = POISSON.format(gap_s=1 / (LOAD * rate))
    quiet, offered = completed_items(_scenario(scheme, workers, raw, admission, rate_mbps))
    due = _in_window(offered["scheduled_s"])
    latency = np.nanquantile(offered["latency_s"][due], [0.5, 0.95])
    gossip = sum(traffic.gossip_bytes for traffic in quiet.traffic)
    return Figures(
        scheme=scheme,
        raw=raw,
        workers=workers,
        bound_per_s=capacity(fleet_of(full.plan), asked).rate_per_s,
        keeping_bound_per_s=capacity(
            fleet_of(full.plan), replace(asked, received_stays=True)
        ).rate_per_s,
        rate_per_s=float(rate),
        latency_p50_s=float(latency[0]),
        latency_p95_s=float(latency[1]),
        gossip_bytes_per_item=gossip / len(offered["item"]),
        hops_per_item=float(np.nanmean(offered["hops"][due])),
        busy_workers=sum(any(node.worker.counters.block_tasks) for node in world.parts.nodes),
    )


def _scenario(
    scheme: str, workers: int, raw: bool, admission: str, rate_mbps: float | None
) -> Scenario:
    text = CONFIG.format(
        warmup_s=WARMUP_S,
        measured_s=MEASURED_S,
        scheme=scheme,
        raw=str(raw).lower(),
        admission=admission,
    )
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "c.toml"
        config.write_text(text)
        scenario = load_scenario(config, workers=workers)
    if rate_mbps is None:
        return scenario
    links = {
        pair: replace(link, bandwidth_bps=rate_mbps * MBIT)
        for pair, link in scenario.plan.links.items()
    }
    return replace(scenario, plan=replace(scenario.plan, links=links))


def completed_items(scenario: Scenario) -> tuple[World, dict[str, NDArray[np.float64]]]:
    """The world after its run, and the columns of its items."""
    rows: list[ItemRow] = []

    def record(row: Row) -> None:
        if isinstance(row, ItemRow):
            rows.append(row)

    world = build_world(scenario, record)
    source = world.parts.nodes[SOURCE].source
    assert source is not None
    while not world.run(world.now + 1.0) and source.phase == "admitting":
        pass
    world.run()
    wanted = ("item", "exit", "scheduled_s", "completed_s", "latency_s", "hops")
    table = np.array([[getattr(row, name) for name in wanted] for row in rows], np.float64)
    return world, dict(zip(wanted, table.T, strict=True))


def _in_window(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (times >= WARMUP_S) & (times < WARMUP_S + MEASURED_S)
    return inside


def workers_study(most: int) -> list[Figures]:
    """Every scheme on fleets of up to ``most`` workers."""
    found = []
    for workers in (count for count in WORKERS if count <= most):
        for scheme in SCHEMES:
            for raw in (False, True) if scheme in OFFERS_RAW else (False,):
                found.append(measure(scheme, workers, raw))
                _say(found[-1])
    return found


def sizes_study() -> list[tuple[float, Figures]]:
    """A few schemes when the same tasks take longer and longer on the links."""
    found = []
    for rate_mbps in RATES_MBPS:
        for scheme, raw in SIZED_SCHEMES:
            found.append((rate_mbps, measure(scheme, SIZED_WORKERS, raw, rate_mbps)))
            _say(found[-1][1])
    return found


PIVOTS: dict[str, Callable[[Figures], str]] = {
    "capacity bound, items per second": lambda one: f"{one.bound_per_s:,.0f}",
    "the same if hosts compute what they receive": lambda one: f"{one.keeping_bound_per_s:,.0f}",
    "sustained rate, items per second": lambda one: f"{one.rate_per_s:,.0f}",
    "sustained rate / bound": lambda one: f"{one.rate_per_s / one.bound_per_s:.0%}",
    "workers that compute anything": lambda one: f"{one.busy_workers:,}",
    "p95 latency at 70 % of that rate, ms": lambda one: f"{1e3 * one.latency_p95_s:.1f}",
    "gossip per item at 70 % of that rate, bytes": lambda one: f"{one.gossip_bytes_per_item:,.0f}",
    "hops per item at 70 % of that rate": lambda one: f"{one.hops_per_item:.2f}",
}
"""Title -> what a cell of the table shows."""


def pivot(found: Sequence[Figures], title: str, show: Callable[[Figures], str]) -> list[str]:
    """A Markdown table of one figure: schemes down, workers across."""
    sizes = sorted({one.workers for one in found})
    cells = {(one.name, one.workers): show(one) for one in found}
    lines = [f"**{title}**", "", "| scheme | " + " | ".join(f"{n:,} workers" for n in sizes) + " |"]
    lines.append("| --- " + "| ---: " * len(sizes) + "|")
    for name in dict.fromkeys(one.name for one in found):
        lines.append(f"| {name} | " + " | ".join(cells[name, n] for n in sizes) + " |")
    return [*lines, ""]


def sizes_table(found: Sequence[tuple[float, Figures]]) -> list[str]:
    """A Markdown table, one line per scheme and rate of the links."""
    lines = [
        "| links, Mbit/s | largest feature map on a link, ms | scheme | bound, /s | rate, /s |"
        " of bound | p95, ms |",
        "| ---: | ---: | --- " + "| ---: " * 4 + "|",
    ]
    for rate_mbps, one in found:
        largest_ms = 8e-3 * LARGEST_BYTES / rate_mbps
        lines.append(
            f"| {rate_mbps:g} | {largest_ms:.1f} | {one.name} | {one.bound_per_s:,.0f} "
            f"| {one.rate_per_s:,.0f} | {one.rate_per_s / one.bound_per_s:.0%} "
            f"| {1e3 * one.latency_p95_s:.1f} |"
        )
    return lines


PLOTTED = {
    "local": ("#7f7f7f", "v"),
    "mdi": ("#cc79a7", "s"),
    "ddi": ("#e69f00", "D"),
    "mdi-exit": ("#0072b2", "o"),
    "join-shortest-queue": ("#009e73", "x"),
    "random": ("#d55e00", "+"),
}
"""Schemes in the plot, with colours that everybody can tell apart, and markers."""


def plot(found: Sequence[Figures], path: Path) -> None:
    """Rates and bounds over the number of workers, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "mdibench"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in dict.fromkeys(one.name for one in found if one.scheme in PLOTTED):
        mine = sorted((one for one in found if one.name == name), key=lambda one: one.workers)
        counts, rates = [one.workers for one in mine], [one.rate_per_s for one in mine]
        colour, marker = PLOTTED[mine[0].scheme]
        style = "--" if mine[0].raw else "-"
        axes.plot(counts, rates, style, marker=marker, color=colour, label=name)
    for raw, label in ((False, "bound, raw data stays"), (True, "bound, raw offloaded")):
        mine = [one for one in found if one.scheme == "mdi-exit" and one.raw == raw]
        counts = [one.workers for one in mine]
        axes.plot(counts, [one.bound_per_s for one in mine], ":" if raw else "-.", color="black",
                  label=label)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="items per second (simulated)")
    axes.legend(frameon=False, fontsize=7, ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _say(one: Figures) -> None:
    line = f"{one.name}, {one.workers}: {one.rate_per_s:.0f} of {one.bound_per_s:.0f} /s"
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, help="write the plot of rates here (SVG)")
    parser.add_argument("--most", type=int, default=max(WORKERS), help="largest fleet")
    options = parser.parse_args()
    by_workers = workers_study(options.most)
    for title, show in PIVOTS.items():
        print("\n".join(pivot(by_workers, title, show)), flush=True)
    print("\n".join(sizes_table(sizes_study())))
    if options.plot:
        plot(by_workers, options.plot)


if __name__ == "__main__":
    main()
