"""Python values to Arrow arrays and back to numpy, by Arrow's documented memory layout.

``pyarrow.array`` and ``to_numpy`` import pandas wherever it is installed; the rank that writes a
run, and the summary at its end, shall not pay a second and 60 MB for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mdibench.errors import Problem, UserError
from mdibench.record.schema import ColumnType

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "ints": pa.list_(pa.int64()),
    "floats": pa.list_(pa.float64()),
}
ELEMENTS: dict[ColumnType, ColumnType] = {"ints": "int", "floats": "float"}
"""What a list of each kind holds."""


def to_arrow(values: Sequence[Any], kind: ColumnType) -> tuple[pa.Array, int]:
    """``values`` as an array of a column of ``kind``, and how many did not fit and became null."""
    fitting = values
    if not FITS[kind](values):
        fitting = [fit(value, kind) for value in values]
    return BUILDERS[kind](fitting), fitting.count(None) - values.count(None)


def fit(value: Any, kind: ColumnType) -> Any:
    """``value`` as a column of ``kind`` holds it, or ``None`` where it cannot be that."""
    if kind == "text":
        return None if value is None else str(value)
    if kind in ELEMENTS:
        inner = ELEMENTS[kind]
        return [fit(v, inner) or 0 for v in value] if isinstance(value, (list, tuple)) else None
    if not isinstance(value, (bool, int, float)) or value != value:
        return None
    if kind == "float":
        return float(value)
    if value in (float("inf"), float("-inf")) or int(value) != value:
        return None
    if kind == "bool":
        return bool(value)
    return int(value) if -(2**63) <= value < 2**63 else None


# --- Python to Arrow -----------------------------------------------------------------------------


def _all_of(*types: type) -> Callable[[Sequence[Any]], bool]:
    allowed = {*types, type(None)}
    return lambda values: set(map(type, values)) <= allowed


def _lists_of(element: type) -> Callable[[Sequence[Any]], bool]:
    return lambda values: all(
        value is None or (isinstance(value, (list, tuple)) and set(map(type, value)) <= {element})
        for value in values
    )


def _int64s(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    return set(map(type, known)) <= {int} and all(-(2**63) <= v < 2**63 for v in known)


FITS: dict[ColumnType, Callable[[Sequence[Any]], bool]] = {
    "int": _int64s,
    "float": _all_of(float),
    "bool": _all_of(bool),
    "text": _all_of(str),
    "ints": _lists_of(int),
    "floats": _lists_of(float),
}
"""Whether all values are already what a column holds."""


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    if None not in values:
        return None
    return _bits(np.fromiter((value is not None for value in values), np.bool_, len(values)))


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little").tobytes())


def _numbers(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    dtype = np.int64 if kind == "int" else np.float64
    filled = values if None not in values else [0 if v is None else v for v in values]
    data = np.array(filled, dtype)
    buffers = [_validity(values), pa.py_buffer(data.tobytes())]
    return pa.Array.from_buffers(ARROW_TYPES[kind], len(values), buffers)


def _booleans(values: Sequence[Any]) -> pa.Array:
    flags = np.fromiter((value is True for value in values), np.bool_, len(values))
    return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(values), _bits(flags)])


def _texts(values: Sequence[Any]) -> pa.Array:
    parts = [b"" if value is None else value.encode() for value in values]
    buffers = [_validity(values), _offsets(parts), pa.py_buffer(b"".join(parts))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _lists(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    parts = [value or () for value in values]
    inner = _numbers([number for part in parts for number in part], ELEMENTS[kind])
    buffers = [_validity(values), _offsets(parts)]
    return pa.Array.from_buffers(ARROW_TYPES[kind], len(values), buffers, children=[inner])


def _offsets(parts: Sequence[Any]) -> pa.Buffer:
    ends = np.cumsum([0, *map(len, parts)], dtype=np.int32)
    return pa.py_buffer(ends.tobytes())


BUILDERS: dict[ColumnType, Callable[[Sequence[Any]], pa.Array]] = {
    "int": lambda values: _numbers(values, "int"),
    "float": lambda values: _numbers(values, "float"),
    "bool": _booleans,
    "text": _texts,
    "ints": lambda values: _lists(values, "ints"),
    "floats": lambda values: _lists(values, "floats"),
}


# --- Arrow to numpy ------------------------------------------------------------------------------


def to_floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers or truth values as float64 ``[rows]``, null as NaN."""
    parts = [_floats(chunk) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0)


def _floats(chunk: pa.Array) -> NDArray[np.float64]:
    start, end = chunk.offset, chunk.offset + len(chunk)
    valid, data = chunk.buffers()
    if pa.types.is_boolean(chunk.type):
        values = _unpacked(data, end)[start:].astype(np.float64)
    else:
        dtype = np.dtype(chunk.type.to_pandas_dtype())
        values = np.frombuffer(data, dtype, end)[start:].astype(np.float64)
    if valid is not None and chunk.null_count:
        values[~_unpacked(valid, end)[start:]] = np.nan
    return values


def to_codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """A dictionary-encoded column as codes ``[rows]`` (-1 for null) and their texts."""
    unified = column.unify_dictionaries()
    texts = unified.chunk(0).dictionary.to_pylist() if unified.num_chunks else []
    codes = to_floats(pa.chunked_array([chunk.indices for chunk in unified.chunks], pa.int32()))
    return np.nan_to_num(codes, nan=-1).astype(np.int64), texts


def _unpacked(bits: pa.Buffer, count: int) -> NDArray[np.bool_]:
    raw = np.frombuffer(bits, np.uint8)
    return np.unpackbits(raw, count=count, bitorder="little").astype(np.bool_)


# --- stored ------------------------------------------------------------------------------------
# Chosen columns of a finished run's tables as numpy arrays, without pandas.
#
# For readers that fold a million rows at once: numbers come as arrays, text as codes into a list of
# words, so that nothing is made for every row.

CodedText = tuple[npt.NDArray[np.int64], list[str]]
"""Codes into words; -1 is null."""
ColumnValues = npt.NDArray[Any] | list[Any] | CodedText


def read_columns(
    folder: Path, table: str, names: Sequence[str], where: tuple[str, int] | None = None
) -> dict[str, ColumnValues]:
    """Columns ``names`` of ``table``: those that exist, null as NaN.

    Numbers and truth values are float64 arrays, texts ``CodedText``, lists of numbers lists.
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
