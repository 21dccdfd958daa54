"""The columns of the files are those of the row classes; nothing is told twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from mdibench.core.rows import ROWS
from mdibench.record import schema
from mdibench.record.schema import Field, columns_of
from mdibench.record.stream import LiveWriter
from mdibench.record.tables import arrow_schema


class Every(NamedTuple):
    """A column of every type, nullable or not."""

    count: Annotated[int, "a number"]  # type: ignore[assignment]
    share: Annotated[float | None, "a part; or none"]
    right: Annotated[bool | None, "whether"]
    word: Annotated[str, "a word"]
    many: Annotated[Sequence[int], "numbers"]


class Strange(NamedTuple):
    """A type that no column has."""

    when: Annotated[bytes, "raw"]


def test_a_row_class_says_all_about_its_columns() -> None:
    assert columns_of(Every) == (
        Field("count", "int", False, "a number"),
        Field("share", "float", True, "a part; or none"),
        Field("right", "bool", True, "whether"),
        Field("word", "text", False, "a word"),
        Field("many", "ints", False, "numbers"),
    )


def test_a_type_that_no_column_has_is_refused() -> None:
    with pytest.raises(KeyError, match="bytes"):
        columns_of(Strange)


@pytest.mark.parametrize("table", ROWS)
def test_stream_and_parquet_follow_the_row_classes(table: str, tmp_path: Path) -> None:
    LiveWriter(tmp_path / "live.jsonl").close()
    header = json.loads((tmp_path / "live.jsonl").read_text())
    assert header["tables"][table] == list(ROWS[table]._fields) == schema.names(table)
    stored = arrow_schema(table)
    assert stored.names == list(ROWS[table]._fields)
    assert all(field.nullable for field in stored)
    meanings = [field.metadata[b"meaning"].decode() for field in stored]
    assert meanings == [column.meaning for column in schema.TABLES[table]]
