"""A manifest that was changed anywhere reads as before or is refused with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mdibench.errors import UserError
from mdibench.record.manifest_schema import parse
from mdibench.record.run_folder import read_manifest
from tests.synthetic_runs import PAIR, manifest


def text(**fields: Any) -> bytes:
    """A whole manifest with some fields changed; ``__`` leads into tables and lists."""
    whole = json.loads(json.dumps(manifest(PAIR)))
    for path, value in fields.items():
        *above, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        place = whole
        for part in above:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"plan__links__0": "x"}, "plan.links.0"),
        ({"plan__links__0__source": 9}, "a link to a rank beyond"),
        ({"model": 1e308}, "model"),
        ({"config__run": float("inf")}, "Infinity"),
        ({"config__run": 7}, "config.run"),
        ({"config__run__warmup_s": "soon"}, "config.run.warmup_s"),
        ({"config__admission__interarrival_s": -1.0}, "config.admission.interarrival_s"),
        ({"ranks__1": float("nan")}, "NaN"),
        ({"ranks__1": "host"}, "ranks.1"),
        ({"plan__devices__0": ...}, "1 devices for 2 ranks"),
        ({"plan__blocks": "all"}, "plan.blocks"),
        ({"plan__blocks__0": [99]}, "a block beyond"),
        ({"seed": 10**400}, "401 digits"),
        ({"window__start_s": []}, "window.start_s"),
        ({"totals__ok": "many"}, "totals.ok"),
        ({"clock_offsets_s": {}}, "clock_offsets_s"),
        ({"warnings": [3]}, "warnings.0"),
    ],
)
def test_what_is_of_a_wrong_kind_is_named(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        parse(text(**fields))


@pytest.mark.parametrize(
    "fields",
    [{}, {"plan": ...}, {"ranks": None}, {"model": ...}, {"later": {"key": 1}},
     {"plan__later": [1]}, {"config__run__later": 1}, {"config__later": {}}, {"config": ...}],
)  # fmt: skip
def test_what_is_missing_or_unknown_does_not_matter(fields: dict[str, Any]) -> None:
    assert parse(text(**fields))


def _places(value: Any, path: str = "") -> Iterator[str]:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in entries:
        yield f"{path}{key}"
        if isinstance(below, (dict, list)):
            yield from _places(below, f"{path}{key}__")


def test_any_change_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    for place in _places(json.loads(text())):
        for value in ("x", 1e308, -1, None, [], {}, [[]], float("nan"), 10**30, True, ...):
            (tmp_path / "run.json").write_bytes(text(**{place: value}))
            try:
                read_manifest(tmp_path)
            except UserError as failure:
                assert str(failure).startswith(f"{tmp_path}/run.json: ")
                assert "\n" not in str(failure)
