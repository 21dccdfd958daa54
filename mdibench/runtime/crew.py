"""A crew of a sweep: one mpirun whose ranks work off a list of jobs, watched from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdibench.runtime import launch
from mdibench.runtime.series import Job, ended, write_series

STARTUP_S = 120.0
"""Patience beyond a run's own time: starting processes, loading data, writing tables."""
LAST_WORDS_S = 8.0
"""How long a crew that is stopped may take to close its run's files."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job, and the time after which it counts as stuck."""

    job: Job
    limit_s: float


class Crew:
    """Starts its mpirun at once. ``poll`` tells which jobs have ended since."""

    def __init__(self, path: Path, assignments: Sequence[Assignment]) -> None:
        self._path = path
        self._limits = [assignment.limit_s for assignment in assignments]
        self._seen = 0
        self._since_s = time.monotonic()
        jobs = [assignment.job for assignment in assignments]
        write_series(path, jobs, os.getpid())
        self._log = path.with_suffix(".log").open("ab")
        line = launch.command(
            launch.launcher(),
            max(job.ranks for job in jobs),
            None,
            ["sweep", "--series", str(path)],
        )
        self._process = subprocess.Popen(
            line, env=launch.environment(), stdout=self._log, stderr=self._log
        )

    @property
    def over(self) -> bool:
        """Whether its ranks are gone."""
        return self._process.poll() is not None

    def poll(self) -> list[tuple[str, float]]:
        """For each job that has ended since the last call: why it failed (or nothing), wall time.

        A job that takes too long is stopped, and so is its crew: the rest is for another one.
        """
        over = self.over
        news = [
            ("" if status == 0 else f"exit status {status}: {self.last_words()}", wall_s)
            for status, wall_s in ended(self._path)[self._seen :]
        ]
        if news:
            self._seen += len(news)
            self._since_s = time.monotonic()
        if self._seen == len(self._limits):
            return news
        waited_s = time.monotonic() - self._since_s
        if over:
            reason = f"exit status {self._process.returncode}: {self.last_words()}"
            news.append((reason, waited_s))
            self._seen = len(self._limits)
        elif waited_s > self._limits[self._seen]:
            self.stop()
            news.append((f"stopped: no end after {waited_s:.0f} s", waited_s))
            self._seen = len(self._limits)
        return news

    def last_words(self) -> str:
        """The last line that the crew said."""
        lines = self._path.with_suffix(".log").read_text("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def stop(self) -> None:
        """End the ranks, in order if they can."""
        if not self.over:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(LAST_WORDS_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
