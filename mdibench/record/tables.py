"""The Parquet tables of a finished run, written from its live stream in bounded memory.

The same stream always gives the same bytes. pyarrow is imported here and in ``analysis`` only;
a process that merely records never imports this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mdibench.record import schema
from mdibench.record.schema import Column, ColumnType
from mdibench.record.stream import LiveReader

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "ints": pa.list_(pa.int64()),
}
ROWS_PER_GROUP = 65_536


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of ``table``: every column nullable, with its meaning as metadata."""
    fields = [
        pa.field(column.name, ARROW_TYPES[column.type], metadata={"meaning": column.meaning})
        for column in schema.TABLES[table]
    ]
    return pa.schema(fields, metadata={"mdibench_schema": f"{schema.MAJOR}.{schema.MINOR}"})


def write_tables(stream: Path, folder: Path) -> int:
    """Write every table's ``<table>.parquet`` into ``folder`` from the live stream at ``stream``.

    All files appear together at the end, each by an atomic rename. Returns how many values did
    not fit their column and became null. Raises ``OSError`` (pyarrow's included).
    """
    writers = {table: _TableWriter(folder, table) for table in schema.TABLES}
    try:
        for table, row in _known_rows(stream):
            writers[table].append(row)
        for writer in writers.values():
            writer.finish()
    except BaseException:
        for writer in writers.values():
            writer.discard()
        raise
    for writer in writers.values():
        writer.publish()
    return sum(writer.misfits for writer in writers.values())


def _known_rows(stream: Path) -> Iterator[tuple[str, Sequence[object]]]:
    """Rows of the tables that this version knows, their values in this version's order."""
    orders: dict[str, list[int | None]] = {}
    with closing(LiveReader(stream)) as reader:
        while rows := reader.poll_values():
            for table, values in rows:
                if table not in schema.TABLES:
                    continue
                if table not in orders:
                    orders[table] = _order(table, reader.columns)
                yield table, [None if at is None else values[at] for at in orders[table]]


def _order(table: str, columns: Mapping[str, list[str]]) -> list[int | None]:
    names = columns[table]
    return [names.index(name) if name in names else None for name in schema.names(table)]


class _TableWriter:
    """One table on its way to a file: rows are gathered, then written a group at a time."""

    def __init__(self, folder: Path, table: str) -> None:
        self.misfits = 0
        self._columns = schema.TABLES[table]
        self._schema = arrow_schema(table)
        self._final = folder / f"{table}.parquet"
        self._draft = folder / f".{table}.parquet.draft"
        self._rows: list[Sequence[object]] = []
        self._file = pq.ParquetWriter(self._draft, self._schema, compression="zstd")

    def append(self, row: Sequence[object]) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self._write_group()

    def finish(self) -> None:
        if self._rows:
            self._write_group()
        self._file.close()
        with self._draft.open("rb+") as file:
            os.fsync(file.fileno())

    def publish(self) -> None:
        self._draft.replace(self._final)

    def discard(self) -> None:
        self._draft.unlink(missing_ok=True)

    def _write_group(self) -> None:
        by_column = zip(self._columns, zip(*self._rows, strict=True), strict=True)
        arrays = [self._array(column, values) for column, values in by_column]
        self._rows = []
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def _array(self, column: Column, values: Sequence[object]) -> pa.Array:
        arrow_type = ARROW_TYPES[column.type]
        try:
            # Inferred first: asked for int64, pa.array would truncate 0.5 without a word.
            return pa.array(values).cast(arrow_type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            fitting = [fit(value, column.type) for value in values]
            self.misfits += sum(new is None for new in fitting) - sum(v is None for v in values)
            return pa.array(fitting, arrow_type)


def fit(value: Any, kind: ColumnType) -> Any:
    """``value`` as a column of ``kind`` holds it, or ``None`` where it cannot be that."""
    if kind == "text":
        return None if value is None else str(value)
    if kind == "ints":
        return [fit(v, "int") for v in value] if isinstance(value, (list, tuple)) else None
    if not isinstance(value, (bool, int, float)):
        return None
    if kind == "float":
        return float(value)
    whole = int(value)
    if whole != value or not -(2**63) <= whole < 2**63:
        return None
    return bool(whole) if kind == "bool" else whole
