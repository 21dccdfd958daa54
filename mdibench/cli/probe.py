"""``mdibench probe``: latency and bandwidth between all ranks, on the transport that runs use."""

from __future__ import annotations

import csv
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mdibench.assembly import environment
from mdibench.cli import check_hostfile
from mdibench.core.records import SOURCE
from mdibench.errors import OK, USAGE_ERROR, Problem, UserError, say
from mdibench.rank.ending import Ending
from mdibench.rank.launch import prepare_rank
from mdibench.record import run_folder
from mdibench.transport import link_probe

if TYPE_CHECKING:
    from mdibench.transport.mpi import RankGroup

MAJOR, MINOR = 1, 0


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The options of the command line."""

    results: Path
    sizes: tuple[int, ...] = link_probe.SIZES
    rounds: int = link_probe.ROUNDS


def run_probe(options: ProbeOptions) -> tuple[int, Path | None, str]:
    """Probe as one rank; returns exit status and, on rank 0, folder and table. MPI starts here."""
    prepare_rank()
    from mdibench.transport.mpi import RankGroup, library

    group = RankGroup()
    if group.size == 1:
        remedy = "use --ranks 2 or mpirun -n 2, or more"
        raise UserError(Problem("a probe needs two ranks or more", "probe", remedy))
    with Ending(group):
        hosts = group.share(environment.host_facts())
        pairs = link_probe.probe(group, options.sizes, options.rounds)
        if group.rank != SOURCE:
            return (OK if _saved(group, None) else USAGE_ERROR), None, ""
        folder = _saved(group, (options, pairs, hosts, library()))
        return (
            (OK, folder, probe_table(pairs)) if folder else (USAGE_ERROR, None, probe_table(pairs))
        )


def _saved(group: RankGroup, measured: tuple[Any, ...] | None) -> Path | None:
    """Save on rank 0; the folder on every rank, None where that failed."""
    folder: Path | None = None
    if measured is not None:
        try:
            folder = save_probe(*measured)
        except UserError as error:
            say(str(error))
    shared = group.share(str(folder) if folder else None)
    return Path(shared[SOURCE]) if shared[SOURCE] else None


def save_probe(
    options: ProbeOptions,
    pairs: Sequence[Sequence[link_probe.SizeRow]],
    hosts: Sequence[dict[str, Any]],
    library: str,
) -> Path:
    """Write ``probe.json`` and ``probe.csv`` into a new folder; returns the folder."""
    started = datetime.now(timezone.utc)
    folder = run_folder.create(options.results, "probe", started, secrets.token_hex(2))
    rows = [asdict(row) for pair in pairs for row in pair]
    facts = {
        "schema": [MAJOR, MINOR],
        "started_utc": started.isoformat(),
        "mpi": library,
        "rounds": options.rounds,
        "ranks": list(hosts),
        "pairs": [asdict(link_probe.pair_row(pair)) for pair in pairs],
        "sizes": rows,
    }
    (folder / "probe.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    with (folder / "probe.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def probe_table(pairs: Sequence[Sequence[link_probe.SizeRow]]) -> str:
    """Latency of each size and the bandwidth, one line per pair."""
    sizes = [row.size_bytes for row in pairs[0]]
    head = ["from", "to", *(f"{_size(size)}, us" for size in sizes), "Mbit/s"]
    lines = [head]
    for rows in pairs:
        pair = link_probe.pair_row(rows)
        rate = f"{pair.bandwidth_bps / 1e6:.0f}" if pair.bandwidth_bps else "n/a"
        latencies = (f"{row.latency_s * 1e6:.0f}" for row in rows)
        lines.append([str(pair.source), str(pair.target), *latencies, rate])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _size(size_bytes: int) -> str:
    if size_bytes % 1024**2 == 0:
        return f"{size_bytes // 1024**2} MiB"
    return f"{size_bytes // 1024} KiB" if size_bytes % 1024 == 0 else f"{size_bytes} B"


@click.command()
@click.option("--ranks", type=click.IntRange(2), help="Start mpirun with this many ranks.")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Hosts for --ranks.")
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(1, 256 * 1024**2),
    multiple=True,
    metavar="BYTES",
    help="Message size; may be given several times.",
)
@click.option("--rounds", type=click.IntRange(1, 100_000), help="Timed exchanges of each size.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder for the folder with probe.json and probe.csv.",
)
def probe(
    ranks: int | None,
    hostfile: Path | None,
    sizes: tuple[int, ...],
    rounds: int | None,
    results: Path,
) -> int:
    """Measure every pair of ranks, one after the other, in both directions.

    Under mpirun every rank runs this command. With --ranks N it starts mpirun itself. One-way
    times are by the sender's clock: an exchange, less half of the shortest one for the answer.
    """
    check_hostfile(hostfile, ranks)
    if ranks is not None:
        from mdibench.rank.launch import run_ranks

        program = ["probe", f"--results={results}", *(f"--size={size}" for size in sizes)]
        program += [f"--rounds={rounds}"] if rounds else []
        return run_ranks(ranks, hostfile, program)
    from mdibench.transport.link_probe import ROUNDS, SIZES

    chosen = tuple(sorted(set(sizes))) or SIZES
    status, folder, table = run_probe(ProbeOptions(results, chosen, rounds or ROUNDS))
    if table:
        click.echo(table)
        click.echo(f"saved in {folder}")
    return status
