"""One run as the analysis reads it: its manifest, and only those columns that somebody asks for.

A finished run is read from its Parquet tables, a partial one from its live stream. Whatever is
damaged is named in ``problems`` and reads as empty; nothing here computes a figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mdibench.errors import Problem, UserError
from mdibench.record import run_folder, schema
from mdibench.record.columns import to_codes, to_floats
from mdibench.record.tables import arrow_schema, read_stream

Numbers = NDArray[np.float64]


class RunReader:
    """The run in ``folder``. Raises ``UserError`` when its manifest cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.resolve().name
        """Name of the run's folder; in a set of runs, made longer where two have the same."""
        self.manifest: dict[str, Any] = run_folder.read_manifest(folder)
        self.status = run_folder.status(folder)
        self.problems: list[str] = []
        """Files of this run that could not be read, one line each."""
        self._streamed: dict[str, pa.Table] | None = None
        self._footers: dict[Path, pq.FileMetaData] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the footers, which are large, and quick to read again."""
        return self.__dict__ | {"_footers": {}}

    @property
    def partial(self) -> bool:
        """Whether the run did not reach its orderly end, so that records are missing."""
        return self.status != "complete"

    def verify(self) -> None:
        """Note every table that is missing or damaged, by its footer alone."""
        if (self.folder / run_folder.STREAM).exists():
            return
        for name in schema.TABLES:
            with self._naming(self.folder / f"{name}.parquet") as path:
                self._footer(path)

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Table ``name`` with ``columns`` (all by default); a missing column reads as null."""
        wanted = list(columns) if columns is not None else schema.names(name)
        found = self._stored(name, wanted)
        types = arrow_schema(name)
        arrays = [_column(found, types.field(column)) for column in wanted]
        return pa.Table.from_arrays(arrays, schema=pa.schema([types.field(c) for c in wanted]))

    def numbers(self, name: str, columns: Sequence[str]) -> dict[str, Numbers]:
        """Numeric columns of table ``name`` as float64 ``[rows]``, null as NaN."""
        table = self.table(name, columns)
        return {column: to_floats(table[column]) for column in columns}

    def texts(self, name: str, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """A text column as codes ``[rows]`` (-1 for null) and the texts that they stand for."""
        stored = self._stored(name, [column], dictionary=True)
        if column not in stored.column_names or not pa.types.is_string(_plain(stored, column)):
            return np.full(len(stored), -1), []
        texts = stored[column]
        return to_codes(texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode())

    def _stored(self, name: str, columns: Sequence[str], dictionary: bool = False) -> pa.Table:
        if self._streamed is None and (self.folder / run_folder.STREAM).exists():
            self._streamed = self._read_stream()
        if self._streamed is not None:
            return self._streamed[name]
        return self._read_parquet(name, columns, columns if dictionary else None)

    def _read_stream(self) -> dict[str, pa.Table]:
        path = self.folder / run_folder.STREAM
        try:
            tables, damaged = read_stream(path)
        except UserError as failure:
            self._note(str(failure))
            return {name: arrow_schema(name).empty_table() for name in schema.TABLES}
        if damaged:
            self._note(f"{path}: {damaged} damaged lines skipped")
        return tables

    def _read_parquet(
        self, name: str, columns: Sequence[str], encoded: Sequence[str] | None
    ) -> pa.Table:
        with self._naming(self.folder / f"{name}.parquet") as path:
            footer = self._footer(path)
            known = footer.schema.to_arrow_schema().names
            texts = [column for column in encoded or () if column in known]
            with pq.ParquetFile(path, metadata=footer, read_dictionary=texts) as file:
                return file.read(
                    [column for column in columns if column in known] or known[:1],
                    use_threads=False,
                )
        return arrow_schema(name).empty_table()

    def _footer(self, path: Path) -> pq.FileMetaData:
        """What a file says of itself, read once."""
        if path not in self._footers:
            self._footers[path] = pq.read_metadata(path)
        return self._footers[path]

    @contextmanager
    def _naming(self, path: Path) -> Iterator[Path]:
        """Let what goes wrong with a file end in a note instead."""
        try:
            yield path
        except FileNotFoundError:
            self._note(f"{path}: missing")
        except (OSError, pa.ArrowException, UnicodeDecodeError) as failure:  # the last: of a name
            self._note(f"{path}: damaged, skipped ({str(failure).splitlines()[0]})")

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def open_runs(paths: Iterable[str | Path]) -> tuple[list[RunReader], list[str]]:
    """Every readable run among and below ``paths`` by time, and one line per damaged one.

    Raises ``UserError`` for a path that does not exist, and where no run can be read.
    """
    paths = list(paths)
    readers, skipped = [], []
    for folder in run_folder.find_runs(paths):
        try:
            readers.append(RunReader(folder))
        except UserError as failure:
            skipped.append(str(failure))
    if not readers:
        where = ", ".join(map(str, paths))
        remedy = "; ".join(skipped) or "mdibench run CONFIG makes one"
        raise UserError(Problem("no run found here", where, remedy))
    _tell_apart(readers)
    return readers, skipped


def _tell_apart(readers: Sequence[RunReader]) -> None:
    seen = Counter(reader.id for reader in readers)
    for reader in readers:
        if seen[reader.id] > 1:
            reader.id = str(reader.folder)


def _plain(table: pa.Table, column: str) -> pa.DataType:
    """The type of a column's values, whether they are encoded or not."""
    found = table.schema.field(column).type
    return found.value_type if pa.types.is_dictionary(found) else found


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), field.type)])
    column = table[field.name]
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowException:
        return pa.chunked_array([pa.nulls(len(table), field.type)])
