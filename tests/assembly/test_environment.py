"""What a rank reads from its launcher's environment."""

from __future__ import annotations

import pytest

from mdibench.assembly.environment import Launch, launch_facts

STEP = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "7"}


@pytest.mark.parametrize(
    ("variables", "launch"),
    [
        ({}, Launch()),
        (
            {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"},
            Launch("MPICH", 1, 4, 2),
        ),
        ({"PMI_RANK": "1", "PMI_SIZE": "4"}, Launch("MPICH", 1, 4, 4)),
        ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "1(x7)"}, Launch("Slurm", 3, 7, 1)),
        (
            {**STEP, "SLURM_STEP_TASKS_PER_NODE": "2(x3),1", "SLURM_NODEID": "3"},
            Launch("Slurm", 3, 7, 1),
        ),
        (
            {"PMI_RANK": "0", "PMI_SIZE": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"},
            Launch("MPICH", 0, 4, 2),
        ),
        # in a batch script, before srun: no rank of anything
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Launch()),
    ],
)
def test_launch_facts(variables: dict[str, str], launch: Launch) -> None:
    assert launch_facts(variables) == launch
