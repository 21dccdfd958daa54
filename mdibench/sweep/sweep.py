"""A sweep: the cells of a matrix, several times each, interleaved, and resumable at any time.

Repeat 1 of every cell comes before repeat 2 of any, so that slow drifts of the machine do not
become differences between cells. Emulated cells share processes (``series``) and may run side by
side; cells on real devices get processes of their own, one run at a time.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mdibench.assembly.workload import planned
from mdibench.config.messages import toml
from mdibench.config.reading import read_text
from mdibench.errors import INTERNAL_ERROR, OK, Problem, UserError
from mdibench.sweep.crew import POLL_S, Assignment, Crew, CrewJob, time_limit_s
from mdibench.sweep.matrix import Cell, Matrix, order, read_matrix
from mdibench.sweep.sweep_record import Done, SweepRecord

GUESSED_OVERHEAD_S = 3.0
"""Time that a run takes beside its warm-up and window, before any was seen; the drain is in it."""
GUESSED_START_S = 10.0
"""Time to start the processes of a crew."""
CREW_RUNS = 400
"""Runs of a crew, then a new one starts: MPICH knows some 2,000 communicators in a process's life,
and each run takes three."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of a sweep."""

    cell: Cell
    repeat: int


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """What the command line asks for.

    ``only``: texts of which a cell's label must have one; ``again`` tells of a complete run
    whether it must be done again.
    """

    config: Path
    overrides: tuple[str, ...] = ()
    jobs: int = 1
    resume: bool = True
    only: tuple[str, ...] = ()
    repeats: int | None = None
    again: Callable[[Path], bool] | None = None


Progress = Callable[[Done, float], None]
"""Called after each run with what became of it and the seconds that are left."""


class Sweep:
    """A sweep that is ready to go: its config is checked, and what is done already is known."""

    def __init__(self, wanted: SweepOrder) -> None:
        self.matrix = read_matrix(read_text(wanted.config), str(wanted.config), wanted.overrides)
        _check_plans(self.matrix)
        _check_jobs(self.matrix, wanted.jobs)
        self._config = wanted.config
        self._lanes = wanted.jobs
        self.record = _record(self.matrix, wanted)
        if wanted.again is not None:
            self.record.forget(wanted.again)
        self.tasks = _tasks(self.matrix, wanted)
        self.left = [t for t in self.tasks if not self.record.finished(t.cell, t.repeat)]
        self._overheads: list[float] = []

    def seconds_left(self, tasks: Sequence[CellRun]) -> float:
        """Estimated time of ``tasks``, from how long earlier runs took."""
        seen = self._overheads
        overhead_s = sum(seen) / len(seen) if seen else GUESSED_OVERHEAD_S
        overhead_s += GUESSED_START_S if self._separate else 0.0
        return sum(_known_s(t.cell) + overhead_s for t in tasks) / self._lanes

    @property
    def _separate(self) -> bool:
        """Whether each run gets processes of its own."""
        return self.matrix.sweep.fresh or not all(cell.emulated for cell in self.matrix.cells)

    def run(self, report: Progress) -> int:
        """Run what is left; the exit status: whether every run ended as it should."""
        self.record.write()
        crews = self.record.folder / ".crews"
        crews.mkdir(exist_ok=True)
        lanes = [
            _Lane(self, crews / f"{number}.json", self.left[number :: self._lanes])
            for number in range(self._lanes)
        ]
        try:
            while True in [lane.work() for lane in lanes]:  # each lane, before any is looked at
                for lane in lanes:
                    for task, reason, wall_s in lane.news():
                        self._enter(task, reason, wall_s, report)
                time.sleep(POLL_S)
        finally:
            for lane in lanes:
                lane.stop()
        runs = [self.record.runs.get((t.cell.label, t.repeat)) for t in self.tasks]
        return OK if all(run and run.status == "complete" for run in runs) else INTERNAL_ERROR

    def assignment(self, task: CellRun) -> Assignment:
        """The job of ``task``, with its place, its seed and its time limit."""
        cell, run = task.cell, task.cell.config.run
        place = self.record.place(cell, task.repeat)
        own = (f"run.seed={run.seed + task.repeat - 1}", f"run.results={toml(str(place))}")
        job = CrewJob(str(self._config), cell.overrides + own, cell.ranks)
        return Assignment(job, time_limit_s(run))

    def _enter(self, task: CellRun, reason: str, wall_s: float, report: Progress) -> None:
        done = self.record.enter(task.cell, task.repeat, reason, wall_s)
        if done.status == "complete":
            self._overheads.append(max(0.0, wall_s - _known_s(task.cell)))
        self.left.remove(task)
        report(done, self.seconds_left(self.left))


def _known_s(cell: Cell) -> float:
    """What is known of a run's time before it: until admission ends, unless a count ends it."""
    end_s = cell.config.run.admission_end_s
    return end_s if math.isfinite(end_s) else 0.0


class _Lane:
    """Tasks that one crew after another works off: the next one when a crew has broken down."""

    def __init__(self, sweep: Sweep, path: Path, tasks: Sequence[CellRun]) -> None:
        self._sweep = sweep
        self._path = path
        self._waiting = deque(tasks)
        self._given: deque[CellRun] = deque()
        self._crew: Crew | None = None

    def work(self) -> bool:
        """Start a crew where there is none; whether anything is left to do."""
        if self._crew is None and self._waiting:
            count = 1 if self._sweep._separate else min(CREW_RUNS, len(self._waiting))
            self._given = deque(self._waiting.popleft() for _ in range(count))
            self._crew = Crew(self._path, [self._sweep.assignment(t) for t in self._given])
        return self._crew is not None

    def news(self) -> list[tuple[CellRun, str, float]]:
        """What has ended. When the crew has, what it did not do waits for the next one."""
        if self._crew is None:
            return []
        over = self._crew.over
        ended = [(self._given.popleft(), *news) for news in self._crew.poll()]
        if over or self._crew.over:
            self._waiting.extendleft(reversed(self._given))
            self.stop()
        return ended

    def stop(self) -> None:
        """End the crew."""
        if self._crew is not None:
            self._crew.stop()
            self._crew = None


def _check_plans(matrix: Matrix) -> None:
    """Every cell's topology, placement and devices must fit its world and its network."""
    problems: list[Problem] = []
    for cell in matrix.cells:
        try:
            planned(cell.config, cell.ranks)
        except UserError as error:
            problems += [
                Problem(f"{p.what} (in the cell {cell.label})", p.where, p.remedy)
                for p in error.problems
            ]
    if problems:
        raise UserError(*problems)


def _check_jobs(matrix: Matrix, jobs: int) -> None:
    real = [cell.label for cell in matrix.cells if not cell.emulated]
    if jobs > 1 and real:
        what = f"{jobs} runs at a time would disturb each other: {real[0]} has no emulated devices"
        raise UserError(Problem(what, "--jobs", "use --jobs 1, or [emulation] device"))


def _record(matrix: Matrix, wanted: SweepOrder) -> SweepRecord:
    run = matrix.base.run
    name = run.name if wanted.resume else time.strftime(f"{run.name}-%Y%m%dT%H%M%SZ", time.gmtime())
    record = SweepRecord(Path(run.results) / name, matrix, str(wanted.config))
    record.resume()
    return record


def _tasks(matrix: Matrix, wanted: SweepOrder) -> list[CellRun]:
    """All runs, repeat by repeat."""
    chosen = [
        CellRun(cell, repeat)
        for repeat in range(1, (wanted.repeats or matrix.sweep.repeats) + 1)
        for cell in order(matrix, repeat)
        if not wanted.only or any(text in cell.label for text in wanted.only)
    ]
    if not chosen:
        labels = ", ".join(cell.label for cell in matrix.cells[:4])
        raise UserError(Problem("no cell has such a label", "--only", f"labels are: {labels}, ..."))
    return chosen
