"""The command line: one module per command, imported only when that command runs.

``COMMANDS`` holds each command's one-line help, so that ``--help`` imports no command.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mdibench import __version__
from mdibench.errors import Problem, UserError

if TYPE_CHECKING:
    from mdibench.analysis.run_groups import Each

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init:init", "Write a commented config to start from."),
    "presets": ("init:presets", "List the configs that ship with mdibench."),
    "run": ("run:run", "Run one benchmark, under mpirun or with --ranks N."),
    "monitor": ("monitor:monitor", "Watch a run live, or replay a finished one."),
    "list": ("monitor:list_runs", "List runs: state, scheme, rate, accuracy, verdict, age."),
    "report": ("report:report", "Turn runs into tables, figures and a verdict."),
    "compare": ("report:compare", "Compare two runs or sets of runs, with intervals."),
    "export": ("report:export", "Export a run, e.g. as a Perfetto timeline."),
    "sweep": ("sweep:sweep", "Run a matrix of configs, resumable."),
    "simulate": (
        "run:simulate",
        "Run a config in virtual time, for up to a thousand workers.",
    ),
    "bound": ("check:bound", "The highest rate of any policy, by linear programming."),
    "check": ("check:check", "Validate a config and print its plan without running it."),
    "keys": ("keys:keys", "Print every key of a config: meaning, range and default."),
    "profile": ("train:profile", "Measure a network's blocks and record its confidences."),
    "probe": ("probe:probe", "Measure latency and bandwidth between all ranks."),
    "train": ("train:train", "Train a network with exits."),
    "data": ("data:data", "Fetch, verify and describe data sets."),
    "compile": ("compile:compile_modules", "Make machine code of the modules used most."),
    "doctor": ("doctor:doctor", "Check what this machine has and what it lacks."),
}


def check_hostfile(hostfile: Path | None, ranks: int | None) -> None:
    """Refuse a hostfile that nobody would read: one without ``--ranks``."""
    if hostfile is not None and ranks is None:
        raise click.UsageError("--hostfile is for starting ranks: add --ranks N.")


@contextmanager
def told_by(places: Mapping[str, str]) -> Iterator[None]:
    """Problems of a config's keys name what said them here: an argument or an option, by key."""
    try:
        yield
    except UserError as failure:
        raise UserError(*(_moved(problem, places) for problem in failure.problems)) from failure


def _moved(problem: Problem, places: Mapping[str, str]) -> Problem:
    remedy = problem.remedy
    for key, place in places.items():
        remedy = remedy.replace(key, place)
    return replace(problem, where=places.get(problem.where, problem.where), remedy=remedy)


@contextmanager
def busy(text: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what a silent command does; yields a function that changes the text.

    Nothing where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status(text) as status:
        yield status.update


MOST_PROCESSES = 4
"""Each takes 60 to 120 MiB of its own."""


@contextmanager
def processes(wanted: bool) -> Iterator[Each]:
    """Yields a ``map`` that works in a process for each core; the plain one where none is wanted.

    Calls and results are pickled, so that processes are worth it for much work only.
    """
    if not wanted:
        yield map
        return
    from concurrent.futures import ProcessPoolExecutor

    from mdibench.assembly.environment import cores

    pool = ProcessPoolExecutor(min(MOST_PROCESSES, cores()), initializer=_begin_process)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """Ctrl-C reaches every process of a terminal: the command ends for it, and ends the others.

    What the collector does not visit stays shared with the command's memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    threading.Thread(target=_end_with_command, daemon=True).start()


def _end_with_command() -> None:
    """A command that was killed did not end its processes."""
    from multiprocessing import parent_process

    command = parent_process()
    assert command is not None
    command.join()
    os._exit(1)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; ``None`` for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module_name, attribute = COMMANDS[cmd_name][0].split(":")
        module = importlib.import_module(f"mdibench.cli.{module_name}")
        command = getattr(module, attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, with its name and arguments; the nearest is named for an unknown one."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from mdibench.config.messages import near_miss

            hint = near_miss(args[0], COMMANDS)
            what = f'There is no command "{args[0]}"'
            raise click.UsageError(f"{what}; {hint}" if hint else f"{what}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help page's list, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks instead of one-line errors.")
@click.version_option(__version__, prog_name="mdibench")
def cli(debug: bool) -> None:
    """Benchmark model-distributed inference with early exits on edge networks."""
