"""The live stream of a run: one JSON line per record, written by rank 0, followed by anybody.

The first line names the schema and the columns of every table; each further line is an array
``[table, v1, v2, ...]``; an orderly end is ``{"end": {...}}``. A writer that dies leaves at most
one cut line at the end, which readers leave alone. Nothing here knows Parquet or pandas.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from mdibench.core.rows import Row, table_of
from mdibench.errors import Problem, UserError
from mdibench.record import schema


class LiveWriter:
    """Appends rows to a new stream. Used by one thread.

    ``append`` only remembers the row (which must not change afterwards); ``flush`` formats what
    was remembered and hands it to the system in one write, so that a later ``kill -9`` of this
    process loses nothing that was flushed.
    """

    def __init__(self, path: Path) -> None:
        self._file = FileIO(path, "xb")
        self._path = path
        self._pending: list[Row] = []
        self._unwritten = _header()
        self._write()

    def append(self, row: Row) -> None:
        """Remember ``row``."""
        self._pending.append(row)

    def flush(self) -> None:
        """Write every remembered row. On ``OSError`` (a full disk) nothing is forgotten."""
        if not self._pending:
            return
        rows, self._pending = self._pending, []
        self._unwritten += b"".join([_line(row) for row in rows])
        self._write()

    def check_in_place(self) -> None:
        """Raise ``FileNotFoundError`` where the file is no longer where it was made."""
        if not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))

    def end(self, status: str, reason: str) -> None:
        """Flush, and mark the orderly end of the stream."""
        self.flush()
        end = {"end": {"status": status, "reason": reason}}
        self._unwritten += json.dumps(end).encode() + b"\n"
        self._write()

    def close(self) -> None:
        """Flush and release the file. Closing twice is harmless."""
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._file.close()

    def _write(self) -> None:
        while self._unwritten:
            written = self._file.write(self._unwritten)
            self._unwritten = self._unwritten[written:]


class LiveReader:
    """Follows a stream from its start, while it grows and after it ended.

    ``ended`` is the (status, reason) of an orderly end; ``damaged`` counts complete lines that
    could not be understood. A stream that does not exist yet reads as empty. The file stays open
    between polls, so that its end can be read even when the writer has already removed it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended: tuple[str, str] | None = None
        self.damaged = 0
        self._file: FileIO | None = None
        self._tail = b""
        self._columns: dict[str, list[str]] | None = None

    def poll(self) -> list[tuple[str, dict[str, object]]]:
        """Rows that were completed since the last poll, as (table, values by column name).

        Raises ``UserError`` for a stream of another major schema or without a readable header.
        """
        rows: list[tuple[str, dict[str, object]]] = []
        while chunk := self.poll_values():
            columns = self.columns
            rows += [
                (table, dict(zip(columns[table], values, strict=True))) for table, values in chunk
            ]
        return rows

    def poll_values(self, size: int = 1 << 24) -> list[tuple[str, list[Any]]]:
        """Like ``poll``, from at most ``size`` further bytes, values in stream order.

        Empty only at the present end of the stream.
        """
        rows: list[tuple[str, list[Any]]] = []
        while not rows:
            lines = self._complete_lines(size)
            if lines is None:
                break
            rows = list(self._rows(lines))
        return rows

    @property
    def columns(self) -> dict[str, list[str]]:
        """Column names by table, as the stream's header says; empty before it was read."""
        return self._columns or {}

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()

    def _complete_lines(self, size: int) -> list[bytes] | None:
        if self._file is None:
            try:
                self._file = FileIO(self.path, "rb")
            except FileNotFoundError:
                return None
        data = self._file.read(size)
        if not data:
            return None
        *lines, self._tail = (self._tail + data).split(b"\n")
        return lines

    def _rows(self, lines: list[bytes]) -> Iterator[tuple[str, list[Any]]]:
        if self._columns is None and lines:
            self._columns = _read_header(lines[0], self.path)
            lines = lines[1:]
        for record in _decode_all(lines):
            row = self._row(record)
            if row is not None:
                yield row

    def _row(self, record: Any) -> tuple[str, list[Any]] | None:
        if isinstance(record, list) and record and isinstance(record[0], str):
            table = record.pop(0)
            if len(record) == len(self.columns.get(table, ())):
                return table, record
        elif isinstance(record, dict) and isinstance(record.get("end"), dict):
            end = record["end"]
            self.ended = (str(end.get("status", "")), str(end.get("reason", "")))
            return None
        self.damaged += 1
        return None


def _header() -> bytes:
    columns = {table: schema.names(table) for table in schema.TABLES}
    header = {"schema": [schema.MAJOR, schema.MINOR], "tables": columns}
    return json.dumps(header).encode() + b"\n"


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not belong into a run's records")


def _line(row: Row) -> bytes:
    values = (table_of(row), *row)
    try:  # six times as fast as the standard library's encoder; null for what JSON has no number
        return to_json(values, inf_nan_mode="null", fallback=_plain) + b"\n"
    except ValueError:  # half of a surrogate pair, or no value at all: looked for only now
        return to_json([_whole(value) for value in values], inf_nan_mode="null") + b"\n"


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    is_plain = isinstance(value, (int, float, list, tuple, type(None)))
    return value if is_plain else _plain(value)


def _decode_all(lines: list[bytes]) -> list[Any]:
    """Every line's record, ``None`` for one that is none; in one go unless a line is damaged."""
    try:
        records = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        return [_decode(line) for line in lines]
    # A damaged line may still look well among its neighbours, e.g. "1],[2".
    return records if len(records) == len(lines) else [_decode(line) for line in lines]


def _decode(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _read_header(line: bytes, path: Path) -> dict[str, list[str]]:
    header = _decode(line)
    try:
        major = int(header["schema"][0])
        tables = {str(table): [str(c) for c in names] for table, names in header["tables"].items()}
    except (TypeError, KeyError, IndexError, ValueError, AttributeError):
        problem = Problem("the stream's first line is damaged", str(path))
        raise UserError(problem) from None
    refuse_other_major(major, path)
    return tables


def refuse_other_major(major: int, path: Path) -> None:
    """Raise ``UserError`` unless this version can read records of schema ``major``."""
    if major != schema.MAJOR:
        what = f"schema {major} cannot be read, this version reads schema {schema.MAJOR}"
        raise UserError(Problem(what, str(path), "read it with the mdibench that wrote it"))
