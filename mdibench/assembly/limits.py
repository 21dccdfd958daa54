"""What the kernel lets this process use: CPU quota and memory limit of its control groups.

A container or a systemd slice limits both without changing what the machine shows. Version 2 keeps
``cpu.max`` and ``memory.max`` in each group, version 1 keeps ``cpu.cfs_quota_us`` and
``memory.limit_in_bytes`` below a folder for each controller. The limits of every group above hold
too. ``root`` is the root of the file system, for tests.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
