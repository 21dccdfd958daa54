"""``mdibench run`` and ``mdibench simulate``: one benchmark, over MPI or in virtual time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shlex import quote

import click

from mdibench.cli import check_hostfile


class _Monitor:
    """The live monitor on the launcher's terminal, or a note on how to start one elsewhere."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path) -> None:
        """Show the run in ``folder``."""
        from mdibench.monitor.mpirun_terminal import attach

        self._child = attach(folder)
        if self._child is None:
            where = quote(str(folder))
            click.echo(f"no terminal here; in another one: mdibench monitor {where}", err=True)

    def wait(self) -> None:
        """Wait until the user leaves the monitor."""
        if self._child is not None:
            self._child.wait()


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--ranks", type=click.IntRange(1), help="Start mpirun with this many ranks.")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Hosts for --ranks.")
@click.option("--tui", is_flag=True, help="Show the live monitor.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the summary.")
def run(
    config: Path,
    overrides: tuple[str, ...],
    ranks: int | None,
    hostfile: Path | None,
    tui: bool,
    quiet: bool,
) -> int:
    """Run the benchmark that CONFIG describes.

    Under mpirun every rank runs this command. With --ranks N it starts mpirun itself.
    """
    check_hostfile(hostfile, ranks)
    if ranks is None:
        from mdibench.rank.launch import prepare_rank

        launch = prepare_rank()
        from mdibench.rank.lifecycle import RunOptions, run_rank

        options = RunOptions(config, overrides, _Monitor() if tui else None, quiet)
        status, folder = run_rank(options, launch)
        if folder is not None:
            from mdibench.report.terminal import summary_lines

            click.echo(summary_lines(folder))
        return status
    from mdibench.config.reading import load_config
    from mdibench.rank.launch import run_ranks

    load_config(config, overrides)
    program = ["run", str(config), *(f"--set={override}" for override in overrides)]
    program += ["--tui"] * tui + ["--quiet"] * quiet
    return run_ranks(ranks, hostfile, program, reads_keys=tui)


# --- simulate ----------------------------------------------------------------------------------
# ``mdibench simulate``: a config in virtual time, for any number of workers.


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
