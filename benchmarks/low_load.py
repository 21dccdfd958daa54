"""Latency of ``pressure`` and MDI-Exit below saturation, and the processor time of their events.

    python -m benchmarks.low_load [--only PATTERN ...] [--seeds N]
    python -m benchmarks.low_load --cost [--only PATTERN ...] [--repeats N]

On the paper's topologies at 200 Mbit/s (those of ``near_bound``). Latency and hops, simulated: for
every seed each scheme's sustained rate, then Poisson arrivals at 70 % of that rate. ``--cost``:
processor time of this machine in an event, at 70 % of the bound and saturated; the schemes take
turns, and the smallest time of the repeats counts, since other work on the machine only adds to it.
Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np

from benchmarks.near_bound import (
    MOST_ITEMS,
    RATES_MBPS,
    USUAL_IN_FLIGHT,
    Cell,
    cells,
    measure,
    offline,
    scenario_of,
)
from mdibench.analysis.statistics import mean_of_independent
from mdibench.bounds.capacity import capacity, fleet_of
from mdibench.core.rows import ItemRow, Row
from mdibench.report.bound_text import demand_of
from mdibench.simulation.run import build_world

PAPERS = ("local", "2-node", "3-mesh", "3-circular", "5-mesh")
SCHEMES = ("mdi-exit", "pressure")
"""The first is what the second is compared with."""
LOAD = 0.7
WARMUP_ITEMS, ITEMS = 500, 6_000
"""Scheduled before the measurement, and in it."""
COST_ITEMS = 2_000
"""Of a run whose processor time is taken."""


def poisson(per_s: float) -> str:
    """Lines of the config's table ``admission``."""
    return f'mode = "fixed-rate"\narrivals = "poisson"\ninterarrival_s = {1 / per_s}'


# --- latency -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LowLoad:
    """One seed of a topology under a scheme: its own rate, and what was seen below it."""

    rate_per_s: float
    p50_ms: float
    p95_ms: float
    hops_per_item: float


def observe(cell: Cell, scheme: str, seed: int) -> LowLoad:
    """A run for the rate, then one at ``LOAD`` of it."""
    rate_per_s = measure(cell, scheme, seed, MOST_ITEMS)["rate_per_s"]
    per_s = LOAD * rate_per_s
    start_s, end_s = WARMUP_ITEMS / per_s, (WARMUP_ITEMS + ITEMS) / per_s
    rows: list[ItemRow] = []

    def record(row: Row) -> None:
        if isinstance(row, ItemRow) and row.scheduled_s >= start_s:
            rows.append(row)

    build_world(scenario_of(cell, scheme, seed, poisson(per_s), end_s), record).run()
    latency_ms = [1e3 * row.latency_s for row in rows if row.latency_s is not None]
    p50_ms, p95_ms = np.quantile(latency_ms, [0.5, 0.95])
    hops = float(np.mean([row.hops or 0 for row in rows]))
    return LowLoad(rate_per_s, float(p50_ms), float(p95_ms), hops)


def latencies(wanted: Sequence[Cell], seeds: int) -> Iterator[str]:
    """Markdown, line by line as topologies are done."""
    titles = ("own rate, /s", "p50, ms", "p95, ms", "hops per item")
    heads = [f"{title}, {scheme}" for title in titles for scheme in SCHEMES]
    yield f"| topology | {' | '.join(heads)} | p95, ratio |"
    yield f"| --- {'| ---: ' * (len(heads) + 1)}|"
    for cell in wanted:
        found: dict[str, list[LowLoad]] = {scheme: [] for scheme in SCHEMES}
        for seed in range(1, seeds + 1):
            for scheme in SCHEMES:
                found[scheme].append(observe(cell, scheme, seed))
        yield _latency_row(cell, [found[scheme] for scheme in SCHEMES])


def _latency_row(cell: Cell, both: Sequence[Sequence[LowLoad]]) -> str:
    texts = [cell.network.name]
    for name, digits in (("rate_per_s", 0), ("p50_ms", 1), ("p95_ms", 1), ("hops_per_item", 2)):
        means = [float(np.mean([getattr(run, name) for run in runs])) for runs in both]
        texts += [f"{mean:.{digits}f}" for mean in means]
    ratio = mean_of_independent([own.p95_ms / usual.p95_ms for usual, own in zip(*both)])  # noqa: B905
    texts.append(f"{ratio.value:.2f}" + (f" ± {ratio.half_width:.2f}" if ratio.n > 1 else ""))
    return f"| {' | '.join(texts)} |"


# --- processor time ------------------------------------------------------------------------------


def costs(wanted: Sequence[Cell], repeats: int) -> Iterator[str]:
    """Markdown: processor time of an event, line by line."""
    heads = [
        f"{title}, {name}" for title in ("events per item", "µs per event") for name in SCHEMES
    ]
    yield f"| topology | load | {' | '.join(heads)} | ratio |"
    yield f"| --- | --- {'| ---: ' * (len(heads) + 1)}|"
    for cell in wanted:
        idle = scenario_of(cell, SCHEMES[0], 1, offline(USUAL_IN_FLIGHT))
        bound_per_s = capacity(fleet_of(idle.plan), demand_of(idle)).rate_per_s
        for load, admission in (
            (f"{LOAD:.0%}", poisson(LOAD * bound_per_s)),
            ("saturated", offline(USUAL_IN_FLIGHT)),
        ):
            yield _cost_row(cell, load, admission, COST_ITEMS / bound_per_s, repeats)


def _cost_row(cell: Cell, load: str, admission: str, duration_s: float, repeats: int) -> str:
    least = {scheme: (0.0, float("inf")) for scheme in SCHEMES}
    for _ in range(repeats):
        for scheme in SCHEMES:
            found = _cost(cell, scheme, admission, duration_s)
            least[scheme] = min(least[scheme], found, key=lambda cost: cost[1])
    (usual_events, usual_us), (own_events, own_us) = (least[scheme] for scheme in SCHEMES)
    texts = [f"{usual_events:.1f}", f"{own_events:.1f}", f"{usual_us:.1f}", f"{own_us:.1f}"]
    return f"| {cell.network.name} | {load} | {' | '.join(texts)} | {own_us / usual_us:.2f} |"


def _cost(cell: Cell, scheme: str, admission: str, duration_s: float) -> tuple[float, float]:
    """Events per completed item, and microseconds of an event."""
    done: list[Row] = []
    world = build_world(scenario_of(cell, scheme, 1, admission, duration_s), done.append)
    begun_s = time.process_time()
    world.run()
    elapsed_s = time.process_time() - begun_s
    items = sum(isinstance(row, ItemRow) for row in done)
    return world.events / items, 1e6 * elapsed_s / world.events


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of topologies' names")
    parser.add_argument("--seeds", type=int, default=5, help="pairs of runs for latency")
    parser.add_argument("--cost", action="store_true", help="processor time instead of latency")
    parser.add_argument("--repeats", type=int, default=9, help="pairs of runs for the cost")
    options = parser.parse_args()
    wanted = [
        cell
        for cell in cells()
        if cell.network.name in PAPERS and cell.rate_mbps == RATES_MBPS[0] and not cell.delay_ms
        if any(fnmatch(cell.network.name, pattern) for pattern in options.only)
    ]
    found = costs(wanted, options.repeats) if options.cost else latencies(wanted, options.seeds)
    for line in found:
        print(line, flush=True)


if __name__ == "__main__":
    main()
