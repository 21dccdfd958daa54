"""Single columns of a finished run's Parquet tables, as numpy arrays, without pandas.

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
        filters = [(where[0], "==", where[1])] if where else None
        rows = pq.read_table(path, columns=known, filters=filters)
    except (OSError, pa.ArrowException) as failure:
        raise UserError(Problem(f"cannot be read: {failure}", str(path))) from None
    return {name: _values(rows.column(name)) for name in known}


def _values(column: pa.ChunkedArray) -> ColumnValues:
    if pa.types.is_list(column.type):
        return list(column.to_pylist())
    if pa.types.is_string(column.type):
        return _coded(column)
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy())


def _coded(column: pa.ChunkedArray) -> Coded:
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # no rows at all
        return np.empty(0, np.int64), []
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), [str(word) for word in encoded.dictionary.to_pylist()]


