"""Checks of the MPI installation and of the hosts of a job. Called by ``mdibench doctor``.

With a launcher of one MPI and a library of another, every rank is alone in a world of size 1. The
checks of library and launcher run in other processes: MPI must not start in this one.

Under mpirun, every rank shares the facts of its host with all ranks. Ranks with different versions
of mdibench or different MPI libraries cannot run together; other differences only make the
measurements less comparable.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from mdibench.rank.launch import prepare_rank
from mdibench.rank.machine import STEADY_GOVERNORS, STEADY_REMEDY, Ask, CheckState, MachineCheck

LIBRARY_PROGRAM = (
    "import mpi4py; mpi4py.rc.initialize = False\n"
    "from mpi4py import MPI\n"
    "import json; print(json.dumps([MPI.get_vendor()[0], MPI.Get_library_version()]))"
)
RANKS_PROGRAM = (
    "from mpi4py import MPI\n"
    "world = MPI.COMM_WORLD\n"
    "world.Barrier()\n"
    "levels = ('single', 'funneled', 'serialized', 'multiple')\n"
    "if world.rank == 0: print('ranks', world.size, 'threads', levels[MPI.Query_thread()])"
)
INSTALL = "pip install 'mdibench[mpich]', or load your cluster's MPI module"
MPICH_LIKE = ("MPICH", "Intel MPI", "MVAPICH", "Cray MPI")
"""Vendors whose ranks Hydra, MPICH's launcher, can start."""

Which = Callable[[str], "str | None"]


@dataclass(frozen=True, slots=True)
class Launcher:
    """A program that starts ranks: ``kind`` is MPICH, Open MPI or Slurm."""

    path: str
    kind: str
    on_path: bool


def check_library(ask: Ask) -> tuple[str, MachineCheck]:
    """The vendor of the MPI library that mpi4py loads (empty for none), and the check's result."""
    answer = ask([sys.executable, "-c", LIBRARY_PROGRAM])
    if answer.status != 0:
        return "", MachineCheck("MPI library", "missing", answer.last_line, INSTALL)
    vendor, version = json.loads(answer.output.strip().splitlines()[-1])
    text = plain_version(str(version).splitlines()[0])
    name = "" if text.split()[:1] == [vendor] else f"{vendor}: "
    return vendor, MachineCheck("MPI library", "ok", f"{name}{text}"[:100])


def plain_version(line: str) -> str:
    """A library's version line without padding: ``MPICH 5.0.2``."""
    return " ".join(line.replace("Version:", "").split())


def find_launcher(
    ask: Ask, which: Which = shutil.which, beside: Path = Path(sys.executable).parent
) -> Launcher | None:
    """``mpirun`` or ``mpiexec`` on the PATH, else mpirun beside this Python, else srun."""
    for name in ("mpirun", "mpiexec"):
        found = which(name)
        if found:
            return Launcher(found, _kind(ask, found), True)
    own = beside / "mpirun"
    if own.exists():
        return Launcher(str(own), _kind(ask, str(own)), False)
    srun = which("srun")
    return Launcher(srun, "Slurm", True) if srun else None


def check_launcher(found: Launcher | None, vendor: str) -> MachineCheck:
    """Whether there is a launcher, and whether it matches the library's vendor."""
    if found is None:
        return MachineCheck("launcher", "missing", "no mpirun, mpiexec or srun", INSTALL)
    text = f"{found.kind or 'unknown kind'}, {found.path}"
    if vendor and not fits(found.kind, vendor):
        return MachineCheck(
            "launcher",
            "missing",
            f"{text} does not start {vendor}: each rank would be alone in a world of size 1",
            f"use {vendor}'s own mpirun, or choose the library with MPI4PY_MPIABI",
        )
    if not found.on_path:
        return MachineCheck(
            "launcher", "note", f"{text} (not on PATH)", "use that path, or --ranks N"
        )
    return MachineCheck("launcher", "ok", text)


def check_fault_tolerance(ask: Ask, found: Launcher | None) -> MachineCheck:
    """Whether a run can go on when the process of a worker dies."""
    name = "killed worker"
    ends = "the launcher ends the job; what was flushed stays readable"
    if found is None or found.kind != "Open MPI":
        return MachineCheck(name, "note", ends)
    said = ask([str(Path(found.path).with_name("ompi_info"))]).output
    if re.search(r"FT MPI support:\s*yes", said):
        text = "the others go on under mpirun --with-ft ulfm"
        return MachineCheck(name, "ok", text)
    return MachineCheck(name, "note", f"{ends} (this Open MPI has no ULFM)")


def fits(kind: str, vendor: str) -> bool:
    """Whether a launcher of this kind starts ranks of this vendor's library."""
    if kind in ("Slurm", ""):
        return True
    return vendor == kind or (kind == "MPICH" and vendor in MPICH_LIKE)


def check_two_ranks(ask: Ask, found: Launcher | None) -> MachineCheck:
    """Start two ranks and check that they are in one world."""
    name = "two ranks"
    if found is None or found.kind == "Slurm":
        return MachineCheck(name, "note", "not tried: no mpirun")
    options = ["--oversubscribe", "--bind-to", "none"] if found.kind == "Open MPI" else []
    answer = ask([found.path, "-n", "2", *options, sys.executable, "-c", RANKS_PROGRAM])
    reply = next((line for line in answer.output.splitlines() if line.startswith("ranks ")), "")
    if reply.startswith("ranks 2 "):
        return MachineCheck(name, "ok", f"start in one world; thread level {reply.split()[-1]}")
    if reply.startswith("ranks 1 "):
        remedy = "launcher and MPI library do not match; see above"
        return MachineCheck(name, "missing", "each is alone in a world of size 1", remedy)
    return MachineCheck(name, "missing", f"do not start: {answer.last_line[:100]}", INSTALL)


def run_commands(found: Launcher | None, vendor: str, has_hostfile: bool) -> list[tuple[str, ...]]:
    """Ways to start a run, the most likely one first: what for, and the lines of the command."""
    kind = found.kind if found else vendor
    several = run_command(kind, found)
    if kind == "Slurm":
        return [("To start a run", *several)]
    program = "mdibench" if shutil.which("mdibench") else f"{quote(sys.executable)} -m mdibench"
    here = (
        "To start a run on this host",
        f"{program} run fixed_acc --ranks 4 --tui",
        "fixed_acc: a preset; a config file of your own will do as well",
    )
    if has_hostfile:
        return [("To start a run on the hosts in the file hostfile", *several), here]
    return [here, ("On several hosts, named in a file", *several)]


def run_command(kind: str, found: Launcher | None) -> list[str]:
    """The command that starts a run on the hosts of a file, and the format of that file."""
    off_path = found is not None and not found.on_path
    path = quote(found.path) if found and off_path else "mpirun"
    program = f"{quote(sys.executable) if off_path else 'python'} -m mdibench run CONFIG"
    if kind == "Slurm":
        return [f"srun -n 4 --mpi=pmix {program}", "or --mpi=pmi2, depending on the cluster"]
    if kind == "Open MPI":
        return [f"{path} --hostfile hostfile -n 4 {program}", "hostfile: lines HOST slots=4"]
    return [f"{path} -f hostfile -n 4 {program}", "hostfile: lines HOST:4"]


def _kind(ask: Ask, path: str) -> str:
    """The kind of the launcher at ``path``, by its ``--version``; empty for an unknown one."""
    version = ask([path, "--version"]).output.lower()
    if "open mpi" in version or "open-mpi" in version or "prte" in version:
        return "Open MPI"
    if "hydra" in version or "mpich" in version or "intel(r) mpi" in version:
        return "MPICH"
    return "Slurm" if "slurm" in version else ""


# --- the hosts of a job --------------------------------------------------------------------------

HostFacts = Mapping[str, Any]
"""What one rank reports about its host and its libraries, as ``host_facts`` names it."""

SAME_ON_ALL: tuple[tuple[str, CheckState, str], ...] = (
    ("mdibench", "missing", "install the same version on every host"),
    ("mpi", "missing", "use one MPI library, of one version, on every host"),
    ("torch", "note", "answers and times may differ between hosts"),
    ("python", "note", ""),
)
"""Name of a fact that should be the same on all ranks; state and remedy where it is not."""


def gather() -> list[HostFacts]:
    """Every rank's facts, on every rank. MPI starts here."""
    from mdibench.assembly import environment

    prepare_rank()
    import torch

    from mdibench.rank.ending import Ending
    from mdibench.transport.mpi import RankGroup, library

    group = RankGroup()
    with Ending(group):
        cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        loaded = {"rank": group.rank, "mpi": plain_version(library()), "cuda": cuda}
        shared: list[HostFacts] = group.share(environment.host_facts() | loaded)
        return shared


def compare(ranks: Sequence[HostFacts]) -> list[MachineCheck]:
    """Checks of what should be the same on all ranks, of cores shared by ranks, and of clocks."""
    checks = [_same(ranks, *fact) for fact in SAME_ON_ALL]
    return [*checks, _shared_cores(ranks), _clocks(ranks)]


def host_lines(ranks: Sequence[HostFacts]) -> list[str]:
    """A line for each host: its ranks, cores, memory, processor and CUDA device."""
    by_host = {rank["host"]: rank for rank in ranks}
    width = max(len(host) for host in by_host)
    lines = []
    for host, facts in by_host.items():
        numbers = ", ".join(str(rank["rank"]) for rank in ranks if rank["host"] == host)
        memory = f"{facts['memory_bytes'] / 2**30:.1f} GiB"
        parts = [facts["cpu"], f"{facts['cores']} cores", memory, facts["cuda"] or "no CUDA"]
        lines.append(f"{host:{width}}  rank {numbers}: {', '.join(parts)}")
    return lines


def _same(ranks: Sequence[HostFacts], name: str, state: CheckState, remedy: str) -> MachineCheck:
    versions = dict.fromkeys(str(rank[name]) for rank in ranks)
    if len(versions) == 1:
        return MachineCheck(name, "ok", f"{next(iter(versions))} everywhere")
    text = "; ".join(
        f"{version} on {', '.join(_hosts(r for r in ranks if str(r[name]) == version))}"
        for version in versions
    )
    return MachineCheck(name, state, text, remedy)


def _shared_cores(ranks: Sequence[HostFacts]) -> MachineCheck:
    counts = Counter(rank["host"] for rank in ranks)
    cores = {rank["host"]: rank["cores"] for rank in ranks}
    crowded = [host for host, count in counts.items() if count > cores[host]]
    if not crowded:
        return MachineCheck("cores", "ok", "at least one for each rank")
    remedy = "give each device one rank, or emulate devices"
    return MachineCheck("cores", "note", f"fewer than ranks on {', '.join(crowded)}", remedy)


def _clocks(ranks: Sequence[HostFacts]) -> MachineCheck:
    varying = [rank for rank in ranks if rank["governor"] not in STEADY_GOVERNORS]
    if not varying:
        return MachineCheck(
            "clocks", "ok", "no host reports a frequency governor that changes them"
        )
    text = f"may change on {', '.join(_hosts(varying))}"
    return MachineCheck("clocks", "note", text, f"on those hosts: {STEADY_REMEDY}")


def _hosts(ranks: Iterable[HostFacts]) -> list[str]:
    return list(dict.fromkeys(rank["host"] for rank in ranks))
