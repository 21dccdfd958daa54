"""Figures of the monitor as text: short, with their unit, and ``–`` for unknown."""

from __future__ import annotations

import math

from mdibench.monitor.statistics import LEAST_OBSERVATIONS, Share

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
    """Three significant digits: ``0.12``, ``4.56``, ``48.7``, ``312``, ``4.2 k``."""
    if math.isnan(value) or math.isinf(value):
        return UNKNOWN_TEXT
    for size, unit in _STEPS:
        if abs(value) >= max(size, 1e4):
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
