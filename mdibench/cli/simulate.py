"""``mdibench simulate``: a config in virtual time, for any number of workers."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(1, 65_535), help="Number of ranks, the source too.")
@click.option("--profile", type=click.Path(path_type=Path), help="Folder of `mdibench profile`.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the summary.")
def simulate(
    config: Path,
    workers: int | None,
    profile: Path | None,
    overrides: tuple[str, ...],
    quiet: bool,
) -> int:
    """Run CONFIG in virtual time: the same workers, policies and files, and no network.

    Exits and accuracy are those of the real network, recorded once; block times are those of the
    emulated devices, else of the profile, else measured here. The run is labelled "simulated".
    """
    from mdibench.report.terminal import summary_lines
    from mdibench.simulation.run import simulate as run
    from mdibench.simulation.scenario import load_scenario

    status, folder = run(load_scenario(config, overrides, workers, profile), quiet)
    click.echo(summary_lines(folder))
    return status
