"""Simulated against emulated MPI runs of the same config: does the simulation tell the truth?

    python -m benchmarks.agreement [--repeats N] [--seconds S] [--only SUBSTRING] [--out FILE]

Five topologies times four schemes, each under two loads: Poisson arrivals at 70 % of the capacity
bound (latency), and as much as goes in with a few items in flight (rate). Both worlds get the same
config and seed, so that they see the same items. Prints a Markdown table; exit status 1 where a
cell is outside the tolerances.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdibench.analysis.run_groups import evaluate_run
from mdibench.bounds.inputs import bound_of_run
from mdibench.rank.launch import command, find_mpirun
from mdibench.record.reader import RunReader
from mdibench.record.run_folder import find_runs
from mdibench.simulation.run import simulate
from mdibench.simulation.scenario import load_scenario

BLOCK_MS = 20.0
TOPOLOGIES = {"local": 1, "2-node": 2, "3-mesh": 3, "3-circular": 3, "5-mesh": 5}
SCHEMES = ("mdi", "mdi-exit", "join-shortest-queue", "pressure")
LOADS = ("poisson", "saturated")
LOAD = 0.7
"""Offered load as a share of the capacity bound."""

TOLERANCES = {"rate": 0.05, "accuracy": 0.01, "exits": 0.02, "p95": 0.20}
"""Rate and p95 latency relative, accuracy and exit shares absolute."""

CONFIG = """\
[run]
name = "agreement"
warmup_s = 2.0
duration_s = {seconds}
results = "{results}"

[scheme]
name = "{scheme}"

[admission]
{admission}

[placement]
copies = {copies}

[topology]
name = "{topology}"

[emulation]
device = "slow"
link = "wifi-5ghz"

[emulation.devices.slow]
block_ms = [{block_ms}, {block_ms}, {block_ms}, {block_ms}, {block_ms}]
basis = "slow enough for real computation to fit beside it on two cores"
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One config, to be run in both worlds."""

    topology: str
    scheme: str
    load: str
    seconds: float = 8.0

    @property
    def ranks(self) -> int:
        """Ranks that the topology is made of."""
        return TOPOLOGIES[self.topology]

    @property
    def name(self) -> str:
        """For file names and messages."""
        return f"{self.topology}-{self.scheme}-{self.load}"

    def config(self, results: Path, rate_per_s: float) -> str:
        """The config's text; ``rate_per_s`` is the capacity bound."""
        admission = f'mode = "offline"\nmax_in_flight = {4 * self.ranks}'
        if self.load == "poisson":
            gap_s = 1 / (LOAD * rate_per_s)
            admission = f'mode = "fixed-rate"\narrivals = "poisson"\ninterarrival_s = {gap_s:.6f}'
        return CONFIG.format(
            seconds=self.seconds,
            results=results,
            scheme=self.scheme,
            admission=admission,
            copies=min(2, self.ranks),
            topology=self.topology,
            block_ms=BLOCK_MS,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What is compared."""

    rate_per_s: float
    rate_low_per_s: float
    accuracy: float
    exits: tuple[float, ...]
    p95_s: float
    bound_per_s: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A cell's figures in both worlds."""

    cell: Cell
    emulated: Figures
    simulated: Figures

    @property
    def differences(self) -> dict[str, float]:
        """By the names of ``TOLERANCES``."""
        real, virtual = self.emulated, self.simulated
        exits = zip(real.exits, virtual.exits, strict=True)
        return {
            "rate": virtual.rate_per_s / real.rate_per_s - 1,
            "accuracy": virtual.accuracy - real.accuracy,
            "exits": max((theirs - ours for ours, theirs in exits), key=abs),
            "p95": virtual.p95_s / real.p95_s - 1,
        }

    @property
    def beyond(self) -> list[str]:
        """Names of the figures that differ by more than the tolerance."""
        return [name for name, by in self.differences.items() if abs(by) > TOLERANCES[name]]


def cells(seconds: float, only: str = "") -> Iterator[Cell]:
    """All cells whose name contains ``only``."""
    for topology in TOPOLOGIES:
        for scheme in SCHEMES:
            for load in LOADS:
                cell = Cell(topology, scheme, load, seconds)
                if only in cell.name:
                    yield cell


def compare(cell: Cell, folder: Path, repeats: int = 1) -> Compared:
    """Run ``cell`` in both worlds, below ``folder``.

    Of several emulated runs the one with the median p95 counts: other programs on this machine
    delay a run, and nothing makes it faster.
    """
    from mdibench.report.bound_text import bound_report

    path = folder / f"{cell.name}.toml"
    path.write_text(cell.config(folder, 1.0))
    rate = bound_report(load_scenario(path, workers=cell.ranks)).bound.rate_per_s
    runs = []
    for repeat in range(repeats):
        results = folder / cell.name / f"emulated-{repeat}"
        path.write_text(cell.config(results, rate))
        emulate(path, cell.ranks)
        runs.append(figures(results))
    virtual = folder / cell.name / "simulated"
    simulate(load_scenario(path, [f'run.results="{virtual}"'], cell.ranks), quiet=True)
    runs.sort(key=lambda run: run.p95_s)
    return Compared(cell, runs[repeats // 2], figures(virtual))


def emulate(config: Path, ranks: int) -> None:
    """Run the config over MPI."""
    program = command(find_mpirun(), ranks, None, ["run", str(config), "-q"])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(program, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=180)


def figures(results: Path) -> Figures:
    """Of the only run below ``results``."""
    (run,) = find_runs([results])
    reader = RunReader(run)
    summary = evaluate_run(reader).summary
    measured = summary.measured
    return Figures(
        rate_per_s=measured.rate_per_s.value,
        rate_low_per_s=measured.rate_per_s.low,
        accuracy=measured.accuracy.value,
        exits=tuple(row.share.value for row in summary.exits),
        p95_s=measured.latency_p95_s.value,
        bound_per_s=bound_of_run(reader)["rate_per_s"],
    )


def table(compared: Sequence[Compared]) -> list[str]:
    """A Markdown table; figures outside the tolerances are bold."""
    lines = [
        "| topology | scheme | load | rate, /s | sim | Δ | accuracy, % | sim | Δ, points |"
        " largest Δ of an exit's share, points | p95, ms | sim | Δ | of bound |",
        "| --- " * 3 + "| ---: " * 11 + "|",
    ]
    for one in compared:
        real, virtual, by, beyond = one.emulated, one.simulated, one.differences, one.beyond
        shown = {
            name: f"**{value}**" if name in beyond else value
            for name, value in {
                "rate": f"{by['rate']:+.1%}",
                "accuracy": f"{100 * by['accuracy']:+.1f}",
                "exits": f"{100 * by['exits']:+.1f}",
                "p95": f"{by['p95']:+.0%}",
            }.items()
        }
        lines.append(
            f"| {one.cell.topology} | {one.cell.scheme} | {one.cell.load} "
            f"| {real.rate_per_s:.1f} | {virtual.rate_per_s:.1f} | {shown['rate']} "
            f"| {100 * real.accuracy:.1f} | {100 * virtual.accuracy:.1f} | {shown['accuracy']} "
            f"| {shown['exits']} "
            f"| {1e3 * real.p95_s:.0f} | {1e3 * virtual.p95_s:.0f} | {shown['p95']} "
            f"| {real.rate_per_s / real.bound_per_s:.0%} |"
        )
    return lines


def main() -> int:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the table here too")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the measured window")
    parser.add_argument("--repeats", type=int, default=1, help="emulated runs of each cell")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    options = parser.parse_args()
    compared = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in cells(options.seconds, options.only):
            compared.append(compare(cell, Path(folder), options.repeats))
            print(table(compared)[-1], file=sys.stderr, flush=True)
    text = "\n".join(table(compared))
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return int(any(one.beyond for one in compared))


if __name__ == "__main__":
    sys.exit(main())
