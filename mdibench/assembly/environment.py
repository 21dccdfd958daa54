"""What a rank reads before MPI and torch are imported: its launcher, its host, its threads.

Thread counts must be set before numpy and torch start their thread pools: ranks that share cores
and run as many threads each as there are cores slow each other down by two orders of magnitude.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import psutil

from mdibench.assembly import limits

TERMINAL_VARIABLE = "MDIBENCH_TERMINAL"
"""Set by ``run --ranks`` on a terminal: ranks under a launcher cannot detect it."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LAUNCHERS = {
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", ""),
}
_LAUNCHER_OF = {
    "MPICH": "MPICH",
    "Intel MPI": "MPICH",
    "MVAPICH": "MPICH",
    "Cray MPI": "MPICH",
    "Open MPI": "Open MPI",
}
"""The launcher whose variables a library reads, by the library's vendor."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the launcher passed to this process; ``name`` is empty without a launcher."""

    name: str = ""
    rank: int = 0
    size: int = 1
    local_size: int = 1
    ignored: tuple[str, ...] = ()
    """What variables of other launchers say, which are left over from a shell around this job."""


def launch_facts(
    environment: Mapping[str, str] = os.environ, library: Callable[[], str] = str
) -> Launch:
    """The launcher of this process and the place it gave it, from the environment.

    Where several launchers left their variables, the MPI library that is loaded decides:
    ``library`` tells its vendor, and is asked only then.
    """
    said = [found for name in _LAUNCHERS if (found := _said_by(name, environment))]
    if len({(found.rank, found.size, found.local_size) for found in said}) < 2:
        return said[0] if said else Launch()
    vendor = library()
    chosen = next((found for found in said if found.name == _LAUNCHER_OF.get(vendor)), said[-1])
    others = tuple(
        f"{found.name}: rank {found.rank} of {found.size}"
        for found in said
        if (found.rank, found.size) != (chosen.rank, chosen.size)
    )
    return replace(chosen, ignored=others)


def _said_by(name: str, environment: Mapping[str, str]) -> Launch | None:
    """What the variables of one launcher say; None where they are missing or no numbers."""
    rank, size, local_size = (environment.get(variable, "") for variable in _LAUNCHERS[name])
    if not rank.isdigit() or not size.isdigit():
        return None
    here = int(local_size) if local_size.isdigit() else 0
    return Launch(name, int(rank), int(size), here or _of_this_node(environment) or int(size))


def _of_this_node(environment: Mapping[str, str]) -> int:
    """Ranks that srun started on this node, from ``2(x3),1``; 0 where it did not start them."""
    counts: list[int] = []
    try:
        for part in filter(None, environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(",")):
            count, _, times = part.rstrip(")").partition("(x")
            counts += [int(count)] * int(times or 1)
        return counts[int(environment.get("SLURM_NODEID", "0"))]
    except (ValueError, IndexError):
        return 0


def cores() -> int:
    """Whole cores that this process may use: by affinity, and by the CPU quota of its group."""
    allowed = len(os.sched_getaffinity(0))
    quota = limits.cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def memory_bytes() -> int:
    """Memory that this process may use: a container's limit where there is one."""
    total = int(psutil.virtual_memory().total)
    limit = limits.memory_limit()
    return total if limit is None else min(total, limit)


def threads_per_rank(wanted: int, local_size: int, available: int) -> int:
    """Torch threads of a rank: ``wanted``, or for 0 an equal share of the cores, at least one."""
    return wanted or max(1, available // local_size)


def limit_threads(local_size: int) -> None:
    """Set the thread variables that the user did not set."""
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, str(threads_per_rank(0, local_size, cores())))


def host_facts() -> dict[str, object]:
    """Host, processor, memory and versions of this rank, for the run's manifest."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "cpu": _processor_model(),
        "machine": platform.machine(),
        "cores": cores(),
        "cpu_quota": limits.cpu_quota(),
        "memory_bytes": memory_bytes(),
        "shared_memory_bytes": shared.total if (shared := limits.shared_memory()) else None,
        "load_1min": os.getloadavg()[0],
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "mpi4py": _version("mpi4py"),
        "mdibench": _version("mdibench"),
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor_model() -> str:
    """The processor's name; from the device tree on boards, else from /proc/cpuinfo."""
    board = _first_line("/proc/device-tree/model")
    if board:
        return board
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _first_line(path: str) -> str | None:
    lines = _lines(path)
    return lines[0].strip("\0 ") if lines else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
