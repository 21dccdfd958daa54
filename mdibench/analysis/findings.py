"""Input and findings of the checks of a run. Used by ``checks`` and ``steadiness``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mdibench.analysis.metrics import ItemColumns, RunSummary
from mdibench.analysis.shares import Numbers
from mdibench.analysis.workers import Series

Level = Literal["ok", "warning", "invalid"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of a check. ``remedy`` says what to change; empty where the check passed."""

    check: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class CheckInput:
    """The data of a run that the checks use."""

    summary: RunSummary
    items: ItemColumns
    manifest: dict[str, Any]
    source: Series | None
    """Telemetry of rank 0."""
    problems: list[str]

    @property
    def has_ledger(self) -> bool:
        """Whether the items could be read; if not, checks of the ledger report nothing."""
        return all(Path(problem.split(": ")[0]).stem != "items" for problem in self.problems)

    @property
    def ends_known(self) -> bool:
        """Whether the ledger has the end time of every admitted item.

        The time at which an item counts as lost is not recorded.
        """
        whole = self.has_ledger and not self.summary.identity.partial
        return whole and bool(self.items.ok[~self.items.dropped].all())

    @property
    def sampled(self) -> tuple[Numbers, Numbers]:
        """Sample times in the window, and the items in flight that rank 0 reported."""
        if self.source is None:
            return np.empty(0), np.empty(0)
        (start_s, end_s), t_s = self.summary.window, self.source.t_s
        flight = self.source.columns["in_flight"]
        inside = (t_s >= start_s) & (t_s <= end_s) & np.isfinite(flight)
        return t_s[inside], flight[inside]

    def in_flight_at(self, t_s: Numbers) -> Numbers:
        """Items in flight at each of ``t_s``, by the ledger."""
        admitted, ended = self.items["admitted_s"], self.items["completed_s"]
        begun = np.searchsorted(np.sort(admitted[~self.items.dropped]), t_s, "right")
        return (begun - np.searchsorted(np.sort(ended[self.items.ok]), t_s, "right")).astype(float)
