"""The tables of the experiments' page: what is called a difference, out of how many."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from benchmarks.experiments import TOPOLOGIES, Row, verdicts

Cells = dict[tuple[str, ...], list[Row]]


def repeats(scheme: str, place: str, rates: list[float]) -> list[Row]:
    """Repeats whose figure is their bound; no run is needed for it."""
    return [Row((place, scheme), seed, cast(Any, None), r, {}) for seed, r in enumerate(rates)]


def words(cells: Cells, capsys: pytest.CaptureFixture[str]) -> list[str]:
    verdicts(cells, lambda row: row.bound_per_s, 1, 1)
    return re.findall(r"above|below|=", capsys.readouterr().out)


def cells(schemes: int, better: float) -> Cells:
    """MDI-Exit with 10 in every place, and rivals that it beats by ``better`` +- 0.2: p = 0.013."""
    made = {}
    for place in TOPOLOGIES:
        made[place, "mdi-exit"] = repeats("mdi-exit", place, [10, 10, 10])
        for at in range(schemes):
            rates = [10 - better - 0.2, 10 - better, 10 - better + 0.2]
            made[place, f"rival{at}"] = repeats(f"rival{at}", place, rates)
    return made


def test_a_difference_is_significant_among_all_of_its_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = {key: rows for key, rows in cells(1, 1.0).items() if key[0] == "Local"}
    assert words(one, capsys) == ["above"]
    assert words(cells(9, 1.0), capsys) == ["="] * 45
    assert words(cells(9, -30.0), capsys) == ["below"] * 45
