"""The record of a sweep, ``sweep.json`` in its folder: which runs are done, for resuming.

The folder holds ``<cell>/repeat-<r>/<run>``. An unfinished run is moved to ``.abandoned``, which
reports ignore.

One sweep at a time writes in one folder: a lock that the system releases with its process.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mdibench import __version__
from mdibench.errors import Problem, UserError
from mdibench.record.files import write_text_whole
from mdibench.record.run_folder import SWEEP_RECORD, find_runs, read_manifest, status
from mdibench.sweep.matrix import Cell, Matrix, folder_name

NAME = ".lock"


@contextmanager
def only_here(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; UserError where another one holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            remedy = "wait until it has ended, or use --anew or another run.name"
            what = f"{holder} works in this folder already"
            raise UserError(Problem(what, str(folder), remedy)) from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield


# --- sweep record --------------------------------------------------------------------------------

ABANDONED = ".abandoned"
MAJOR, MINOR = 1, 0


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The outcome of one run; ``run`` is its folder, relative to the sweep's, or empty."""

    cell: str
    repeat: int
    status: str
    run: str = ""
    reason: str = ""
    wall_s: float = 0.0


class SweepRecord:
    """The record of the sweep in ``folder``; every change is written at once."""

    def __init__(self, folder: Path, matrix: Matrix, config: str) -> None:
        self.folder = folder
        self.runs: dict[tuple[str, int], RunOutcome] = {}
        self._facts: dict[str, Any] = {
            "schema": [MAJOR, MINOR],
            "name": folder.name,
            "config": config,
            "digest": matrix.digest,
            "mdibench": __version__,
            "started_utc": datetime.now(timezone.utc).isoformat(),
            "repeats": matrix.sweep.repeats,
            "cells": [
                {"label": c.label, "ranks": c.ranks, "overrides": list(c.overrides)}
                for c in matrix.cells
            ],
        }

    def resume(self) -> None:
        """Take over the runs that an earlier sweep of the same config did in this folder.

        Raises UserError if it was another config, or if a run is still active.
        """
        before = self._read()
        if before is None:
            return
        if before.get("digest") != self._facts["digest"]:
            remedy = "--anew starts in a folder of its own; or set another run.name"
            what = "this sweep was started with another config"
            raise UserError(Problem(what, str(self.folder / SWEEP_RECORD), remedy))
        self._facts["started_utc"] = before.get("started_utc", self._facts["started_utc"])
        for fields in before.get("runs", []):
            done = RunOutcome(**fields)
            self.runs[done.cell, done.repeat] = done
        self._find_finished()

    def finished(self, cell: Cell, repeat: int) -> bool:
        """Whether this run is complete, and its folder is still there."""
        done = self.runs.get((cell.label, repeat))
        return done is not None and done.status == "complete" and (self.folder / done.run).is_dir()

    def complete(self, label: str) -> list[Path]:
        """The folders of the complete runs of a cell, by repeat."""
        done = [d for (cell, _), d in sorted(self.runs.items()) if cell == label]
        folders = [self.folder / d.run for d in done if d.status == "complete"]
        return [folder for folder in folders if folder.is_dir()]

    def forget(self, again: Callable[[Path], bool]) -> None:
        """Drop the complete runs (by folder) for which ``again`` is true: they run again."""
        for key, done in list(self.runs.items()):
            run = self.folder / done.run
            if done.status == "complete" and run.is_dir() and again(run):
                del self.runs[key]

    def place(self, cell: Cell, repeat: int) -> Path:
        """The folder for the run of ``cell``, without the remains of an unfinished run."""
        place = self.folder / cell.name / f"repeat-{repeat}"
        if place.is_dir() and any(place.iterdir()):
            abandoned = self.folder / ABANDONED
            abandoned.mkdir(exist_ok=True)
            stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
            place.rename(abandoned / f"{cell.name}-{repeat}-{stamp}")
        return place

    def enter(self, cell: Cell, repeat: int, reason: str, wall_s: float) -> RunOutcome:
        """Record the outcome from the run's folder; ``reason``: why it failed, or empty."""
        runs = _runs(self.folder / cell.name / f"repeat-{repeat}")
        state = status(runs[-1]) if runs else "failed"
        if reason and state in ("complete", "running"):
            state = "failed"
        if runs and not reason:
            reason = _reason(runs[-1])
        if state == "complete" and reason:  # ended early on request
            state = "aborted"
        run = str(runs[-1].relative_to(self.folder)) if runs else ""
        done = RunOutcome(cell.label, repeat, state, run, reason, round(wall_s, 3))
        self.runs[cell.label, repeat] = done
        self.write()
        return done

    def write(self) -> None:
        """Write the record, atomically."""
        runs = [asdict(done) for _, done in sorted(self.runs.items())]
        text = json.dumps(self._facts | {"runs": runs}, indent=1) + "\n"
        write_text_whole(self.folder / SWEEP_RECORD, text)

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / SWEEP_RECORD
        try:
            before = json.loads(path.read_bytes())
            major = before["schema"][0]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            what = "is damaged: not the record of a sweep"
            raise UserError(Problem(what, str(path), "--anew starts afresh")) from None
        if major != MAJOR:
            raise UserError(Problem(f"is of version {major}, not {MAJOR}", str(path)))
        return dict(before)

    def _find_finished(self) -> None:
        """Take over runs that ended after their sweep had been killed."""
        for cell in self._facts["cells"]:
            for place in sorted((self.folder / folder_name(cell["label"])).glob("repeat-*")):
                for run in _runs(place):
                    self._take_over(str(cell["label"]), int(place.name[7:]), run)

    def _take_over(self, label: str, repeat: int, run: Path) -> None:
        state = status(run)
        if state == "running":
            remedy = "wait until it has ended, or stop it"
            raise UserError(Problem("a run of this sweep is still active", str(run), remedy))
        if state == "complete" and not _reason(run) and (label, repeat) not in self.runs:
            self.runs[label, repeat] = RunOutcome(
                label, repeat, state, str(run.relative_to(self.folder))
            )


def _reason(run: Path) -> str:
    return str(read_manifest(run).get("reason", ""))


def _runs(place: Path) -> list[Path]:
    return find_runs([place]) if place.is_dir() else []
