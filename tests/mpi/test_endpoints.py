"""The endpoint over real MPI: messages in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mpi.jobs import environment, mpirun

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(60)]


def test_bursts_come_in_order() -> None:
    program = [mpirun(), "-n", "2", sys.executable, str(Path(__file__).parent / "endpoints.py")]
    done = subprocess.run(
        program, env=environment(), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["0 of 600 out of order"]
