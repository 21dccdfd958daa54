"""What a rank reads before MPI and torch are imported: launcher, host, threads, limits.

Thread counts must be set before numpy and torch start their thread pools: ranks that share cores
and run as many threads each as there are cores slow each other down by two orders of magnitude.

A container or a systemd slice limits cores and memory without changing what the machine shows.
Version 2 of control groups keeps ``cpu.max`` and ``memory.max`` in each group, version 1 keeps
``cpu.cfs_quota_us`` and ``memory.limit_in_bytes`` below a folder for each controller. The limits of
every group above hold too. ``root`` is the root of the file system, for tests.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import psutil

from mdibench import compiled

ROOT = Path("/")
SHARED_MEMORY = Path("dev/shm")
SHARED_MEMORY_A_RANK = 2 * 1024**2
"""MPICH takes 1.1 MB of it for each rank on a host; with room to spare."""
_MOUNT = Path("sys/fs/cgroup")


def cpu_quota(root: Path = ROOT) -> float | None:
    """Cores' worth of time that this process may use; None where nothing limits it."""
    found = [*map(_cpu_max, _groups(root, "")), *map(_cfs_quota, _groups(root, "cpu"))]
    return min((quota for quota in found if quota is not None), default=None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes of memory that this process may use; None where nothing limits it."""
    files = [folder / "memory.max" for folder in _groups(root, "")]
    files += [folder / "memory.limit_in_bytes" for folder in _groups(root, "memory")]
    found = [int(text) for text in map(_text, files) if text.isdigit()]
    return min(found, default=None)


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """What processes may share, in bytes."""

    total: int
    free: int


def shared_memory(root: Path = ROOT) -> SharedMemory | None:
    """Size of the folder through which ranks of a host share memory; None where there is none."""
    try:
        usage = shutil.disk_usage(root / SHARED_MEMORY)
    except OSError:
        return None
    return SharedMemory(usage.total, usage.free)


def lacking_shared_memory(ranks: int, available: int) -> str:
    """What to tell where ``available`` bytes do not do for ``ranks`` ranks; empty where they do."""
    needed = ranks * SHARED_MEMORY_A_RANK
    if available >= needed:
        return ""
    return (
        f"{available / 2**20:.1f} MiB in /{SHARED_MEMORY} for {ranks} ranks, "
        f"which need {needed / 2**20:.0f} MiB"
    )


SHARED_MEMORY_REMEDY = (
    f"give the container more (docker run --shm-size=256m), mount -o remount,size=256m "
    f"/{SHARED_MEMORY}, or remove what killed jobs left there"
)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's group and of all above; ``controller`` is empty for version 2.

    Inside a container the path may not exist, for the group is mounted as the topmost one.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if controller not in names.split(",") or (not controller and number != "0"):
            continue
        for mount in _mounts(root, names):
            below = Path(path.lstrip("/"))
            yield from (mount / part for part in (below, *below.parents))


def _mounts(root: Path, names: str) -> list[Path]:
    """Where a hierarchy may be mounted: by all its controllers, by each, or as version 2."""
    if not names:
        return [root / _MOUNT, root / _MOUNT / "unified"]
    return [root / _MOUNT / name for name in dict.fromkeys((names, *names.split(",")))]


def _cpu_max(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _cfs_quota(folder: Path) -> float | None:
    quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


# --- the launcher, and threads -------------------------------------------------------------------

TERMINAL_VARIABLE = "MDIBENCH_TERMINAL"
OUTPUT_VARIABLE = "MDIBENCH_OUTPUT_TERMINAL"
"""Set by ``run --ranks`` where its stderr, or its stdout, is a terminal: ranks under a launcher
cannot detect it."""
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
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def memory_bytes() -> int:
    """Memory that this process may use: a container's limit where there is one."""
    total = int(psutil.virtual_memory().total)
    limit = memory_limit()
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
        "cpu_quota": cpu_quota(),
        "memory_bytes": memory_bytes(),
        "shared_memory_bytes": shared.total if (shared := shared_memory()) else None,
        "load_1min": os.getloadavg()[0],
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "mpi4py": _version("mpi4py"),
        "mdibench": _version("mdibench"),
        "compiled": compiled.is_in_use(),
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
