"""A sweep: every cell of a matrix, several times, interleaved; it can be resumed after a stop.

Repeat 1 of every cell comes before repeat 2 of any, so that slow drifts of the machine do not
become differences between cells. Emulated cells share processes (``crew``) and may run in
parallel; each run of a cell on real devices has processes of its own, one run at a time.

``[sweep] until`` names a figure and a share: cells get repeats until it is known of each whether
it differs from the best cell that it can be compared with, or lies within that share of it. Each
look after a round of repeats is a test: the level of all looks together is 5 % (the inequality of
Bonferroni).
"""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mdibench.analysis.comparable_sets import comparable_sets
from mdibench.analysis.comparison import ALPHA, Difference, compare
from mdibench.analysis.run_groups import METRICS, Metric, Run, RunGroup, evaluate_run
from mdibench.assembly.workload import planned
from mdibench.config.messages import toml
from mdibench.config.reading import read_text
from mdibench.config.schema import SweepSection
from mdibench.errors import INTERNAL_ERROR, OK, IncomparableRuns, Problem, UserError
from mdibench.record.reader import RunReader
from mdibench.sweep.crew import POLL_S, Assignment, Crew, CrewJob, time_limit_s
from mdibench.sweep.matrix import Cell, Matrix, read_matrix, shuffled_cells
from mdibench.sweep.sweep_record import RunOutcome, SweepRecord, only_here

FIGURES = {"rate": "throughput", "latency": "latency-mean", "latency p95": "p95",
           "accuracy": "accuracy"}  # fmt: skip
"""Metrics by what ``until`` calls them."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a sweep wants to know. ``looks`` is how often it may look."""

    metric: Metric
    share: float
    looks: int

    @classmethod
    def of(cls, section: SweepSection) -> Goal | None:
        """The goal of ``[sweep]``; None where its repeats are fixed."""
        if section.precision is None:
            return None
        figure, share = section.precision
        looks = max(1, section.max_repeats - section.repeats + 1)
        return cls(METRICS[FIGURES[figure]], share, looks)

    def settled(self, found: Difference, tests: int) -> bool:
        """Whether B differs from A, or is known to lie within the share of it."""
        ratio = found.ratio
        p_value = ratio.p_value if not math.isnan(ratio.p_value) else found.shift.p_value
        if p_value < ALPHA / (self.looks * tests):
            return True
        low, high = ratio.estimate.low, ratio.estimate.high
        return 1 - self.share <= low and high <= 1 + self.share


@dataclass(slots=True)
class Settling:
    """The runs of a sweep so far, each read once."""

    goal: Goal
    _known: dict[Path, Run] = field(default_factory=dict)

    def open(self, runs: dict[str, list[Path]]) -> list[str]:
        """The labels of the cells that need another repeat; ``runs`` are complete ones by label."""
        groups = [
            RunGroup(label, tuple(self._run(folder) for folder in folders))
            for label, folders in runs.items()
            if folders
        ]
        sets = comparable_sets(groups) if groups else []
        return [group.name for of in sets for group in unsettled(of.groups, self.goal)]

    def _run(self, folder: Path) -> Run:
        if folder not in self._known:
            self._known[folder] = evaluate_run(RunReader(folder))
        return self._known[folder]


def unsettled(groups: Sequence[RunGroup], goal: Goal) -> list[RunGroup]:
    """The best of ``groups`` and those that are not settled against it; none if all are.

    A group whose figure is unknown or of INVALID runs is left alone: repeats would not help it.
    """
    fit = [
        group
        for group in groups
        if math.isfinite(group.estimate(goal.metric).value)
        and all(run.verdict == "VALID" for run in group.counted)
    ]
    if len(fit) < 2:
        return []
    sign = 1 if goal.metric.higher_is_better else -1
    best = max(fit, key=lambda group: sign * group.estimate(goal.metric).value)
    rest = [group for group in fit if group is not best]
    open_ = [group for group in rest if not _settled(best, group, goal, len(rest))]
    return [best, *open_] if open_ else []


def _settled(best: RunGroup, group: RunGroup, goal: Goal, tests: int) -> bool:
    try:
        (found,) = compare(best, group, [goal.metric]).differences
    except IncomparableRuns:
        return True
    return goal.settled(found, tests)


# --- the sweep -----------------------------------------------------------------------------------

GUESSED_OVERHEAD_S = 3.0
"""Time of a run beyond warm-up and window, drain included; used until one was measured."""
GUESSED_START_S = 10.0
"""Time to start the processes of a crew."""
CREW_RUNS = 400
"""Most runs of a crew: MPICH allows about 2,000 communicators per process, a run takes three."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of a sweep."""

    cell: Cell
    repeat: int


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """The options of the command line.

    ``only``: texts, one of which a cell's label must contain; ``again`` says whether a complete
    run (its folder) must be repeated.
    """

    config: Path
    overrides: tuple[str, ...] = ()
    jobs: int = 1
    resume: bool = True
    only: tuple[str, ...] = ()
    repeats: int | None = None
    again: Callable[[Path], bool] | None = None


Report = Callable[[RunOutcome, float], None]
"""Called after each run with its outcome and the estimated seconds left."""


class Sweep:
    """A sweep with a checked config and the record of the runs already done, ready to run."""

    def __init__(self, options: SweepOptions) -> None:
        self.matrix = read_matrix(read_text(options.config), str(options.config), options.overrides)
        _check_plans(self.matrix)
        _check_jobs(self.matrix, options.jobs)
        self._config = options.config
        self._lanes = options.jobs
        self._redo = options.again is not None
        self.record = _record(self.matrix, options)
        if options.again is not None:
            self.record.forget(options.again)
        self.cell_runs = _cell_runs(self.matrix, options)
        self.left = [
            run for run in self.cell_runs if not self.record.finished(run.cell, run.repeat)
        ]
        goal = None if options.repeats else Goal.of(self.matrix.sweep)
        self._settling = Settling(goal) if goal else None
        self._overheads: list[float] = []

    def seconds_left(self, cell_runs: Sequence[CellRun]) -> float:
        """Estimated time of ``cell_runs``, from how long earlier runs took."""
        seen = self._overheads
        overhead_s = sum(seen) / len(seen) if seen else GUESSED_OVERHEAD_S
        overhead_s += GUESSED_START_S if self._separate else 0.0
        return sum(_known_s(run.cell) + overhead_s for run in cell_runs) / self._lanes

    @property
    def _separate(self) -> bool:
        """Whether each run gets processes of its own."""
        return self.matrix.sweep.fresh or not all(cell.emulated for cell in self.matrix.cells)

    def run(self, report: Report, more: Callable[[int], None] = lambda count: None) -> int:
        """Run what is left; returns the exit status, OK if every run is complete.

        ``more`` is called with the number of further runs before each round of them.

        Raises UserError where another sweep works in the same folder.
        """
        with only_here(self.record.folder):
            if not self._redo:
                self._look_again()
            self.record.write()
            self._run(report)
            while further := self._further():
                more(len(further))
                self.cell_runs += further
                self.left = list(further)
                self._run(report)
        runs = [self.record.runs.get((run.cell.label, run.repeat)) for run in self.cell_runs]
        return OK if all(run and run.status == "complete" for run in runs) else INTERNAL_ERROR

    def _further(self) -> list[CellRun]:
        """One more run of each cell that is not settled yet, in an order of its own.

        Of a sweep that goes on, those that were done before count as done.
        """
        while self._settling is not None:
            found = self._next_repeats(self._settling)
            done = [run for run in found if self.record.finished(run.cell, run.repeat)]
            if not done:
                return found
            self.cell_runs += done
        return []

    def _next_repeats(self, settling: Settling) -> list[CellRun]:
        cells = {run.cell.label: run.cell for run in self.cell_runs}
        made = Counter(run.cell.label for run in self.cell_runs)
        folders = {name: self.record.complete(name)[: made[name]] for name in cells}
        labels = [n for n in settling.open(folders) if made[n] < self.matrix.sweep.max_repeats]
        Random(f"{self.matrix.sweep.seed}/{len(self.cell_runs)}").shuffle(labels)
        return [CellRun(cells[label], made[label] + 1) for label in labels]

    def _look_again(self) -> None:
        """Another sweep may have worked here before the folder was ours."""
        self.record.resume()
        self.left = [run for run in self.left if not self.record.finished(run.cell, run.repeat)]

    def _run(self, report: Report) -> None:
        crews = self.record.folder / ".crews"
        crews.mkdir(exist_ok=True)
        lanes = [
            _Lane(self, crews / f"{number}.json", self.left[number :: self._lanes])
            for number in range(self._lanes)
        ]
        try:
            while True in [lane.work() for lane in lanes]:  # start the crews of all lanes first
                for lane in lanes:
                    for cell_run, reason, wall_s in lane.poll():
                        self._enter(cell_run, reason, wall_s, report)
                time.sleep(POLL_S)
        finally:
            for lane in lanes:
                lane.stop()

    def assignment(self, cell_run: CellRun) -> Assignment:
        """The job of ``cell_run``, with its place, its seed and its time limit."""
        cell, run = cell_run.cell, cell_run.cell.config.run
        place = self.record.place(cell, cell_run.repeat)
        own = (f"run.seed={run.seed + cell_run.repeat - 1}", f"run.results={toml(str(place))}")
        job = CrewJob(str(self._config), cell.overrides + own, cell.ranks)
        return Assignment(job, time_limit_s(run))

    def _enter(self, cell_run: CellRun, reason: str, wall_s: float, report: Report) -> None:
        done = self.record.enter(cell_run.cell, cell_run.repeat, reason, wall_s)
        if done.status == "complete":
            self._overheads.append(max(0.0, wall_s - _known_s(cell_run.cell)))
        self.left.remove(cell_run)
        report(done, self.seconds_left(self.left))


def _known_s(cell: Cell) -> float:
    """The known part of a run's time: until admission ends; 0 if a count of items ends it."""
    end_s = cell.config.run.admission_end_s
    return end_s if math.isfinite(end_s) else 0.0


class _Lane:
    """Runs that one crew after another does; a crew that fails is followed by a new one."""

    def __init__(self, sweep: Sweep, path: Path, cell_runs: Sequence[CellRun]) -> None:
        self._sweep = sweep
        self._path = path
        self._waiting = deque(cell_runs)
        self._given: deque[CellRun] = deque()
        self._crew: Crew | None = None

    def work(self) -> bool:
        """Start a crew if there is none; whether anything is left to do."""
        if self._crew is None and self._waiting:
            count = 1 if self._sweep._separate else min(CREW_RUNS, len(self._waiting))
            self._given = deque(self._waiting.popleft() for _ in range(count))
            self._crew = Crew(self._path, [self._sweep.assignment(run) for run in self._given])
        return self._crew is not None

    def poll(self) -> list[tuple[CellRun, str, float]]:
        """The runs that have ended. If the crew has too, its other runs go to the next one."""
        if self._crew is None:
            return []
        over = self._crew.over
        ended = [(self._given.popleft(), *result) for result in self._crew.poll()]
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
    """Raise UserError unless topology, placement and devices of every cell fit together."""
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


def _record(matrix: Matrix, options: SweepOptions) -> SweepRecord:
    run = matrix.base.run
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = run.name if options.resume else f"{run.name}-{stamp}-{secrets.token_hex(2)}"
    record = SweepRecord(Path(run.results) / name, matrix, str(options.config))
    record.resume()
    return record


def _cell_runs(matrix: Matrix, options: SweepOptions) -> list[CellRun]:
    """All runs in their order, repeat by repeat."""
    chosen = [
        CellRun(cell, repeat)
        for repeat in range(1, (options.repeats or matrix.sweep.repeats) + 1)
        for cell in shuffled_cells(matrix, repeat)
        if not options.only or any(text in cell.label for text in options.only)
    ]
    if not chosen:
        labels = ", ".join(cell.label for cell in matrix.cells[:4])
        raise UserError(Problem("no cell has such a label", "--only", f"labels are: {labels}, ..."))
    return chosen
