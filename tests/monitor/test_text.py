import math

import pytest

from mdibench.analysis import formatting
from mdibench.analysis.shares import Share


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (999, "999"), (12345, "12,345"), (12_345_678, "12.3 M"), (None, "–"),
     (math.nan, "–")],
)  # fmt: skip
def test_count(value: float | None, shown: str) -> None:
    assert formatting.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.123, "0.12"), (4.56, "4.56"), (48.71, "48.7"), (312.4, "312"), (9999, "9,999"),
     (12_345, "12,345"), (183_000, "183 k"), (2.5e6, "2.50 M"), (math.nan, "–")],
)  # fmt: skip
def test_figure(value: float, shown: str) -> None:
    assert formatting.figure(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.00012, "0.12 ms"), (0.0834, "83.4 ms"), (0.9996, "1.00 s"), (12.0, "12.0 s"),
     (math.nan, "–")],
)  # fmt: skip
def test_milliseconds(seconds: float, shown: str) -> None:
    assert formatting.milliseconds(seconds) == shown


def test_few_observations_are_no_percentage() -> None:
    assert formatting.accuracy(Share(29, 29)) == "n<30"
    assert formatting.accuracy(Share(29, 30)) == "96.7 %"
    assert formatting.margin(Share(29, 29)) == ""


def test_clock_and_bytes() -> None:
    assert [formatting.clock(s) for s in (0, 59.9, 61, 3661)] == [
        "00:00",
        "00:59",
        "01:01",
        "1:01:01",
    ]
    assert [formatting.bytes_of(b) for b in (412, 16_200, 3.1e6)] == ["412 B", "16.2 KB", "3.10 MB"]
