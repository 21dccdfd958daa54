"""The Parquet tables of a finished run, written from its live stream in bounded memory.

The same stream always gives the same bytes. pyarrow is imported here and in ``analysis`` only;
a process that merely records never imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mdibench.record import schema
from mdibench.record.columns import ARROW_TYPES, to_arrow
from mdibench.record.files import draft_of, sync
from mdibench.record.stream import LiveReader

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
    files = {table: _TableFile(folder, table) for table in schema.TABLES}
    try:
        with closing(LiveReader(stream)) as reader:
            for table, row in _known_rows(reader):
                files[table].rows.append(row)
        for file in files.values():
            file.finish()
    except BaseException:
        for file in files.values():
            file.discard()
        raise
    for file in files.values():
        file.publish()
    return sum(file.rows.misfits for file in files.values())


def read_stream(stream: Path) -> tuple[dict[str, pa.Table], int]:
    """Every table of the live stream at ``stream``, and how many of its lines were damaged.

    Raises ``UserError`` for a stream of another major schema or without a readable header.
    """
    parts: dict[str, list[pa.Table]] = {table: [] for table in schema.TABLES}
    gatherers = {table: _Gatherer(table, parts[table].append) for table in schema.TABLES}
    with closing(LiveReader(stream)) as reader:
        for table, row in _known_rows(reader):
            gatherers[table].append(row)
        damaged = reader.damaged
    for gatherer in gatherers.values():
        gatherer.flush()
    empty = {table: arrow_schema(table).empty_table() for table in schema.TABLES}
    return {table: pa.concat_tables([empty[table], *parts[table]]) for table in parts}, damaged


def _known_rows(reader: LiveReader) -> Iterator[tuple[str, Sequence[object]]]:
    """Rows of the tables that this version knows, their values in this version's order."""
    orders: dict[str, list[int | None] | None] = {}
    while rows := reader.poll_values():
        for table, values in rows:
            if table not in schema.TABLES:
                continue
            if table not in orders:
                orders[table] = _order(table, reader.columns)
            order = orders[table]
            if order is None:
                yield table, values
            else:
                yield table, [None if at is None else values[at] for at in order]


def _order(table: str, columns: Mapping[str, list[str]]) -> list[int | None] | None:
    """Where this version's columns stand in the stream; ``None`` when just as they should."""
    names, wanted = columns[table], schema.names(table)
    if names == wanted:
        return None
    return [names.index(name) if name in names else None for name in wanted]


class _Gatherer:
    """Rows of one table, handed on to ``sink`` as Arrow tables of a group of rows each."""

    def __init__(self, table: str, sink: Callable[[pa.Table], object]) -> None:
        self.misfits = 0
        self._columns = schema.TABLES[table]
        self._schema = arrow_schema(table)
        self._sink = sink
        self._rows: list[Sequence[object]] = []

    def append(self, row: Sequence[object]) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        if not self._rows:
            return
        by_column = zip(self._columns, zip(*self._rows, strict=True), strict=True)
        built = [to_arrow(values, column.type) for column, values in by_column]
        self._rows = []
        self.misfits += sum(misfits for _, misfits in built)
        self._sink(pa.Table.from_arrays([array for array, _ in built], schema=self._schema))


class _TableFile:
    """One table on its way to a Parquet file."""

    def __init__(self, folder: Path, table: str) -> None:
        self._final = folder / f"{table}.parquet"
        self._draft = draft_of(self._final)
        self._file = pq.ParquetWriter(self._draft, arrow_schema(table), compression="zstd")
        self.rows = _Gatherer(table, self._file.write_table)

    def finish(self) -> None:
        """Everything on disk, under a draft's name."""
        self.rows.flush()
        self._file.close()
        sync(self._draft)

    def publish(self) -> None:
        self._draft.replace(self._final)

    def discard(self) -> None:
        self._draft.unlink(missing_ok=True)
