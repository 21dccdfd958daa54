"""The runs below a folder, for the browser and ``mdibench list``: light first, figures later.

``scan`` finds the folders and reads nothing. ``Catalogue.read_some`` reads manifests and
``Catalogue.evaluate`` the figures and the verdict, those of a report; both take as long as they
take, so the browser calls them in a thread, for the runs on the screen first.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mdibench.errors import MdibenchError
from mdibench.record import run_folder

STAMP = re.compile(r"^(\d{8}T\d{6}Z)-(.+)-[0-9a-f]{4}$")


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run of a list. Figures are NaN, texts empty, until they are read."""

    folder: Path
    name: str
    started_s: float
    """Seconds since the epoch; NaN where unknown."""
    state: str = ""
    reason: str = ""
    scheme: str = ""
    kind: str = ""
    label: str = ""
    ranks: int = 0
    rate_per_s: float = math.nan
    accuracy: float = math.nan
    verdict: str = ""
    warnings: int = 0
    evaluated: bool = False

    @property
    def title(self) -> str:
        """The label where the run has one, and the name."""
        return f"{self.label} · {self.name}" if self.label else self.name

    @property
    def text(self) -> str:
        """What a filter looks through."""
        parts = (self.title, self.scheme, self.kind, self.state, self.verdict, self.folder)
        return " ".join(map(str, parts))


def scan(path: Path) -> list[RunEntry]:
    """Every run at or below ``path``, newest first by the names of their folders."""
    entries = [_named(folder) for folder in _folders(path)]
    return sorted(entries, key=lambda e: (-_or(e.started_s, 0.0), str(e.folder)))


def _folders(path: Path) -> Iterator[Path]:
    """Folders with a manifest. Links are followed once, hidden folders left out."""
    seen: set[tuple[int, int]] = set()
    waiting = [str(path)]
    while waiting:
        here = waiting.pop()
        below: list[str] = []
        try:
            with os.scandir(here) as found:
                for entry in found:
                    if entry.name == run_folder.MANIFEST:
                        yield Path(here)
                        below = []
                        break
                    if not entry.name.startswith(".") and entry.is_dir():
                        below.append(entry.path)
        except OSError:  # removed meanwhile, or not to be read
            continue
        for each in below:
            if Path(each).is_symlink():
                facts = Path(each).stat()
                if (facts.st_dev, facts.st_ino) in seen:
                    continue
                seen.add((facts.st_dev, facts.st_ino))
            waiting.append(each)


def _named(folder: Path) -> RunEntry:
    """A run by the name of its folder alone."""
    match = STAMP.match(folder.name)
    if match is None:
        return RunEntry(folder, folder.name, math.nan)
    started = datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    return RunEntry(folder, match[2], started.timestamp())


def with_manifest(entry: RunEntry) -> RunEntry:
    """The entry with what its manifest says; a run that cannot be read says so in its state."""
    path = entry.folder / run_folder.MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        state = str(manifest.get("status", "aborted"))
        if state == "running":
            state = run_folder.status(entry.folder)
    except FileNotFoundError:
        return replace(entry, state="gone", reason="the run was removed while it was shown")
    except (OSError, ValueError, AttributeError, MdibenchError):
        return replace(entry, state="damaged", reason=f"{path}: cannot be read")
    plan = manifest.get("plan")
    return replace(
        entry,
        name=str(manifest.get("name") or entry.name),
        started_s=_epoch(manifest.get("started_utc"), entry.started_s),
        state=state,
        reason=str(manifest.get("reason") or ""),
        scheme=str(manifest.get("scheme") or ""),
        kind=str(manifest.get("kind") or ""),
        label=str(manifest.get("label") or ""),
        ranks=len(manifest.get("ranks") or ()) or int((plan or {}).get("ranks", 0)),
    )


def _epoch(started: Any, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(str(started)).timestamp()
    except ValueError:
        return otherwise


def with_figures(entry: RunEntry) -> RunEntry:
    """The entry with the rate, the accuracy and the verdict of its report."""
    from mdibench.analysis.run_groups import evaluate_run
    from mdibench.record.reader import RunReader

    try:
        run = evaluate_run(RunReader(entry.folder))
    except (MdibenchError, OSError, ValueError):
        return replace(entry, verdict="damaged", evaluated=True)
    measured = run.summary.measured
    return replace(
        entry,
        rate_per_s=measured.rate_per_s.value,
        accuracy=measured.accuracy.value,
        verdict=run.verdict,
        warnings=sum(finding.level == "warning" for finding in run.findings),
        evaluated=True,
    )


SORTS: dict[str, Callable[[RunEntry], float | str]] = {
    "age": lambda e: -_or(e.started_s, 0.0),
    "name": lambda e: e.title,
    "state": lambda e: e.state,
    "scheme": lambda e: e.scheme,
    "rate": lambda e: -_or(e.rate_per_s, -1.0),
    "accuracy": lambda e: -_or(e.accuracy, -1.0),
    "verdict": lambda e: e.verdict,
}
"""Orders of a list; the first is the newest run first."""


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def sorted_entries(entries: Sequence[RunEntry], key: str, reverse: bool) -> list[RunEntry]:
    """In the order of ``key``; equal ones newest first."""
    order = SORTS[key]
    by_age = sorted(entries, key=lambda e: -_or(e.started_s, 0.0))
    return sorted(by_age, key=lambda e: _plain_key(order(e)), reverse=reverse)


def _plain_key(value: float | str) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (value, "")


class Catalogue:
    """The entries below a folder, kept up to date by one reading thread."""

    MANIFESTS_AT_ONCE = 200

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[Path, RunEntry] = {}
        self.scanned = False
        self.version = 0
        """Grows with every change."""
        self._lock = threading.Lock()

    def rescan(self) -> None:
        """Add new runs and mark those that are gone."""
        found = {entry.folder: entry for entry in scan(self.path)}
        with self._lock:
            for folder, entry in found.items():
                self.entries.setdefault(folder, entry)
            for folder, entry in self.entries.items():
                if folder not in found and entry.state != "gone":
                    self.entries[folder] = with_manifest(entry)
            self.scanned = True
            self.version += 1

    def read_some(self, wanted: Sequence[Path]) -> bool:
        """Read manifests: those of ``wanted``, then others; whether any was left to read."""
        unread = [p for p in wanted if self._is_unread(p)]
        unread += [p for p in list(self.entries) if self._is_unread(p) and p not in unread][
            : self.MANIFESTS_AT_ONCE
        ]
        for path in unread:
            self._put(with_manifest(self.entries[path]))
        return bool(unread)

    def _is_unread(self, path: Path) -> bool:
        return path in self.entries and not self.entries[path].state

    def refresh_running(self) -> None:
        """Read the manifests of running runs again."""
        for entry in list(self.entries.values()):
            if entry.state == "running":
                self._put(with_manifest(entry))

    def evaluate(self, wanted: Sequence[Path]) -> bool:
        """Compute the figures of the first of ``wanted`` that has ended and lacks them."""
        for path in wanted:
            entry = self.entries.get(path)
            ended = entry is not None and entry.state in ("complete", "aborted", "failed")
            if entry is not None and ended and not entry.evaluated:
                self._put(with_figures(entry))
                return True
        return False

    def _put(self, entry: RunEntry) -> None:
        with self._lock:
            self.entries[entry.folder] = entry
            self.version += 1


def listed(
    path: Path, passes: Callable[[str], bool] | None, key: str, reverse: bool, most: int | None
) -> tuple[list[RunEntry], int]:
    """The first ``most`` runs below ``path`` in the order of ``key``, with figures, and how many
    there are. Figures of others are computed only where the order depends on them.
    """
    found = scan(path)
    if passes is None and key == "age" and not reverse:  # the names of folders tell
        newest = [with_figures(with_manifest(entry)) for entry in found[:most]]
        return sorted_entries(newest, key, reverse), len(found)
    read = [with_manifest(entry) for entry in found]
    passed = [entry for entry in read if passes is None or passes(entry.text)]
    if key in ("rate", "accuracy", "verdict"):
        passed = [with_figures(entry) for entry in passed]
    ordered = sorted_entries(passed, key, reverse)[:most]
    return [entry if entry.evaluated else with_figures(entry) for entry in ordered], len(passed)


def as_json(entries: Sequence[RunEntry]) -> str:
    """The entries as a JSON list; unknown figures are null."""
    rows = []
    for entry in entries:
        row = asdict(entry) | {"folder": str(entry.folder)}
        rows.append({k: None if isinstance(v, float) and v != v else v for k, v in row.items()})
    return json.dumps(rows, indent=1)


# --- sweeps ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CellEntry:
    """One cell of a sweep, and the means of its evaluated runs."""

    label: str
    ranks: int
    repeats: int
    done: int
    failed: int
    running: int
    rate_per_s: float
    accuracy: float
    verdict: str
    trusted: bool
    """Whether the means are over VALID runs alone."""
    runs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SweepEntry:
    """A sweep as its record and its runs tell."""

    name: str
    cells: tuple[CellEntry, ...]
    total: int
    done: int
    failed: int
    running: int
    left_s: float
    """Expected time until its end; NaN before the first run is done."""
    best: CellEntry | None
    """The cell with the highest rate of those whose runs are VALID."""


def read_sweep(path: Path, entries: Sequence[RunEntry]) -> SweepEntry | None:
    """The sweep in the folder ``path``; ``None`` where there is none, or its record is damaged."""
    try:
        record = json.loads((path / run_folder.SWEEP_RECORD).read_bytes())
        outcomes = {(o["cell"], o["repeat"]): o for o in record["runs"]}
        cells = [(str(c["label"]), int(c["ranks"])) for c in record["cells"]]
        repeats = int(record["repeats"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    cell_of = {Path(o["run"]).parts[0]: o["cell"] for o in outcomes.values() if o.get("run")}
    by_label: dict[str, list[RunEntry]] = {}
    for entry in entries:
        label = cell_of.get(_cell_folder(path, entry.folder), entry.label)
        by_label.setdefault(label, []).append(entry)
    listed = [
        _cell(label, ranks, repeats, outcomes, by_label.get(label, [])) for label, ranks in cells
    ]
    done, running = sum(c.done for c in listed), sum(c.running for c in listed)
    left = max(0, repeats * len(listed) - done - sum(c.failed for c in listed))
    walls = [float(o["wall_s"]) for o in outcomes.values() if o.get("wall_s")]
    valid = [c for c in listed if c.trusted and not math.isnan(c.rate_per_s)]
    return SweepEntry(
        name=str(record.get("name", path.name)),
        cells=tuple(listed),
        total=repeats * len(listed),
        done=done,
        failed=sum(c.failed for c in listed),
        running=running,
        left_s=left * sum(walls) / len(walls) / max(1, running) if walls else math.nan,
        best=max(valid, key=lambda c: c.rate_per_s, default=None),
    )


def _cell_folder(sweep: Path, run: Path) -> str:
    parts = run.relative_to(sweep).parts if run.is_relative_to(sweep) else ()
    return parts[0] if parts else ""


def _cell(
    label: str,
    ranks: int,
    repeats: int,
    outcomes: dict[tuple[str, int], dict[str, Any]],
    runs: Sequence[RunEntry],
) -> CellEntry:
    own = [o for (cell, _), o in outcomes.items() if cell == label]
    evaluated = [run for run in runs if run.evaluated]
    valid = [run for run in evaluated if run.verdict == "VALID"]
    counted = valid if 2 * len(valid) >= len(evaluated) else evaluated  # as a report counts them
    return CellEntry(
        label=label,
        ranks=ranks,
        repeats=repeats,
        done=sum(o["status"] == "complete" for o in own),
        failed=sum(o["status"] != "complete" for o in own),
        running=sum(run.state == "running" for run in runs),
        rate_per_s=_mean([run.rate_per_s for run in counted]),
        accuracy=_mean([run.accuracy for run in counted]),
        verdict=_cell_verdict(len(valid), len(evaluated)),
        trusted=bool(valid) and 2 * len(valid) >= len(evaluated),
        runs=tuple(run.folder for run in runs),
    )


def _cell_verdict(valid: int, evaluated: int) -> str:
    if not evaluated:
        return ""
    if valid in (0, evaluated):
        return "VALID" if valid else "INVALID"
    return f"{valid}/{evaluated} VALID"


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def age_text(started_s: float, now_s: float | None = None) -> str:
    """``40 s``, ``12 min``, ``5 h``, ``9 d``."""
    seconds = (time.time() if now_s is None else now_s) - started_s
    if math.isnan(seconds):
        return "–"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
