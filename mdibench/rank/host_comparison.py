"""Whether the hosts of an MPI job fit each other: ``mdibench doctor`` under mpirun.

Every rank tells what its host has; rank 0 compares. Ranks that load other versions of mdibench or
other MPI libraries than rank 0 cannot run together; other differences only blur figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mdibench.rank.machine import (
    STEADY_GOVERNORS,
    STEADY_REMEDY,
    FactState,
    MachineFact,
    plain_version,
)

HostFacts = Mapping[str, Any]
"""What one rank says of its host and of what it loaded."""

ALIKE: tuple[tuple[str, FactState, str], ...] = (
    ("mdibench", "missing", "install the same version on every host"),
    ("mpi", "missing", "use one MPI library, of one version, on every host"),
    ("torch", "note", "answers and times may differ between hosts"),
    ("python", "note", ""),
)
"""What should be the same everywhere, and what it means when it is not."""


def gather() -> list[HostFacts]:
    """Every rank's facts, on every rank. MPI starts here."""
    from mdibench.assembly import environment

    environment.limit_threads(environment.launch_facts().local_size)
    import torch

    from mdibench.rank.ending import Ending
    from mdibench.transport.mpi import RankGroup, library

    group = RankGroup()
    with Ending(group):
        cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        loaded = {"rank": group.rank, "mpi": plain_version(library()), "cuda": cuda}
        shared: list[HostFacts] = group.share(environment.host_facts() | loaded)
        return shared


def compare(ranks: Sequence[HostFacts]) -> list[MachineFact]:
    """What is the same on all ranks, what is not, and which hosts carry more than they should."""
    findings = [_alike(ranks, *subject) for subject in ALIKE]
    return [*findings, _shared_cores(ranks), _clocks(ranks)]


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


def _alike(ranks: Sequence[HostFacts], name: str, state: FactState, remedy: str) -> MachineFact:
    versions = dict.fromkeys(str(rank[name]) for rank in ranks)
    if len(versions) == 1:
        return MachineFact(name, "ok", f"{next(iter(versions))} everywhere")
    text = "; ".join(
        f"{version} on {', '.join(_hosts(r for r in ranks if str(r[name]) == version))}"
        for version in versions
    )
    return MachineFact(name, state, text, remedy)


def _shared_cores(ranks: Sequence[HostFacts]) -> MachineFact:
    counts = Counter(rank["host"] for rank in ranks)
    cores = {rank["host"]: rank["cores"] for rank in ranks}
    crowded = [host for host, count in counts.items() if count > cores[host]]
    if not crowded:
        return MachineFact("cores", "ok", "at least one for each rank")
    remedy = "give each device one rank, or emulate devices"
    return MachineFact("cores", "note", f"fewer than ranks on {', '.join(crowded)}", remedy)


def _clocks(ranks: Sequence[HostFacts]) -> MachineFact:
    moving = [rank for rank in ranks if rank["governor"] not in STEADY_GOVERNORS]
    if not moving:
        return MachineFact("clocks", "ok", "no host tells of a frequency governor that moves them")
    text = f"may move on {', '.join(_hosts(moving))}"
    return MachineFact("clocks", "note", text, f"there: {STEADY_REMEDY}")


def _hosts(ranks: Iterable[HostFacts]) -> list[str]:
    return list(dict.fromkeys(rank["host"] for rank in ranks))
