"""Start the ranks of a job: mpirun as a child process (``--ranks``, and the crews of a sweep)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mdibench.assembly.progress import TERMINAL_VARIABLE
from mdibench.errors import Problem, UserError


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
        [str(mpirun), "--version"], capture_output=True, text=True, check=False, timeout=20
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


def run_ranks(ranks: int, hostfile: Path | None, program: Sequence[str]) -> int:
    """Run ``mdibench PROGRAM...`` on ``ranks`` ranks; return the job's exit status."""
    if hostfile is not None and not hostfile.is_file():
        raise UserError(Problem(f'no such file: "{hostfile}"', "--hostfile", "one host per line"))
    line = command(find_mpirun(), ranks, hostfile, program)
    with subprocess.Popen(line, env=child_environment()) as child:
        signal.signal(signal.SIGTERM, lambda number, frame: child.terminate())
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the launcher gets the signal too and ends the ranks
