"""``mdibench doctor`` under mpirun: whether hosts are compatible."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from mdibench.rank import mpi_check
from mdibench.rank.machine import MachineCheck
from tests.mpi.jobs import TIMEOUT_S, environment, mpirun


def host(name: str, rank: int, **other: Any) -> dict[str, Any]:
    facts = {"host": name, "rank": rank, "cores": 4, "memory_bytes": 4 * 2**30, "cpu": "Board"}
    versions = {"mdibench": "1.0", "mpi": "MPICH 5", "torch": "2.9", "python": "3.12.1"}
    return {**facts, **versions, "governor": None, "cuda": None, **other}


def finding(name: str, *ranks: dict[str, Any]) -> MachineCheck:
    return next(found for found in mpi_check.compare(ranks) if found.name == name)


def test_hosts_that_fit() -> None:
    found = mpi_check.compare([host("pi1", 0), host("pi2", 1)])
    assert {f.state for f in found} == {"ok"}
    assert [f.name for f in found] == ["mdibench", "mpi", "torch", "python", "cores", "clocks"]


@pytest.mark.parametrize(
    ("name", "state"),
    [("mdibench", "missing"), ("mpi", "missing"), ("torch", "note"), ("python", "note")],
)
def test_a_host_with_something_else(name: str, state: str) -> None:
    first, other = host("pi1", 0), host("pi3", 2, **{name: "0.9"})
    found = finding(name, first, host("pi2", 1), other)
    assert found.state == state
    assert found.text == f"{first[name]} on pi1, pi2; 0.9 on pi3"


def test_more_ranks_than_cores() -> None:
    ranks = [host("pi1", 0, cores=1), host("pi1", 1, cores=1), host("pi2", 2)]
    assert finding("cores", *ranks).text == "fewer than ranks on pi1"
    assert finding("cores", *ranks[1:]).state == "ok"


def test_clocks_that_change() -> None:
    ranks = [host("pi1", 0, governor="performance"), host("pi2", 1, governor="ondemand")]
    assert finding("clocks", *ranks).text == "may change on pi2"


def test_a_line_for_each_host() -> None:
    ranks = [host("pi1", 0), host("jetson", 1, cuda="Orin"), host("pi1", 2)]
    assert mpi_check.host_lines(ranks) == [
        "pi1     rank 0, 2: Board, 4 cores, 4.0 GiB, no CUDA",
        "jetson  rank 1: Board, 4 cores, 4.0 GiB, Orin",
    ]


@pytest.mark.slow
@pytest.mark.mpi
def test_three_ranks_of_this_host() -> None:
    line = [mpirun(), "-n", "3", sys.executable, "-m", "mdibench", "doctor", "--json"]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=environment()
    )
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["ready"]
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1, 2]
