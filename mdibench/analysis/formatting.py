"""Figures as text: one scaled unit and one number of decimals, so that columns line up.

A cell holds a raw value in base units (seconds, bytes, shares of 1). Not available is never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from mdibench.analysis.shares import LEAST_OBSERVATIONS, Estimate, Share

CellKind = Literal[
    "text", "count", "number", "share", "seconds", "bytes", "per_s", "bit/s", "joules", "Hz", "p"
]
Cell: TypeAlias = str | int | float | Estimate | None

Intervals = Literal["full", "half", "none"]

NOT_AVAILABLE = "n/a"

SCALES: dict[CellKind, tuple[tuple[float, str], ...]] = {
    "text": ((1, ""),),
    "count": ((1, ""),),
    "number": ((1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")),
    "share": ((0.01, "%"),),
    "seconds": ((1e-6, "µs"), (1e-3, "ms"), (1, "s")),
    "bytes": ((1, "B"), (2**10, "KiB"), (2**20, "MiB"), (2**30, "GiB")),
    "per_s": ((1, "/s"),),
    "bit/s": ((1, "bit/s"), (1e3, "kbit/s"), (1e6, "Mbit/s"), (1e9, "Gbit/s")),
    "joules": ((1e-3, "mJ"), (1, "J")),
    "Hz": ((1e6, "MHz"), (1e9, "GHz")),
    "p": ((1, ""),),
}


def format_one(kind: CellKind, cell: Cell, intervals: Intervals = "full") -> str:
    """A single figure with its unit, e.g. ``12.3 ms``."""
    factor, unit = choose_scale(kind, [value_of(cell)])
    text = format_cell(cell, factor, decimals_of(kind, [value_of(cell) / factor]), intervals)
    if text == NOT_AVAILABLE:
        return text
    value, space, interval = text.partition(" ")
    return f"{value} {unit}".strip() + space + interval


def choose_scale(kind: CellKind, values: Sequence[float]) -> tuple[float, str]:
    """The unit in which the typical value of a column reads best: its factor and name."""
    sizes = sorted(abs(v) for v in values if math.isfinite(v) and v)
    typical = sizes[len(sizes) // 2] if sizes else 1.0
    fitting = [scale for scale in SCALES[kind] if typical >= scale[0]]
    return fitting[-1] if fitting else SCALES[kind][0]


def decimals_of(kind: CellKind, values: Sequence[float]) -> int:
    """About three significant digits for the typical value of a column."""
    sizes = sorted(abs(v) for v in values if math.isfinite(v) and v)
    if kind in ("share", "p"):
        return 3 if kind == "p" else 1
    if kind == "count" or not sizes:
        return 0
    typical = sizes[len(sizes) // 2]
    least = 1 if typical < 1000 and kind != "bytes" else 0
    most = 2 if kind == "number" and typical > 0.01 else 3
    return min(most, max(least, 2 - math.floor(math.log10(typical))))


def value_of(cell: Cell) -> float:
    """The number in a cell; NaN for text and for nothing."""
    if isinstance(cell, Estimate):
        return cell.value
    return float(cell) if isinstance(cell, (int, float)) else math.nan


def format_cell(cell: Cell, factor: float, decimals: int, intervals: Intervals) -> str:
    """A cell as text, without its unit."""
    value = value_of(cell) / factor
    if math.isnan(value):
        return cell if isinstance(cell, str) else NOT_AVAILABLE
    text = "∞" if math.isinf(value) else f"{value:,.{decimals}f}"
    if intervals == "none" or not isinstance(cell, Estimate) or math.isnan(cell.low):
        return text
    scaled = cell.scaled(1 / factor)
    spread = _interval if intervals == "full" else _half_width
    return f"{text} {spread(scaled, decimals)}"


def _half_width(estimate: Estimate, decimals: int) -> str:
    """The wider side of the interval."""
    side = max(estimate.value - estimate.low, estimate.high - estimate.value)
    return "±?" if math.isinf(side) else f"±{side:,.{decimals}f}"


def _interval(estimate: Estimate, decimals: int) -> str:
    low = "?" if math.isinf(estimate.low) else f"{estimate.low:,.{decimals}f}"
    high = "?" if math.isinf(estimate.high) else f"{estimate.high:,.{decimals}f}"
    return f"[{low}, {high}]"


# --- live figures: short, of steady width ---

UNKNOWN_TEXT = "–"
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    """A whole number with thousands: ``12,345``; ``1.23 M`` from ten million on."""
    if value is None or math.isnan(value):
        return UNKNOWN_TEXT
    if abs(value) >= 1e7:
        return f"{value / 1e6:,.1f} M"
    return f"{int(value):,}"


def figure(value: float) -> str:
    """Three significant digits: ``0.12``, ``48.7``, ``312``; ``18,312``; ``183 k``."""
    if math.isnan(value) or math.isinf(value):
        return UNKNOWN_TEXT
    for size, unit in _STEPS:
        if abs(value) >= max(size, 1e5):
            return f"{_digits(value / size)} {unit}"
    return _digits(value)


def _digits(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def rate(value: float) -> str:
    """A rate per second, one decimal below a hundred: ``48.7``, ``312``."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.1f}"


def percent(value: float) -> str:
    """A share of one: ``96.2 %``."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    return f"{100 * value:.0f} %" if value >= 0.9995 else f"{100 * value:.1f} %"


def whole_percent(value: float) -> str:
    """A share without decimals: ``71 %``."""
    return UNKNOWN_TEXT if math.isnan(value) else f"{100 * value:.0f} %"


def accuracy(share: Share) -> str:
    """A share of right answers; ``n<30`` where there are too few for a percentage."""
    return f"n<{LEAST_OBSERVATIONS}" if share.few else percent(share.value)


def margin(share: Share) -> str:
    """Half the Wilson interval in points: ``±0.9``."""
    return "" if share.few else f"±{100 * share.margin:.1f}"


def milliseconds(seconds: float) -> str:
    """A short time: ``0.12 ms``, ``83.4 ms``, ``1.20 s``."""
    if math.isnan(seconds):
        return UNKNOWN_TEXT
    if abs(seconds) >= 0.9995:
        return f"{_digits(seconds)} s"
    return f"{bare_milliseconds(seconds)} ms"


def bare_milliseconds(seconds: float) -> str:
    """Milliseconds without their unit."""
    return UNKNOWN_TEXT if math.isnan(seconds) else _digits(seconds * 1e3)


def clock(seconds: float) -> str:
    """Run time: ``00:07``, ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes:02}:{whole % 60:02}"


def bytes_of(value: float) -> str:
    """A size: ``412 B``, ``16.2 KB``, ``3.1 MB`` (powers of 1000)."""
    if math.isnan(value):
        return UNKNOWN_TEXT
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if abs(value) >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{value:.0f} B"
