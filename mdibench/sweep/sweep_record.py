"""What a sweep has done so far: ``sweep.json`` in its folder, so that it can go on after a stop.

The folder holds ``<cell>/repeat-<r>/<run>``. What a killed run left there is moved to
``.abandoned``, where no report looks for runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mdibench import __version__
from mdibench.errors import Problem, UserError
from mdibench.record.files import write_text_whole
from mdibench.record.run_folder import find_runs, read_manifest, status
from mdibench.sweep.matrix import Cell, Matrix, folder_name

FILE = "sweep.json"
ABANDONED = ".abandoned"
MAJOR, MINOR = 1, 0


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one run: ``run`` is its folder, relative to the sweep's, or empty."""

    cell: str
    repeat: int
    status: str
    run: str = ""
    reason: str = ""
    wall_s: float = 0.0


class SweepRecord:
    """The record of the sweep in ``folder``. Every change is on disk at once."""

    def __init__(self, folder: Path, matrix: Matrix, config: str) -> None:
        self.folder = folder
        self.runs: dict[tuple[str, int], Done] = {}
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
        """Take over what an earlier sweep of the same config did in this folder.

        Raises UserError where it was another config, or where a run still goes on.
        """
        before = self._read()
        if before is None:
            return
        if before.get("digest") != self._facts["digest"]:
            remedy = "--anew starts in a folder of its own; or set another run.name"
            what = "this sweep was made from a config with other keys than now"
            raise UserError(Problem(what, str(self.folder / FILE), remedy))
        self._facts["started_utc"] = before.get("started_utc", self._facts["started_utc"])
        for fields in before.get("runs", []):
            done = Done(**fields)
            self.runs[done.cell, done.repeat] = done
        self._find_finished()

    def finished(self, cell: Cell, repeat: int) -> bool:
        """Whether this run is complete, and its folder is still there."""
        done = self.runs.get((cell.label, repeat))
        return done is not None and done.status == "complete" and (self.folder / done.run).is_dir()

    def forget(self, again: Callable[[Path], bool]) -> None:
        """Let complete runs for which ``again`` answers yes count as not done."""
        for key, done in list(self.runs.items()):
            run = self.folder / done.run
            if done.status == "complete" and run.is_dir() and again(run):
                del self.runs[key]

    def place(self, cell: Cell, repeat: int) -> Path:
        """The folder for the run of ``cell``, emptied of what was left there unfinished."""
        place = self.folder / cell.name / f"repeat-{repeat}"
        if place.is_dir() and any(place.iterdir()):
            bin_ = self.folder / ABANDONED
            bin_.mkdir(exist_ok=True)
            stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
            place.rename(bin_ / f"{cell.name}-{repeat}-{stamp}")
        return place

    def enter(self, cell: Cell, repeat: int, reason: str, wall_s: float) -> Done:
        """Look at what the run left behind, and remember it. ``reason``: why it is no success."""
        runs = _runs(self.folder / cell.name / f"repeat-{repeat}")
        said = status(runs[-1]) if runs else "failed"
        if reason and said in ("complete", "running"):
            said = "failed"
        if runs and not reason:
            reason = _reason(runs[-1])
        if said == "complete" and reason:  # somebody ended it early, in good order
            said = "aborted"
        run = str(runs[-1].relative_to(self.folder)) if runs else ""
        done = Done(cell.label, repeat, said, run, reason, round(wall_s, 3))
        self.runs[cell.label, repeat] = done
        self.write()
        return done

    def write(self) -> None:
        """Put the record on disk, all of it or nothing."""
        runs = [asdict(done) for _, done in sorted(self.runs.items())]
        text = json.dumps(self._facts | {"runs": runs}, indent=1) + "\n"
        write_text_whole(self.folder / FILE, text)

    def _read(self) -> dict[str, Any] | None:
        path = self.folder / FILE
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
        """Runs that ended after the sweep that started them had been killed."""
        for cell in self._facts["cells"]:
            for place in sorted((self.folder / folder_name(cell["label"])).glob("repeat-*")):
                for run in _runs(place):
                    self._take_over(str(cell["label"]), int(place.name[7:]), run)

    def _take_over(self, label: str, repeat: int, run: Path) -> None:
        said = status(run)
        if said == "running":
            remedy = "wait until it has ended, or stop it"
            raise UserError(Problem("a run of this sweep still goes on", str(run), remedy))
        if said == "complete" and not _reason(run) and (label, repeat) not in self.runs:
            self.runs[label, repeat] = Done(label, repeat, said, str(run.relative_to(self.folder)))


def _reason(run: Path) -> str:
    return str(read_manifest(run).get("reason", ""))


def _runs(place: Path) -> list[Path]:
    return find_runs([place]) if place.is_dir() else []
