"""Hosts by their boot, not by their name; clocks that differ are told."""

from __future__ import annotations

from mdibench.assembly.manifest import clock_warnings, with_own_names


def test_two_boards_of_one_name_are_two_hosts() -> None:
    ranks = [{"host": "pi", "boot_id": boot} for boot in ("a", "b", "a", "c")]
    assert [facts["host"] for facts in with_own_names(ranks)] == ["pi", "pi#2", "pi", "pi#3"]


def test_clocks_that_differ_between_hosts_are_told() -> None:
    """Run clocks start anywhere: what counts is the time of day at one moment."""
    ranks = [
        {"host": "a", "clock_s": 1000.0},
        {"host": "b", "clock_s": 600.0},
        {"host": "b", "clock_s": 600.0},
        {"host": "c", "clock_s": 999.5},
    ]
    (line,) = clock_warnings(ranks, [0.0, 437.0, 437.0, 0.2])
    assert line.startswith("b: its clock is 37 s ahead of rank 0's")
    assert clock_warnings([{"host": "virtual"}] * 2, [0.0, 0.0]) == []
