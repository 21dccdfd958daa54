"""Limits of control groups, read where either version of them keeps its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.assembly import environment

MIB = 2**20


def system(root: Path, groups: str, **files: str) -> Path:
    """A file system with these control groups and files, named by their path below cgroup."""
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "quota", "memory"),
    [
        ("0::/\n", {}, None, None),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ("0::/\n", {"cpu.max": "50000 100000", "memory.max": "2147483648"}, 0.5, 2048 * MIB),
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5, None),
        ("0::/not/mounted\n", {"memory.max": "1048576"}, None, MIB),
        (
            V1,
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
                "memory/job/memory.limit_in_bytes": "1048576",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            0.5,
            MIB,
        ),
        (
            V1,
            {"cpu/job/cpu.cfs_quota_us": "-1", "cpu/job/cpu.cfs_period_us": "100000"},
            None,
            None,
        ),
        ("rubbish\n7\n", {}, None, None),
    ],
)
def test_limits(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None, memory: int | None
) -> None:
    root = system(tmp_path, groups, **{f"sys/fs/cgroup/{k}": text for k, text in files.items()})
    assert environment.cpu_quota(root) == quota
    assert environment.memory_limit(root) == memory


def test_shared_memory_that_does_not_do_is_told_with_what_is_needed() -> None:
    assert environment.lacking_shared_memory(4, 64 * MIB) == ""
    lack = environment.lacking_shared_memory(4, MIB)
    assert lack == "1.0 MiB in /dev/shm for 4 ranks, which need 8 MiB"
