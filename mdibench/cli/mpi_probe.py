"""Which MPI library mpi4py loads, which launcher there is, and whether the two fit.

A launcher of one kind with a library of the other is the oldest trap of mpi4py: every rank thinks
that it is alone. Everything happens in other processes: MPI must not start in this one.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mdibench.cli.machine import LIBRARY_PROGRAM, RANKS_PROGRAM, Ask, Finding

INSTALL = "pip install 'mdibench[mpich]', or load your cluster's MPI module"
MPICH_LIKE = ("MPICH", "Intel MPI", "MVAPICH", "Cray MPI")
"""Libraries that Hydra, MPICH's launcher, starts."""

Which = Callable[[str], "str | None"]


@dataclass(frozen=True, slots=True)
class Launcher:
    """A program that starts ranks: ``kind`` is MPICH, Open MPI or Slurm."""

    path: str
    kind: str
    on_path: bool


def library(ask: Ask) -> tuple[str, Finding]:
    """The MPI library that mpi4py loads: its vendor (empty for none), and what was found."""
    answer = ask([sys.executable, "-c", LIBRARY_PROGRAM])
    if answer.status != 0:
        return "", Finding("MPI library", "missing", answer.last_line, INSTALL)
    vendor, version = json.loads(answer.output.strip().splitlines()[-1])
    told = plain_version(str(version).splitlines()[0])
    name = "" if told.split()[:1] == [vendor] else f"{vendor}: "
    return vendor, Finding("MPI library", "ok", f"{name}{told}"[:100])


def plain_version(line: str) -> str:
    """What a library says of itself in one line, without padding: ``MPICH 5.0.2``."""
    return " ".join(line.replace("Version:", "").split())


def find_launcher(
    ask: Ask, which: Which = shutil.which, beside: Path = Path(sys.executable).parent
) -> Launcher | None:
    """The launcher that a user's ``mpirun`` means, else the one beside this Python, else srun."""
    for name in ("mpirun", "mpiexec"):
        found = which(name)
        if found:
            return Launcher(found, _kind(ask, found), True)
    own = beside / "mpirun"
    if own.exists():
        return Launcher(str(own), _kind(ask, str(own)), False)
    srun = which("srun")
    return Launcher(srun, "Slurm", True) if srun else None


def launcher(found: Launcher | None, vendor: str) -> Finding:
    """Whether there is a launcher, and whether it is of the library's kind."""
    if found is None:
        return Finding("launcher", "missing", "no mpirun, mpiexec or srun", INSTALL)
    text = f"{found.kind or 'unknown kind'}, {found.path}"
    if vendor and not fits(found.kind, vendor):
        return Finding(
            "launcher",
            "missing",
            f"{text} does not start {vendor}: every rank would think that it is alone",
            f"use {vendor}'s own mpirun, or choose the library with MPI4PY_MPIABI",
        )
    if not found.on_path:
        return Finding("launcher", "note", f"{text} (not on PATH)", "use that path, or --ranks N")
    return Finding("launcher", "ok", text)


def fits(kind: str, vendor: str) -> bool:
    """Whether a launcher of this kind starts ranks of this library."""
    if kind in ("Slurm", ""):
        return True
    return vendor == kind or (kind == "MPICH" and vendor in MPICH_LIKE)


def two_ranks(ask: Ask, found: Launcher | None) -> Finding:
    """Start two ranks and see whether they see each other."""
    name = "two ranks"
    if found is None or found.kind == "Slurm":
        return Finding(name, "note", "not tried: no mpirun")
    options = ["--oversubscribe", "--bind-to", "none"] if found.kind == "Open MPI" else []
    answer = ask([found.path, "-n", "2", *options, sys.executable, "-c", RANKS_PROGRAM])
    said = next((line for line in answer.output.splitlines() if line.startswith("ranks ")), "")
    if said.startswith("ranks 2 "):
        return Finding(name, "ok", f"start and see each other; thread level {said.split()[-1]}")
    if said.startswith("ranks 1 "):
        remedy = "launcher and MPI library do not fit; see above"
        return Finding(name, "missing", "each thinks that it is alone", remedy)
    return Finding(name, "missing", f"do not start: {answer.last_line[:100]}", INSTALL)


def run_command(found: Launcher | None, vendor: str) -> list[str]:
    """How to start a run on the hosts of a file, and what that file must look like."""
    kind = found.kind if found else vendor
    hidden = found is not None and not found.on_path
    path = found.path if found and hidden else "mpirun"
    program = f"{sys.executable if hidden else 'python'} -m mdibench run CONFIG"
    if kind == "Slurm":
        return [f"srun -n 4 --mpi=pmix {program}", "or --mpi=pmi2, as the cluster has it"]
    if kind == "Open MPI":
        return [f"{path} --hostfile hostfile -n 4 {program}", "hostfile: lines HOST slots=4"]
    return [f"{path} -f hostfile -n 4 {program}", "hostfile: lines HOST:4"]


def _kind(ask: Ask, path: str) -> str:
    """The kind of an ``mpirun``, by what it says of itself; empty for an unknown one."""
    said = ask([path, "--version"]).output.lower()
    if "open mpi" in said or "open-mpi" in said or "prte" in said:
        return "Open MPI"
    if "hydra" in said or "mpich" in said or "intel(r) mpi" in said:
        return "MPICH"
    return "Slurm" if "slurm" in said else ""
