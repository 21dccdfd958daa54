"""``mdibench probe``: latency and bandwidth between all ranks, on the transport that runs use."""

from __future__ import annotations

from pathlib import Path

import click

from mdibench.cli import check_hostfile


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
    from mdibench.rank.probing import ProbeOptions, run_probe
    from mdibench.transport.link_probe import ROUNDS, SIZES

    chosen = tuple(sorted(set(sizes))) or SIZES
    status, folder, table = run_probe(ProbeOptions(results, chosen, rounds or ROUNDS))
    if table:
        click.echo(table)
        click.echo(f"saved in {folder}")
    return status
