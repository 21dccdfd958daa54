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
        # left over from an empty assignment
        ({"PMI_RANK": "0", "PMI_SIZE": ""}, Launch()),
        ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "?"}, Launch("Slurm", 3, 7, 7)),
        # in a batch script, before srun: no rank of anything
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Launch()),
    ],
)
def test_launch_facts(variables: dict[str, str], launch: Launch) -> None:
    assert launch_facts(variables) == launch


SHELL = {"PMI_RANK": "0", "PMI_SIZE": "1"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
}


def test_the_library_that_is_loaded_decides_between_launchers() -> None:
    """An srun shell leaves PMI_RANK beside Open MPI's own variables, or the other way round."""
    both = SHELL | OPEN_MPI
    found = launch_facts(both, lambda: "Open MPI")
    assert found == Launch("Open MPI", 2, 4, 4, ("MPICH: rank 0 of 1",))
    found = launch_facts(both, lambda: "Intel MPI")
    assert found == Launch("MPICH", 0, 1, 1, ("Open MPI: rank 2 of 4",))


def test_the_library_is_not_loaded_where_launchers_agree() -> None:
    def load() -> str:
        raise AssertionError("loaded")

    step = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}
    assert launch_facts({"PMI_RANK": "0", "PMI_SIZE": "4", **step}, load).local_size == 2
