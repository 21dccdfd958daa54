"""Rows of the run's files from only those values that a test is about."""

from __future__ import annotations

from typing import Any

from mdibench.core.rows import ROWS, Row


def row_of(table: str, values: dict[str, Any]) -> Row:
    """A row of ``table``: null where ``values`` say nothing; what is no column is left out."""
    row = ROWS[table]
    return row._make(values.get(name) for name in row._fields)
