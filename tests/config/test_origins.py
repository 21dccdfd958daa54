"""The line scanner against tomli, on documents made of every way to write a key."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from mdibench.config.origins import key_lines

BARE = "abcXYZ_-019"
bare_keys = st.text(BARE, min_size=1, max_size=4)
quoted_keys = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=4)
SCALARS = st.sampled_from(
    [
        "1",
        "-2.5e3",
        "true",
        "nan",
        "1979-05-27 07:32:00",
        "1979-05-27T07:32:00.5-07:00",
        '"a # [no] {comment} \\" = \\\\"',
        "'C:\\ # raw'",
        '"""\n two\\" lines # ] """',
        '"""ends in quotes"""""',
        "'''\nraw ] }\n\n'''",
        '""',
        "[]",
        "{}",
        "[ # comment ]\n\n]",
    ]
)
BLANKS = st.sampled_from(["", "\n", "  \n\t\n", "# [a] = 3\n", "\r\n"])


def written(key: str) -> str:
    """A key as TOML: bare where it can be, else quoted."""
    if key and set(key) <= set(BARE):
        return key
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def values(depth: int) -> st.SearchStrategy[str]:
    """The text of a value, lists over several lines and inline tables included."""
    if depth == 0:
        return SCALARS
    inner = values(depth - 1)
    lists = st.tuples(st.lists(inner, max_size=3), st.sampled_from([", ", ",\n  ", " # x ]\n,"]))
    tables = st.dictionaries(bare_keys | quoted_keys, inner, max_size=3)
    return st.one_of(
        SCALARS,
        lists.map(lambda pair: "[" + pair[1].join(pair[0]) + "]"),
        tables.map(
            lambda table: "{ " + ", ".join(f"{written(k)} = {v}" for k, v in table.items()) + " }"
        ),
    )


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Tables, arrays of tables, dotted keys: some of them no TOML because of key clashes."""
    text = draw(BLANKS)
    keys = st.lists(bare_keys | quoted_keys, min_size=1, max_size=3)
    for _ in range(draw(st.integers(0, 4))):
        header = ".".join(written(key) for key in draw(keys))
        text += draw(st.sampled_from([f"[{header}]", f"[[{header}]]", f"[ {header} ]"])) + "\n"
        for _ in range(draw(st.integers(0, 3))):
            path = draw(st.sampled_from([".", " . "])).join(written(key) for key in draw(keys))
            text += draw(BLANKS) + f"{path} = {draw(values(2))}  # end\n"
    return text


def paths(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Every path in parsed data."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found: set[tuple[Any, ...]] = set()
    for step, inner in steps:
        found.add((*path, step))
        if isinstance(inner, (dict, list)):
            found |= paths(inner, (*path, step))
    return found


@pytest.mark.slow
@given(documents())
def test_finds_exactly_the_paths_that_tomli_finds(text: str) -> None:
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert set(key_lines(text)) == paths(data)


@pytest.mark.slow
@given(documents(), st.integers(0, 5))
def test_a_line_on_top_moves_every_line_by_one(text: str, more: int) -> None:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    moved = key_lines("\n" * more + text)
    assert moved == {path: line + more for path, line in key_lines(text).items()}


@pytest.mark.slow
@given(st.lists(st.tuples(BLANKS, values(2)), max_size=6))
def test_each_key_is_on_the_line_where_it_was_written(entries: list[tuple[str, str]]) -> None:
    text, expected = "", {}
    for number, (blank, value) in enumerate(entries):
        text += blank
        expected[(f"key{number}",)] = text.count("\n") + 1
        text += f"key{number} = {value}\n"
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:  # an inline table may hold a key twice
        return
    lines = key_lines(text)
    assert {path: line for path, line in lines.items() if len(path) == 1} == expected


def test_tables_and_elements_by_hand() -> None:
    text = '[a]\n"b c".d = [\n  1, {e = 2},\n]\n[[f]]\ng = 1\n[[f]]\n[f.h]\n'
    assert key_lines(text) == {
        ("a",): 1,
        ("a", "b c"): 2,
        ("a", "b c", "d"): 2,
        ("a", "b c", "d", 0): 3,
        ("a", "b c", "d", 1): 3,
        ("a", "b c", "d", 1, "e"): 3,
        ("f",): 5,
        ("f", 0): 5,
        ("f", 0, "g"): 6,
        ("f", 1): 7,
        ("f", 1, "h"): 8,
    }
