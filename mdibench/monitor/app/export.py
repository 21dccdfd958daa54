"""Export into the run's folder: the tables on the screen as CSV, the screen as SVG."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mdibench.errors import Problem, UserError
from mdibench.monitor.snapshot import History, Snapshot

EXPORT_FOLDER = "monitor"
_NOT_IN_CSV = ("input_history", "output_history", "reported", "stale")


def export_tables(snapshot: Snapshot, folder: Path) -> list[Path]:
    """Ranks, exits, links, history and events of the moment shown; the files written.

    Names contain the moment, so that exports do not overwrite each other. ``UserError`` where the
    folder cannot be written.
    """
    tables = {
        "ranks": _ranks(snapshot),
        "exits": _exits(snapshot),
        "links": _links(snapshot),
        "history": _history(snapshot.history),
        "events": [["t_s", "rank", "level", "kind", "text"], *map(_values, snapshot.events)],
    }
    return [
        _write(place(folder, f"{snapshot.t_s:08.2f}s-{name}.csv"), rows)
        for name, rows in tables.items()
    ]


FONTS = "'Fira Code', 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"
_FONT_FACES = re.compile(r"\s*@font-face\s*\{.*?\}", re.DOTALL)


def with_own_fonts(svg: str) -> str:
    """The picture without fonts from elsewhere: fixed-width ones that most systems have.

    Every text names its length, so that cells stay aligned in whichever font it is drawn.
    """
    return _FONT_FACES.sub("", svg).replace("Fira Code, monospace", FONTS)


def export_picture(svg: str, snapshot: Snapshot, folder: Path) -> Path:
    """The SVG picture of a screen, under a new name."""
    number = 1
    while (path := place(folder, f"{snapshot.t_s:08.2f}s-{number}.svg")).exists():
        number += 1
    try:
        path.write_text(with_own_fonts(svg), encoding="utf-8")
    except OSError as failure:
        raise _cannot_write(path, failure) from None
    return path


def place(folder: Path, name: str) -> Path:
    """A path in the run's folder for what the monitor writes."""
    inside = folder / EXPORT_FOLDER
    try:
        inside.mkdir(exist_ok=True)
    except OSError as failure:
        raise _cannot_write(inside, failure) from None
    return inside / name


def _cannot_write(path: Path, failure: OSError) -> UserError:
    return UserError(Problem(f"cannot be written: {failure.strerror}", str(path)))


def _write(path: Path, rows: Iterable[Sequence[Any]]) -> Path:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([_plain(value) for value in row] for row in rows)
    except OSError as failure:
        raise _cannot_write(path, failure) from None
    return path


def _plain(value: Any) -> Any:
    """Unknown is empty, lists are separated by spaces."""
    if isinstance(value, float):
        return "" if math.isnan(value) else value
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _values(record: Any) -> list[Any]:
    return [getattr(record, field.name) for field in fields(record)]


def _ranks(snapshot: Snapshot) -> list[list[Any]]:
    names = [f.name for f in fields(snapshot.ranks[0]) if f.name not in _NOT_IN_CSV]
    return [names, *([getattr(rank, name) for name in names] for rank in snapshot.ranks)]


def _exits(snapshot: Snapshot) -> list[list[Any]]:
    rows: list[list[Any]] = [["exit", "left", "share", "correct", "accuracy", "low", "high"]]
    for view in snapshot.exits:
        low, high = view.accuracy.interval
        correct = view.accuracy.hits
        rows.append([view.exit, view.left, view.share, correct, view.accuracy.value, low, high])
    return rows


def _links(snapshot: Snapshot) -> list[list[Any]]:
    links, size = snapshot.links, range(len(snapshot.links.tasks))
    head = ["source", "target", "tasks", "tasks_per_s", "bytes_per_s", "hop_delay_s"]
    matrices = (links.tasks, links.tasks_per_s, links.bytes_per_s, links.hop_delay_s)
    body = [[n, m, *(matrix[n][m] for matrix in matrices)] for n in size for m in size if n != m]
    return [head, *body]


def _history(history: History) -> list[list[Any]]:
    series = {
        name: getattr(history, name)
        for name in ("completed_per_s", "offered_per_s", "accuracy", "p50_s", "p95_s", "p99_s",
                     "threshold", "interarrival_s", "in_flight")
    }  # fmt: skip
    for queue in ("input_queue", "output_queue"):
        for rank, values in enumerate(getattr(history, queue)):
            series[f"{queue}_{rank}"] = values
    rows = zip(history.edges_s, history.edges_s[1:], *series.values(), strict=False)
    return [["start_s", "end_s", *series], *map(list, rows)]
