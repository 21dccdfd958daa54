"""A percentile of a run's latency, for a search that compares it with an objective."""

from __future__ import annotations

import math
from pathlib import Path


def percentile_s(folder: Path, percentile: float) -> float:
    """Latency in seconds below which ``percentile`` % of the window's scheduled items stayed.

    Items that were dropped or lost took for ever; infinity also where there were no items.
    """
    import mdibench
    from mdibench.record.run_folder import read_manifest

    items, window = mdibench.load(folder).items, read_manifest(folder)["window"]
    inside = items["scheduled_s"].between(window["start_s"], window["end_s"], inclusive="left")
    latencies = sorted(items.loc[inside, "latency_s"].fillna(math.inf))
    if not latencies:
        return math.inf
    return float(latencies[math.ceil(percentile / 100 * len(latencies)) - 1])
