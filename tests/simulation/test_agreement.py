"""A few cells of ``benchmarks.agreement``: the simulation of a config against its MPI run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.agreement import TOLERANCES, Cell, compare

pytestmark = [pytest.mark.slow, pytest.mark.mpi, pytest.mark.alone]

CELLS = (
    Cell("local", "mdi-exit", "poisson", seconds=4.0),
    Cell("2-node", "mdi", "poisson", seconds=4.0),
    Cell("3-mesh", "join-shortest-queue", "poisson", seconds=4.0),
    Cell("3-circular", "mdi-exit", "poisson", seconds=4.0),
)
SHARED_MACHINE = 2.0
"""Latencies of an MPI run grow when other programs want the same cores; nothing else does."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_simulated_and_emulated_runs_agree(cell: Cell, tmp_path: Path) -> None:
    both = compare(cell, tmp_path)
    by = both.differences
    assert abs(by["rate"]) <= TOLERANCES["rate"]
    assert abs(by["accuracy"]) <= TOLERANCES["accuracy"]
    assert abs(by["exits"]) <= TOLERANCES["exits"]
    assert abs(by["p95"]) <= TOLERANCES["p95"] * SHARED_MACHINE
    assert both.emulated.rate_low_per_s <= both.emulated.bound_per_s
    assert both.simulated.rate_low_per_s <= both.simulated.bound_per_s
