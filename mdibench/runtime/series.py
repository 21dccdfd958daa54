"""Several runs, one after the other, by the same ranks: starting processes costs seconds each.

The ranks of a world that is as large as the largest run follow a list that a sweep wrote. Ranks
that a run does not need wait, and use next to no processor time. Rank 0 appends a line to the
list's journal after each run; when the sweep that wrote the list has died, the series ends.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mdibench.core.records import SOURCE
from mdibench.errors import OK, UserError
from mdibench.runtime import environment
from mdibench.runtime.rank import Order, run_in

if TYPE_CHECKING:
    from mdibench.transport.mpi import Group


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a series: its config, what overrides it, and its ranks."""

    config: str
    overrides: tuple[str, ...]
    ranks: int


def write_series(path: Path, jobs: list[Job], owner: int) -> None:
    """Write the list for the ranks; ``owner`` is the process without which they stop."""
    text = json.dumps({"owner": owner, "jobs": [asdict(job) for job in jobs]})
    path.write_text(text, encoding="utf-8")
    journal(path).write_text("", encoding="utf-8")


def journal(path: Path) -> Path:
    """The file beside the list that tells which jobs have ended."""
    return path.with_suffix(".journal")


def ended(path: Path) -> list[tuple[int, float]]:
    """Exit status and wall time, seconds, of the jobs that have ended, in their order."""
    lines = journal(path).read_text(encoding="utf-8").splitlines(keepends=True)
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def run_series(path: Path) -> int:
    """Be one rank of every run on the list that needs it. MPI starts here."""
    launch = environment.launch_facts()
    environment.limit_threads(launch.local_size)
    from mdibench.transport.mpi import Group

    world = Group()
    listed = json.loads(path.read_text(encoding="utf-8"))
    for fields in listed["jobs"]:
        job = Job(fields["config"], tuple(fields["overrides"]), fields["ranks"])
        world.wait_idly()
        if not _goes_on(world.share(psutil.pid_exists(listed["owner"]))):
            break
        group = world.part(job.ranks)
        if group is None:
            continue
        begun_s = time.monotonic()
        local = min(launch.local_size, job.ranks)
        status = _one(group, job, replace(launch, local_size=local))
        if world.rank == SOURCE:
            with journal(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps([status, time.monotonic() - begun_s]) + "\n")
    return OK


def _goes_on(owner_lives: list[bool]) -> bool:
    """Only rank 0 is sure to share a host with the sweep."""
    return owner_lives[SOURCE]


def _one(group: Group, job: Job, launch: environment.Launch) -> int:
    """One run; what a user could mend ends this run, and not the series."""
    try:
        return run_in(group, Order(Path(job.config), job.overrides, quiet=True), launch)[0]
    except UserError as error:
        from mdibench.talk import say

        for problem in error.problems:
            say(str(problem))
        return error.status
    finally:
        logging.getLogger("mdibench").handlers.clear()
