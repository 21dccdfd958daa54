"""What a rank reads before MPI and torch are imported: its launcher, its host, its threads.

Thread counts must be set before numpy and torch start their thread pools: ranks that share cores
and run as many threads each as there are cores slow each other down by two orders of magnitude.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LAUNCHERS = {
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    "Slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", ""),
}


@dataclass(frozen=True, slots=True)
class Launch:
    """What the launcher passed to this process; ``name`` is empty without a launcher."""

    name: str = ""
    rank: int = 0
    size: int = 1
    local_size: int = 1


def launch_facts(environment: Mapping[str, str] = os.environ) -> Launch:
    """The launcher of this process, its rank and the sizes, from environment variables alone."""
    for name, (rank, size, local_size) in _LAUNCHERS.items():
        if rank in environment and size in environment:
            return Launch(
                name,
                int(environment[rank]),
                int(environment[size]),
                int(environment.get(local_size) or _of_this_node(environment) or environment[size]),
            )
    return Launch()


def _of_this_node(environment: Mapping[str, str]) -> int:
    """Ranks that srun started on this node, from ``2(x3),1``; 0 where it did not start them."""
    counts: list[int] = []
    for part in filter(None, environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(",")):
        count, _, times = part.rstrip(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    node = int(environment.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else 0


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


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
        "memory_bytes": psutil.virtual_memory().total,
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
