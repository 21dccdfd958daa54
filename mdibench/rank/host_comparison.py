"""Comparison of the hosts of an MPI job: ``mdibench doctor`` under mpirun.

Every rank shares the facts of its host with all ranks. Ranks with different versions of mdibench
or different MPI libraries cannot run together; other differences only make the measurements less
comparable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mdibench.rank.launch import prepare_rank
from mdibench.rank.machine import STEADY_GOVERNORS, STEADY_REMEDY, CheckState, MachineCheck
from mdibench.rank.mpi_check import plain_version

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
