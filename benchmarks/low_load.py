"""Latency of ``pressure`` and MDI-Exit below saturation, and the processor time of their events.

    python -m benchmarks.low_load [--only PATTERN ...] [--seeds N]

On the paper's topologies at 200 Mbit/s (those of ``near_bound``), for every seed: each scheme's
sustained rate, then Poisson arrivals at 70 % of that rate. Latency and hops are simulated.
Processor time is that of this machine; the two schemes take turns, so that their ratio holds on a
machine that does other work too. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np

from benchmarks.near_bound import MOST_ITEMS, RATES_MBPS, Cell, cells, measure, scenario_of
from mdibench.analysis.statistics import mean_of_independent
from mdibench.core.rows import ItemRow, Row
from mdibench.simulation.run import build_world

PAPERS = ("local", "2-node", "3-mesh", "3-circular", "5-mesh")
SCHEMES = ("mdi-exit", "pressure")
"""The first is what the second is compared with."""
LOAD = 0.7
WARMUP_ITEMS, ITEMS = 500, 6_000
"""Scheduled before the measurement, and in it."""


@dataclass(frozen=True, slots=True)
class LowLoad:
    """One seed of a topology under a scheme."""

    rate_per_s: float
    p50_ms: float
    p95_ms: float
    hops_per_item: float
    saturated_us: float
    """Processor time of an event while the scheme's own rate was measured."""
    event_us: float
    """The same below saturation."""


def observe(cell: Cell, scheme: str, seed: int) -> LowLoad:
    """A run for the rate, then one at ``LOAD`` of it."""
    line = measure(cell, scheme, seed, MOST_ITEMS)
    per_s = LOAD * line["rate_per_s"]
    start_s, end_s = WARMUP_ITEMS / per_s, (WARMUP_ITEMS + ITEMS) / per_s
    poisson = f'mode = "fixed-rate"\narrivals = "poisson"\ninterarrival_s = {1 / per_s}'
    scenario = scenario_of(cell, scheme, seed, poisson, end_s)
    rows: list[ItemRow] = []

    def record(row: Row) -> None:
        if isinstance(row, ItemRow) and row.scheduled_s >= start_s:
            rows.append(row)

    world = build_world(scenario, record)
    begun_s = time.process_time()
    world.run()
    processor_s = time.process_time() - begun_s
    latency_ms = [1e3 * row.latency_s for row in rows if row.latency_s is not None]
    return LowLoad(
        rate_per_s=line["rate_per_s"],
        p50_ms=float(np.quantile(latency_ms, 0.5)),
        p95_ms=float(np.quantile(latency_ms, 0.95)),
        hops_per_item=float(np.mean([row.hops or 0 for row in rows])),
        saturated_us=1e6 * line["processor_s"] / line["events"],
        event_us=1e6 * processor_s / world.events,
    )


def row(cell: Cell, found: dict[str, Sequence[LowLoad]]) -> str:
    """A topology's line of the table."""
    usual, own = (found[scheme] for scheme in SCHEMES)
    texts = [cell.network.name]
    for name, digits in (("rate_per_s", 0), ("p50_ms", 1), ("p95_ms", 1)):
        texts += [f"{_mean(runs, name):.{digits}f}" for runs in (usual, own)]
    texts.append(ratio(usual, own, "p95_ms"))
    texts += [f"{_mean(runs, 'hops_per_item'):.2f}" for runs in (usual, own)]
    texts += [ratio(usual, own, name) for name in ("event_us", "saturated_us")]
    return f"| {' | '.join(texts)} |"


def ratio(usual: Sequence[LowLoad], own: Sequence[LowLoad], name: str) -> str:
    """The mean ratio over the seeds with its interval."""
    pairs = zip(usual, own, strict=True)
    estimate = mean_of_independent([getattr(b, name) / getattr(a, name) for a, b in pairs])
    return f"{estimate.value:.2f}" + (f" ± {estimate.half_width:.2f}" if len(own) > 1 else "")


def _mean(runs: Sequence[LowLoad], name: str) -> float:
    return float(np.mean([getattr(run, name) for run in runs]))


def table(wanted: Sequence[Cell], seeds: int) -> Iterator[str]:
    """Markdown, line by line as cells are done."""
    both = [f"{{}} {scheme}" for scheme in SCHEMES]
    heads = [text.format(name) for name in ("rate, /s", "p50, ms", "p95, ms") for text in both]
    heads += ["p95, ratio", *(text.format("hops") for text in both)]
    heads += ["µs per event, ratio", "µs per event, ratio, saturated"]
    yield f"| topology | {' | '.join(heads)} |"
    yield f"| --- {'| ---: ' * len(heads)}|"
    for cell in wanted:
        found: dict[str, list[LowLoad]] = {scheme: [] for scheme in SCHEMES}
        for seed in range(1, seeds + 1):
            for scheme in SCHEMES:
                found[scheme].append(observe(cell, scheme, seed))
        yield row(cell, found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["*"], help="patterns of topologies' names")
    parser.add_argument("--seeds", type=int, default=5, help="pairs of runs of each topology")
    options = parser.parse_args()
    wanted = [
        cell
        for cell in cells()
        if cell.network.name in PAPERS and cell.rate_mbps == RATES_MBPS[0] and not cell.delay_ms
        if any(fnmatch(cell.network.name, pattern) for pattern in options.only)
    ]
    for line in table(wanted, options.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
