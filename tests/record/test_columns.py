"""Arrow arrays by hand: equal to pyarrow's own, whatever the values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.record.columns import ARROW_TYPES, fit, to_arrow, to_codes, to_floats

int64s = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    "int": int64s,
    "float": st.floats(),
    "bool": st.booleans(),
    "text": st.text(),
    "ints": st.lists(int64s, max_size=4),
    "floats": st.lists(st.floats(), max_size=4),
}


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_arrays_are_those_that_pyarrow_makes(kind: Any, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=20))
    array, misfits = to_arrow(values, kind)
    array.validate(full=True)
    expected = pa.array(values, ARROW_TYPES[kind])
    assert misfits == 0
    assert array.null_count == expected.null_count
    assert str(array.to_pylist()) == str(expected.to_pylist())


@given(st.lists(st.none() | int64s | st.floats() | st.booleans() | st.text(), max_size=20))
def test_what_does_not_fit_becomes_null_and_is_counted(values: list[Any]) -> None:
    for kind in VALUES:
        array, misfits = to_arrow(values, kind)
        array.validate(full=True)
        assert misfits == array.null_count - values.count(None)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3.0, "int", 3),
        (2.5, "int", None),
        (2**63, "int", None),
        ("3", "int", None),
        (math.inf, "int", None),
        (math.inf, "float", math.inf),
        (True, "float", 1.0),
        (1, "bool", True),
        ([1, 2.0], "ints", [1, 2]),
        (5, "ints", None),
        ([1, 2.5], "floats", [1.0, 2.5]),
        (None, "text", None),
        (7, "text", "7"),
    ],
)
def test_fit(value: object, kind: Any, expected: object) -> None:
    assert fit(value, kind) == expected


@given(
    st.lists(st.none() | st.floats(allow_nan=False) , max_size=30),
    st.lists(st.none() | st.booleans(), max_size=30),
    st.lists(st.none() | st.integers(-(2**50), 2**50), max_size=30),
    st.integers(0, 5),
)  # fmt: skip
def test_numbers_come_back_with_nan_for_null(
    floats: list[Any], flags: list[Any], whole: list[Any], skip: int
) -> None:
    for values, arrow in ((floats, pa.float64()), (flags, pa.bool_()), (whole, pa.int64())):
        column = pa.chunked_array([pa.array(values, arrow), pa.array(values, arrow)]).slice(skip)
        expected = [math.nan if v is None else float(v) for v in (values + values)[skip:]]
        np.testing.assert_array_equal(to_floats(column), np.array(expected, float))


@given(st.lists(st.none() | st.sampled_from(["ok", "lost", "dropped"]), max_size=30))
def test_texts_come_back_as_codes(values: list[Any]) -> None:
    parts = [pa.array(part, pa.string()).dictionary_encode() for part in (values, values[::-1])]
    codes, texts = to_codes(pa.chunked_array(parts))
    assert [None if code < 0 else texts[code] for code in codes] == values + values[::-1]
