"""Figures of a link from the times of exchanges."""

from __future__ import annotations

import pytest

from mdibench.cli.probe import probe_table
from mdibench.transport.link_probe import pair_row, size_rows


def exchanges(latency_s: float, bandwidth_bps: float) -> dict[int, list[float]]:
    """Exchanges on a perfect link: the message one way, an answer that takes as long as none."""
    return {
        size: [2 * latency_s + 8 * size / bandwidth_bps + late for late in (0.0, 0.0, 1.0)]
        for size in (1, 1_000_001)
    }


def test_a_perfect_link_shows_its_latency_and_bandwidth() -> None:
    rows = size_rows(0, 1, exchanges(0.002, 50e6))
    pair = pair_row(rows)
    assert (pair.source, pair.target) == (0, 1)
    assert pair.latency_s == pytest.approx(0.002, rel=1e-3)
    assert pair.bandwidth_bps == pytest.approx(50e6, rel=1e-3)
    assert rows[1].latency_s == pytest.approx(0.002 + 8 * 1_000_001 / 50e6, rel=1e-3)


def test_one_late_exchange_does_not_count() -> None:
    rows = size_rows(0, 1, exchanges(0.002, 50e6))
    assert rows[0].latency_s == pytest.approx(rows[0].shortest_s)


def test_noise_beyond_the_bytes_gives_no_bandwidth() -> None:
    rows = size_rows(0, 1, {1: [0.004], 1000: [0.003]})
    assert pair_row(rows).bandwidth_bps is None
    assert probe_table([rows]).splitlines()[1].split() == ["0", "1", "2000", "1000", "n/a"]


def test_the_table_has_a_line_for_each_pair() -> None:
    pairs = [size_rows(a, b, exchanges(0.002, 50e6)) for a, b in ((0, 1), (1, 0))]
    lines = probe_table(pairs).splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["from", "to", "1", "B,", "us", "1000001", "B,", "us", "Mbit/s"]
    assert lines[2].split()[:2] == ["1", "0"]
    assert lines[2].split()[-1] == "50"
