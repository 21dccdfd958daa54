"""The tables of ``docs/experiments.md``, from the folders of the paper's sweeps, as Markdown.

    python -m benchmarks.experiments accuracy results/paper-fixed-accuracy
    python -m benchmarks.experiments rate results/paper-fixed-rate
    python -m benchmarks.experiments simulate CONFIG FOLDER   # a sweep's cells in virtual time
    python -m benchmarks.experiments codecs results/paper-codecs
    python -m benchmarks.experiments memory results/paper-memory
    python -m benchmarks.experiments work results/cifar10-mobilenetv2-work

Every figure is a mean over repeats with a 95 % confidence interval (Student); a comparison is that
of pairs of runs with the same seed, and "above" or "below" where its p-value is under 5 % after
Holm's correction over its table. Runs that are INVALID because real computing did not keep up
with the emulated devices are left out, and counted.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mdibench.analysis.comparison import ALPHA
from mdibench.analysis.run_groups import Run, evaluate_run
from mdibench.analysis.shares import UNKNOWN, Estimate
from mdibench.analysis.statistics import Effect, holm, mean_of_independent, paired_effect
from mdibench.bounds.inputs import bound_of_run
from mdibench.record.files import write_text_whole
from mdibench.record.reader import RunReader
from mdibench.simulation.run import simulate
from mdibench.simulation.scenario import load_scenario
from mdibench.sweep.matrix import read_matrix

TOPOLOGIES = ("Local", "2-Node", "3-Node-Mesh", "3-Node-Circular", "5-Node-Mesh")
OURS = "mdi-exit"


@dataclass(frozen=True)
class Row:
    """One run: its cell's labels, its seed and its figures."""

    cell: tuple[str, ...]
    seed: int
    run: Run
    bound_per_s: float
    correct: Mapping[int, bool]
    """Item -> whether it was classified rightly, of all items with a result."""

    @property
    def troubles(self) -> set[str]:
        """Checks that the run does not pass."""
        return {finding.check for finding in self.run.findings if finding.level == "invalid"}


Cells = Mapping[tuple[str, ...], list[Row]]


def load(folder: Path) -> Cells:
    """The sweep's complete runs, cell by cell; what was too slow to be emulated is left out."""
    sweep = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    cells: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    left_out = 0
    for entry in sweep["runs"]:
        if entry["status"] != "complete" or not (folder / entry["run"]).is_dir():
            continue
        row = _row(folder / entry["run"], entry["cell"])
        if "emulation" in row.troubles:
            left_out += 1
        else:
            cells[row.cell].append(row)
    total = sum(len(rows) for rows in cells.values())
    print(f"{total} runs of {len(cells)} cells; {left_out} more left out: emulation overran.\n")
    return cells


def _row(folder: Path, label: str) -> Row:
    reader = RunReader(folder)
    run = evaluate_run(reader)
    labels = label.split(", ")
    if labels[-1] == "raw":
        labels[-2:] = [f"{labels[-2]}, raw"]
    items = reader.numbers("items", ["item", "correct"])
    judged = np.isfinite(items["correct"])
    pairs = zip(items["item"][judged], items["correct"][judged], strict=True)
    correct = {int(item): bool(value) for item, value in pairs}
    bound = bound_of_run(reader)["rate_per_s"]
    return Row(tuple(labels), run.summary.identity.seed, run, bound or float("nan"), correct)


# --- tables --------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a Markdown table."""
    head = list(head)
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def grid(
    title: str, cells: Cells, shown: Callable[[list[Row]], str], prefix: tuple[str, ...] = ()
) -> None:
    """Schemes down, topologies across."""
    print(f"**{title}**\n")
    schemes = list(dict.fromkeys(cell[-1] for cell in cells))
    schemes.sort(key=lambda name: (not name.startswith(OURS), name))
    places = [place for place in TOPOLOGIES if any(cell[0] == place for cell in cells)]
    table(
        ["scheme", *places],
        (
            [name, *(shown(cells.get((place, *prefix, name), [])) for place in places)]
            for name in schemes
        ),
    )


def shown(estimate: Estimate, digits: int, scale: float = 1.0) -> str:
    """Mean and half of the interval."""
    if not estimate.n:
        return "-"
    half = (estimate.high - estimate.low) / 2
    return f"{scale * estimate.value:.{digits}f} ± {scale * half:.{digits}f}"


def mean(rows: list[Row], figure: Callable[[Row], float]) -> Estimate:
    """Over repeats."""
    return mean_of_independent([figure(row) for row in rows])


def rate(row: Row) -> float:
    """Items per second with a result in the measured window."""
    return row.run.summary.measured.rate_per_s.value


def share_of_bound(row: Row) -> float:
    """The rate over the most that any policy could sustain, with what this run measured."""
    return rate(row) / row.bound_per_s


def offered(row: Row) -> float:
    """Accuracy over offered items."""
    return row.run.summary.measured.accuracy_offered.value


def dropped(row: Row) -> float:
    """Share of offered items that were turned away."""
    return row.run.summary.measured.drop_share.value


def pairs(one: list[Row], other: list[Row], figure: Callable[[Row], float]) -> Effect:
    """Mean of (one - other) over runs with the same seed."""
    seeds = {row.seed: row for row in other}
    both = [(figure(row), figure(seeds[row.seed])) for row in one if row.seed in seeds]
    if len(both) < 2:
        return Effect(UNKNOWN, float("nan"), True)
    ours, theirs = zip(*both, strict=True)
    return paired_effect(theirs, ours)


def verdicts(cells: Cells, figure: Callable[[Row], float], scale: float, digits: int) -> None:
    """MDI-Exit minus each rival, and a word where that is significant in its table."""
    for middle in dict.fromkeys(cell[1:-1] for cell in cells):
        effects = {
            cell: pairs(cells.get((*cell[:-1], OURS), []), rows, figure)
            for cell, rows in cells.items()
            if cell[1:-1] == middle and cell[-1] != OURS
        }
        adjusted = holm([effect.p_value for effect in effects.values()])
        told = {
            cell: shown(effect.estimate, digits, scale) + word(effect, p)
            for (cell, effect), p in zip(effects.items(), adjusted, strict=True)
        }
        name = f" at {' '.join(middle)}" if middle else ""
        grid(f"{OURS} minus the scheme{name}", cells, partial(_of_cell, told), middle)


def _of_cell(told: Mapping[tuple[str, ...], str], rows: list[Row]) -> str:
    return told.get(rows[0].cell, "-") if rows else "-"


def word(effect: Effect, p_adjusted: float) -> str:
    """What a difference is called by its adjusted p-value; nothing where there is none."""
    if not effect.estimate.n:
        return ""
    if p_adjusted >= ALPHA:
        return " ="
    return " above" if effect.estimate.value > 0 else " **below**"


# --- experiments --------------------------------------------------------------------------------


def accuracy(folder: Path) -> None:
    """Fixed accuracy: rates, shares of the bound, accuracies over the same items."""
    cells = load(folder)
    grid("Items per second", cells, lambda rows: shown(mean(rows, rate), 1))
    grid("Capacity bound, items per second", cells,
         lambda rows: shown(mean(rows, lambda row: row.bound_per_s), 1))  # fmt: skip
    grid("Share of the bound", cells, lambda rows: shown(mean(rows, share_of_bound), 3))
    verdicts(cells, rate, 1, 1)
    grid("Runs whose items in flight grew (not sustained), of all", cells,
         lambda rows: f"{sum('steady' in row.troubles for row in rows)}/{len(rows)}")  # fmt: skip
    same = _over_the_same_items(cells)
    grid(
        "Accuracy, %, over the items that all schemes of a topology and seed completed",
        cells,
        lambda rows: shown(mean_of_independent(same[rows[0].cell]), 2, 100) if rows else "-",
    )


def _over_the_same_items(cells: Cells) -> dict[tuple[str, ...], list[float]]:
    """Accuracy of each run over the items that every scheme completed in that topology and seed."""
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for rows in cells.values():
        for row in rows:
            groups[row.cell[0], row.seed].append(row)
    found: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for rows in groups.values():
        common = set.intersection(*(set(row.correct) for row in rows))
        for row in rows:
            found[row.cell].append(float(np.mean([row.correct[item] for item in common])))
    return found


def rates(folder: Path) -> None:
    """Fixed rate: accuracy over offered items at each rate."""
    cells = load(folder)
    for middle in sorted(dict.fromkeys(cell[1:-1] for cell in cells)):
        grid(f"Accuracy over offered items, %, at {middle[0]}", cells,
             lambda rows: shown(mean(rows, offered), 1, 100), middle)  # fmt: skip
        grid(f"Dropped, %, at {middle[0]}", cells,
             lambda rows: shown(mean(rows, dropped), 1, 100), middle)  # fmt: skip
    verdicts(cells, offered, 100, 1)


def codecs(folder: Path) -> None:
    """Bytes of an item on the wire, by scheme, codec and link; codec time; accuracy."""
    cells = load(folder)
    table(
        ["scheme", "codec", "KiB per item", "encode and decode, us per task sent", "accuracy, %",
         "KiB per item on each link"],
        (
            [*cell, shown(mean(rows, item_bytes), 2, 1 / 1024), shown(mean(rows, codec_s), 0, 1e6),
             shown(mean(rows, offered), 1, 100), _links(rows)]
            for cell, rows in sorted(cells.items(), key=lambda of: _codec_order(of[0]))
        ),
    )  # fmt: skip


def _codec_order(cell: tuple[str, ...]) -> tuple[bool, str, int]:
    """Ours first, and codecs from none to the smallest."""
    return not cell[0].startswith(OURS), cell[0], ("none", "fp16", "int8").index(cell[1])


def item_bytes(row: Row) -> float:
    """Bytes of an item's tasks on all links, headers included."""
    return row.run.summary.measured.bytes_per_item.value


def codec_s(row: Row) -> float:
    """Seconds of encoding and decoding for each task that was sent."""
    telemetry = row.run.reader.numbers("telemetry", ["rank", "encode_s"])
    links = row.run.reader.numbers("links", ["source", "target", "tasks"])
    spent = sum(telemetry["encode_s"][telemetry["rank"] == r].max() for r in set(telemetry["rank"]))
    ways = set(zip(links["source"], links["target"], strict=True))
    sent = sum(links["tasks"][(links["source"] == a) & (links["target"] == b)].max()
               for a, b in ways)  # fmt: skip
    return float(spent / sent) if sent else float("nan")


def _links(rows: list[Row]) -> str:
    sums: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in rows:
        summary = row.run.summary
        done = rate(row) * (summary.window[1] - summary.window[0])
        for link in summary.links:
            sums[link.source, link.target].append(link.bytes / done)
    return ", ".join(
        f"{a}→{b} {np.mean(values) / 1024:.2f}" for (a, b), values in sorted(sums.items())
    )


def memory(folder: Path) -> None:
    """Peak resident memory of each worker, and what of it is parameters."""
    cells = load(folder)
    body = []
    for cell, rows in cells.items():
        manifest = rows[0].run.reader.manifest
        blocks = manifest["plan"]["blocks"]
        sizes = [block["parameters"] * 4 / 1024 for block in manifest["model"]["blocks"]]
        for rank, held in enumerate(blocks):
            peak = mean_of_independent([row.run.summary.ranks[rank].rss_bytes for row in rows])
            body.append(
                [*cell, str(rank), " ".join(map(str, held)),
                 f"{sum(sizes[k - 1] for k in held):.0f}", shown(peak, 1, 1 / 1024**2)]
            )  # fmt: skip
    table(["placement", "rank", "blocks", "parameters, KiB", "peak memory, MiB"], body)


def work(folder: Path) -> None:
    """What one rank computes for an item, as executed, with and without exits and batches."""
    cells = load(folder)
    plain = {cell[0]: mean(rows, rate).value for cell, rows in cells.items() if cell[1] == "1"}
    table(
        ["exits", "batch", "items per s", "of batch 1", "compute of an item, ms",
         "MFLOPs of an item", "accuracy, %"],
        (
            [*cell, shown(mean(rows, rate), 1), f"{mean(rows, rate).value / plain[cell[0]]:.2f}",
             shown(mean(rows, compute_s), 2, 1e3), shown(mean(rows, flops), 1, 1e-6),
             shown(mean(rows, offered), 1, 100)]
            for cell, rows in cells.items()
        ),
    )  # fmt: skip


def compute_s(row: Row) -> float:
    """Seconds that rank 0 spent in blocks for each item."""
    return row.run.summary.ranks[0].split["compute"] / rate(row)


def flops(row: Row) -> float:
    """FLOPs that were executed for each item."""
    return row.run.summary.measured.flops_per_item.value


# --- a sweep in virtual time ---------------------------------------------------------------------


def simulated(config: Path, folder: Path) -> None:
    """Simulate every run of the sweep ``config``, and record them as a sweep does.

    Each repeat is complete before the next one begins; repeats that are recorded are not run again.
    """
    matrix = read_matrix(config.read_text(encoding="utf-8"), str(config))
    file = folder / "sweep.json"
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []
    done = {(entry["cell"], entry["seed"]) for entry in runs}
    for seed in range(matrix.base.run.seed, matrix.base.run.seed + matrix.sweep.repeats):
        for cell in matrix.cells:
            if (cell.label, seed) in done:
                continue
            own = (*cell.overrides, f"run.seed={seed}", f'run.results="{folder}"')
            status, run = simulate(load_scenario(config, own, cell.ranks), quiet=True)
            complete = "complete" if status == 0 else "failed"
            entry = {"cell": cell.label, "seed": seed, "run": run.name, "status": complete}
            runs.append(entry)
            write_text_whole(file, json.dumps({"runs": runs}, indent=1))


PARTS = {"accuracy": accuracy, "rate": rates, "codecs": codecs, "memory": memory, "work": work}

if __name__ == "__main__":
    if sys.argv[1:2] == ["simulate"] and len(sys.argv) == 4:
        simulated(Path(sys.argv[2]), Path(sys.argv[3]))
        sys.exit()
    if len(sys.argv) != 3 or sys.argv[1] not in PARTS:
        sys.exit(__doc__)
    PARTS[sys.argv[1]](Path(sys.argv[2]))
