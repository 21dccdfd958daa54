"""A crew of a sweep: one mpirun whose ranks run a list of jobs, one after the other.

Starting processes costs seconds, so one set of ranks does several runs. The sweep writes the list
and polls the ``Crew``; each rank, in a world as large as the largest run, follows the list in
``run_series``. Ranks that a run does not need wait and use almost no processor time. Rank 0 appends
a line to the journal after each run; when the sweep's process is gone, the series ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mdibench.assembly import environment
from mdibench.config.schema import RunSection
from mdibench.core.records import SOURCE
from mdibench.errors import OK, UserError, say
from mdibench.rank import launch
from mdibench.rank.lifecycle import RunOptions, run_in
from mdibench.record.run_folder import lives

if TYPE_CHECKING:
    from mdibench.transport.mpi import RankGroup

STARTUP_S = 120.0
"""Time allowed beyond a run's own: starting processes, loading data, writing tables."""
COUNTED_LIMIT_S = 3600.0
"""Longest time that items are admitted in a run that counts them instead of seconds."""
STOP_TIMEOUT_S = 8.0
"""How long a crew that is stopped may take to close its run's files."""
POLL_S = 0.2
"""Time between two polls of a crew."""


@dataclass(frozen=True, slots=True)
class CrewJob:
    """One run of a crew: its config, the overrides and the number of ranks."""

    config: str
    overrides: tuple[str, ...]
    ranks: int


def time_limit_s(run: RunSection) -> float:
    """The time after which a run is stopped."""
    return min(run.latest_end_s, COUNTED_LIMIT_S + run.drain_s) + STARTUP_S


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job, and the time after which it is stopped."""

    job: CrewJob
    limit_s: float


class Crew:
    """Starts its mpirun at once; ``poll`` returns the jobs that have ended since."""

    def __init__(self, path: Path, assignments: Sequence[Assignment]) -> None:
        self._path = path
        self._limits = [assignment.limit_s for assignment in assignments]
        self._seen = 0
        self._since_s = time.monotonic()
        jobs = [assignment.job for assignment in assignments]
        write_series(path, jobs, os.getpid())
        self._log = path.with_suffix(".log").open("ab")
        line = launch.command(
            launch.find_mpirun(),
            max(job.ranks for job in jobs),
            None,
            ["sweep", "--series", str(path)],
        )
        self._process = subprocess.Popen(
            line,
            env=launch.child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def over(self) -> bool:
        """Whether its ranks are gone."""
        return self._process.poll() is not None

    def poll(self) -> list[tuple[str, float]]:
        """For each job that has ended since the last call: why it failed (or empty), wall time.

        A job that exceeds its limit is stopped with the whole crew; the rest needs another crew.
        """
        over = self.over
        results = [
            ("" if status == 0 else f"exit status {status}: {self.last_message()}", wall_s)
            for status, wall_s in ended(self._path)[self._seen :]
        ]
        if results:
            self._seen += len(results)
            self._since_s = time.monotonic()
        if self._seen == len(self._limits):
            return results
        waited_s = time.monotonic() - self._since_s
        if over:
            reason = f"exit status {self._process.returncode}: {self.last_message()}"
            results.append((reason, waited_s))
            self._seen = len(self._limits)
        elif waited_s > self._limits[self._seen]:
            self.stop()
            results.append((f"stopped: no end after {waited_s:.0f} s", waited_s))
            self._seen = len(self._limits)
        return results

    def last_message(self) -> str:
        """The last line of the crew's log."""
        lines = self._path.with_suffix(".log").read_text("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def stop(self) -> None:
        """Terminate the ranks; kill them if they do not end in time."""
        if not self.over:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


# --- the ranks of a crew --------------------------------------------------------------------------


def write_series(path: Path, jobs: list[CrewJob], owner: int) -> None:
    """Write the list for the ranks; they stop when the process ``owner`` is gone."""
    facts = {"owner": owner, "owner_started_s": psutil.Process(owner).create_time()}
    text = json.dumps(facts | {"jobs": [asdict(job) for job in jobs]})
    path.write_text(text, encoding="utf-8")
    journal(path).write_text("", encoding="utf-8")


def journal(path: Path) -> Path:
    """The file beside the list with one line for each job that has ended."""
    return path.with_suffix(".journal")


def ended(path: Path) -> list[tuple[int, float]]:
    """Exit status and wall time, seconds, of the jobs that have ended, in their order."""
    lines = journal(path).read_text(encoding="utf-8").splitlines(keepends=True)
    return [tuple(json.loads(line)) for line in lines if line.endswith("\n")]


def run_series(path: Path, facts: environment.Launch) -> int:
    """Take part in every run on the list that needs this rank. MPI starts here."""
    from mdibench.transport.mpi import RankGroup

    world = RankGroup()
    listed = json.loads(path.read_text(encoding="utf-8"))
    for fields in listed["jobs"]:
        job = CrewJob(fields["config"], tuple(fields["overrides"]), fields["ranks"])
        world.wait_idly()
        if not _goes_on(world.share(lives(listed["owner"], listed["owner_started_s"]))):
            break
        group = world.part(job.ranks)
        if group is None:
            continue
        begun_s = time.monotonic()
        local = min(facts.local_size, job.ranks)
        status = _one(group, job, replace(facts, local_size=local))
        group.free()
        _give_memory_back()
        if world.rank == SOURCE:
            with journal(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps([status, time.monotonic() - begun_s]) + "\n")
    return OK


def _give_memory_back() -> None:
    """Collect the machines of a run, which refer to each other, and return freed pages.

    glibc keeps pages below its newest block: after runs with a backlog that would add up.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _goes_on(owner_lives: list[bool]) -> bool:
    """Whether the sweep is alive, as rank 0 sees it: only rank 0 surely shares its host."""
    return owner_lives[SOURCE]


def _one(group: RankGroup, job: CrewJob, launch: environment.Launch) -> int:
    """One run; a UserError ends this run and not the series."""
    try:
        return run_in(group, RunOptions(Path(job.config), job.overrides, quiet=True), launch)[0]
    except UserError as error:
        for problem in error.problems:
            say(str(problem))
        return error.status
    finally:
        logging.getLogger("mdibench").handlers.clear()
