"""Chosen columns of a finished run's tables as numpy arrays, without pandas.

For readers that fold a million rows at once: numbers come as arrays, text as codes into a list of
words, so that nothing is made for every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mdibench.errors import Problem, UserError
from mdibench.record.columns import to_codes, to_floats

Coded = tuple[npt.NDArray[np.int64], list[str]]
"""Codes into words; -1 is null."""
ColumnValues = npt.NDArray[Any] | list[Any] | Coded


def read_columns(
    folder: Path, table: str, names: Sequence[str], where: tuple[str, int] | None = None
) -> dict[str, ColumnValues]:
    """Columns ``names`` of ``table``: those that exist, null as NaN.

    Numbers and truth values are float64 arrays, texts are ``Coded``, lists of numbers are lists.
    ``where`` = (column, value) reads only the rows with that value. A table that is not there has
    no columns; ``UserError`` for a file that is damaged.
    """
    path = folder / f"{table}.parquet"
    if not path.is_file():
        return {}
    try:
        with pq.ParquetFile(path) as file:
            known = [name for name in names if name in file.schema_arrow.names]
            rows = _rows(file, known, where)
    except (OSError, pa.ArrowException) as failure:
        what = f"damaged, cannot be read ({str(failure).splitlines()[0]})"
        raise UserError(Problem(what, str(path))) from None
    return {name: _values(rows.column(name)) for name in known}


def _rows(file: pq.ParquetFile, names: Sequence[str], where: tuple[str, int] | None) -> pa.Table:
    """All rows, or those where a column has a value: from the groups that can hold it."""
    if where is None:
        return file.read(list(names))
    column, value = where
    parts = [
        group.filter(pc.equal(group.column(column), value))
        for number in range(file.num_row_groups)
        if _may_hold(file, number, column, value)
        for group in [file.read_row_group(number, sorted({*names, column}))]
    ]
    return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()


def _may_hold(file: pq.ParquetFile, group: int, column: str, value: int) -> bool:
    place = file.schema_arrow.get_field_index(column)
    statistics = file.metadata.row_group(group).column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= value <= statistics.max)


def _values(column: pa.ChunkedArray) -> ColumnValues:
    if pa.types.is_list(column.type):
        return list(column.to_pylist())
    if pa.types.is_string(column.type):
        return to_codes(column.dictionary_encode())
    return to_floats(column)
