"""Start the ranks of a job: mpirun as a child process (``--ranks``, and the crews of a sweep)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mdibench.assembly import environment as assembly
from mdibench.assembly import limits
from mdibench.assembly.sampling import TERMINAL_VARIABLE
from mdibench.errors import USAGE_ERROR, Problem, UserError


def find_mpirun() -> Path:
    """The mpirun beside this Python first, since it matches the MPI that mpi4py loads."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun") or shutil.which("mpiexec")
    if found is None:
        raise UserError(
            Problem(
                "no mpirun found",
                remedy="pip install 'mdibench[mpich]', or load your cluster's MPI module",
            )
        )
    return Path(found)


def is_open_mpi(mpirun: Path) -> bool:
    """Whether this launcher is Open MPI's, whose options differ from MPICH's."""
    version = subprocess.run(
        [str(mpirun), "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return "Open MPI" in version.stdout or "open-mpi" in version.stdout


def command(mpirun: Path, ranks: int, hostfile: Path | None, program: Sequence[str]) -> list[str]:
    """The command line that starts ``ranks`` ranks of ``python -m mdibench PROGRAM...``."""
    open_mpi = is_open_mpi(mpirun)
    line = [str(mpirun), "-n", str(ranks)]
    if hostfile is not None:
        line += ["--hostfile" if open_mpi else "-f", str(hostfile)]
    if open_mpi:
        line += ["--oversubscribe", "--bind-to", "none"]
    return [*line, sys.executable, "-m", "mdibench", *program]


def child_environment() -> dict[str, str]:
    """This process's environment; ``TERMINAL_VARIABLE`` tells the ranks of a terminal."""
    variables = dict(os.environ)
    if sys.stderr.isatty():
        variables[TERMINAL_VARIABLE] = "1"
    if os.geteuid() == 0:
        variables.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
        variables.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    return variables


def prepare_rank() -> assembly.Launch:
    """What every rank does first, before numpy, torch and MPI start: threads and limits.

    Raises UserError on rank 0 where MPI could not start; other ranks then end without a word.
    """
    launch = facts()
    assembly.limit_threads(launch.local_size)
    shared = limits.shared_memory()
    lack = limits.lacking_shared_memory(launch.local_size, shared.total) if shared else ""
    if launch.local_size > 1 and lack:
        if launch.rank:
            os._exit(USAGE_ERROR)
        raise UserError(Problem(lack, "shared memory", limits.SHARED_MEMORY_REMEDY))
    return launch


def facts() -> assembly.Launch:
    """The launcher of this process and the place it gave it."""
    return assembly.launch_facts(library=_loaded_vendor)


def _loaded_vendor() -> str:
    from mdibench.transport.mpi import vendor

    return vendor()


def _check_shared_memory(ranks: int) -> None:
    shared = limits.shared_memory()
    lack = limits.lacking_shared_memory(ranks, shared.free) if shared and ranks > 1 else ""
    if lack:
        raise UserError(Problem(lack, "shared memory", limits.SHARED_MEMORY_REMEDY))


def run_ranks(
    ranks: int,
    hostfile: Path | None,
    program: Sequence[str],
    reads_keys: bool = False,
    interrupt: Callable[[], bool] | None = None,
) -> int:
    """Run ``mdibench PROGRAM...`` on ``ranks`` ranks; the job's exit status.

    Only a program that ``reads_keys`` gets this process's stdin: a launcher reads all of it, and
    is stopped by a terminal that it may not read. With ``interrupt``, Ctrl-C calls that, and goes
    on to the launcher only where it returns false; without, the launcher gets Ctrl-C itself.
    """
    _check_shared_memory(1 if hostfile else ranks)
    if hostfile is not None and not hostfile.is_file():
        raise UserError(Problem(f'no such file: "{hostfile}"', "--hostfile", "one host per line"))
    line = command(find_mpirun(), ranks, hostfile, program)
    stdin = None if reads_keys else subprocess.DEVNULL
    apart = interrupt is not None  # in a session of its own, which Ctrl-C does not reach
    with subprocess.Popen(
        line, env=child_environment(), stdin=stdin, start_new_session=apart
    ) as child:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, frame: child.terminate())
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                if interrupt is not None and not interrupt():
                    child.send_signal(signal.SIGINT)
