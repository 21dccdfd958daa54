"""How the source's controller (algorithms 3 and 4) behaved: settling time and overshoot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

CONTROLLED = {"adapt-rate": "interarrival_s", "adapt-threshold": "threshold"}
"""Which telemetry column of rank 0 a mode of admission moves."""


@dataclass(frozen=True, slots=True)
class Control:
    """A controlled quantity over a run.

    It has settled once it enters, for good, the range that it kept in the run's second half;
    ``settled_s`` is when, NaN where it left that range to the end. ``overshoot`` is the furthest
    it went beyond that range after first reaching it, as a share of its mean there.
    """

    column: str
    start: float
    mean: float
    low: float
    high: float
    settled_s: float
    overshoot: float


def swings(values: Numbers) -> int:
    """How often a series went from one outer quarter of its range to the other and back."""
    known = values[np.isfinite(values)]
    if not known.size or known.max() == known.min():
        return 0
    height = (known - known.min()) / (known.max() - known.min())
    ends = np.where(height <= 0.25, -1, np.where(height >= 0.75, 1, 0))
    ends = ends[ends != 0]
    return int(np.sum(ends[:-1] != ends[1:])) // 2


def control(column: str, t_s: Numbers, values: Numbers) -> Control | None:
    """What became of a controlled quantity; ``None`` with fewer than ten samples."""
    known = np.isfinite(values) & np.isfinite(t_s)
    t_s, values = t_s[known], values[known]
    if values.size < 10:
        return None
    late = values[values.size // 2 :]
    mean, low, high = float(late.mean()), float(late.min()), float(late.max())
    inside = (values >= low) & (values <= high)
    first = int(inside.argmax())
    outside = np.flatnonzero(~inside)
    settled = int(outside[-1]) + 1 if outside.size else 0
    beyond = np.maximum(values[first:] - high, low - values[first:])
    overshoot = max(0.0, float(beyond.max())) / abs(mean) if mean else np.nan
    return Control(column, float(values[0]), mean, low, high, float(t_s[settled]), overshoot)
