"""A little of every kind of damaged input; ``python -m benchmarks.fuzz`` tries much more."""

from __future__ import annotations

import pytest

from benchmarks.fuzz import KINDS, fuzz


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_damaged_input_ends_in_a_result_or_in_clear_lines(kind: str) -> None:
    tally = fuzz(kind, count=150, seed=2)
    assert tally.faults == 0
    assert tally.read + tally.refused == 150
