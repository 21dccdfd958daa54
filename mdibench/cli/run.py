"""``mdibench run`` and ``mdibench simulate``: one benchmark, over MPI or in virtual time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from mdibench.cli import check_hostfile
from mdibench.cli.init import complete_config, offer

if TYPE_CHECKING:
    from mdibench.rank.launch import Launching


class _Monitor:
    """The live monitor on the launcher's terminal, or a note on how to start one elsewhere."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path) -> None:
        """Show the run in ``folder``."""
        from mdibench.monitor.mpirun_terminal import attach
        from mdibench.rank.launch import tell

        tell("opening", "the monitor")
        self._child = attach(folder)
        if self._child is None:
            where = quote(str(folder))
            click.echo(f"no terminal here; in another one: mdibench monitor {where}", err=True)

    def wait(self) -> None:
        """Wait until the user leaves the monitor."""
        if self._child is not None:
            self._child.wait()


@click.command()
@click.argument(
    "config", type=click.Path(path_type=Path), required=False, shell_complete=complete_config
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--ranks", type=click.IntRange(1), help="Start mpirun with this many ranks.")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Hosts for --ranks.")
@click.option("--tui", is_flag=True, help="Show the live monitor.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the summary.")
@click.option("-y", "--yes", is_flag=True, help="Start many more ranks than cores unasked.")
def run(
    config: Path | None,
    overrides: tuple[str, ...],
    ranks: int | None,
    hostfile: Path | None,
    tui: bool,
    quiet: bool,
    yes: bool,
) -> int:
    """Run the benchmark that CONFIG describes: a file, or the name of a preset.

    Under mpirun every rank runs this command. With --ranks N it starts mpirun itself. Without
    CONFIG, on a terminal, it offers the presets.
    """
    check_hostfile(hostfile, ranks)
    if config is None:
        return _offered()
    if ranks is None:
        from mdibench.rank.launch import prepare_rank

        launch = prepare_rank()
        from mdibench.rank.lifecycle import RunOptions, run_rank

        options = RunOptions(config, overrides, _Monitor() if tui else None, quiet, True)
        status, folder = run_rank(options, launch)
        if folder is not None:
            from mdibench.report.terminal import summary_lines

            click.echo(summary_lines(folder))
        return status
    if hostfile is None and not yes:
        _check_cores(ranks)
    return _launched(config, overrides, ranks, hostfile, tui, quiet)


def _launched(
    config: Path,
    overrides: tuple[str, ...],
    ranks: int,
    hostfile: Path | None,
    tui: bool,
    quiet: bool,
) -> int:
    """Start mpirun, and draw the monitor where terminal and files of the run are at hand."""
    from mdibench.rank.launch import Launching, pass_on_signals, start_ranks, wait_for

    shows = sys.stderr.isatty() and not quiet
    draws = tui and hostfile is None and _at_terminal()
    program = ["run", str(config), *(f"--set={override}" for override in overrides)]
    program += ["--quiet"] * (quiet or draws) + ["--tui"] * (tui and not draws)
    with Launching(config.stem, ranks, shows, monitored=tui and not draws) as launching:
        from mdibench.config.reading import load_config

        load_config(config, overrides)
        if draws:
            status = _watched(launching, program)
        else:
            job = start_ranks(ranks, hostfile, program, reads_keys=tui, apart=not tui)
            launching.job = job
            with job:
                pass_on_signals(launching.terminate)
                status = wait_for(job, None if tui else launching.interrupt)
    launching.say_end()
    return status


def _at_terminal() -> bool:
    """Whether this process is in the foreground of a terminal, with input and output there."""
    try:
        return sys.stdout.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _watched(launching: Launching, program: list[str]) -> int:
    """Run the job and draw its monitor on this terminal; what the ranks print comes afterwards."""
    from mdibench.cli.monitor import draw_launched, prepare_monitor
    from mdibench.rank.launch import pass_on_signals, start_ranks, wait_for

    prepare_monitor()  # before the ranks take the cores
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        job = start_ranks(launching.ranks, None, program, False, True, output, errors)
        launching.job = job

        def leave() -> None:
            launching.terminate()
            raise KeyboardInterrupt

        try:
            launching.hide()
            with suppress(KeyboardInterrupt):
                pass_on_signals(leave)
                draw_launched(launching)
            pass_on_signals(launching.terminate)
            return wait_for(job, launching.interrupt)
        finally:
            if not launching.over:
                launching.terminate()
                job.wait()
            for file, stream in ((output, sys.stdout), (errors, sys.stderr)):
                file.seek(0)
                shutil.copyfileobj(file, stream.buffer)
                stream.flush()


def _offered() -> int:
    """Start the preset that the user chooses."""
    from mdibench.cli import cli

    preset = offer()
    if preset is None:
        raise click.UsageError("Missing argument 'CONFIG': a file, or one of `mdibench presets`.")
    arguments = preset.command.replace(preset.file_name, preset.name).split()[1:]
    if "--hostfile" in arguments:  # the boards have to be named first
        arguments = ["init", preset.name]
    return int(cli.main(arguments, "mdibench", standalone_mode=False) or 0)


RANKS_PER_CORE = 8
"""More ranks than this on a core, and a run measures the host's scheduler; it may fill memory."""


def _check_cores(ranks: int) -> None:
    """Ask on a terminal, else warn, before a host gets far more ranks than it has cores."""
    from mdibench.assembly.environment import cores
    from mdibench.errors import INTERRUPTED, say

    if ranks <= RANKS_PER_CORE * cores():
        return
    what = f"{ranks} ranks on {cores()} cores of one host measure its scheduler, not the scheme"
    remedy = "`mdibench simulate` takes any number of workers"
    if sys.stdin.isatty() and sys.stderr.isatty():
        if not click.confirm(f"{what}; {remedy}. Start them all the same?", err=True):
            raise click.exceptions.Exit(INTERRUPTED)
    else:
        say(f"warning: {what}; {remedy}")


# --- simulate ------------------------------------------------------------------------------------


@click.command()
@click.argument("config", type=click.Path(path_type=Path), shell_complete=complete_config)
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
