"""The view of one worker, from its telemetry."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from mdibench.view.columns import Array
from mdibench.view.facts import RunFacts
from mdibench.view.snapshot import Floats, RankView
from mdibench.view.tables import RankTable

LOOK_BACK_S = 2.0
"""Rates and shares of time of a rank are over this long."""
SPARK_BINS = 10
SPARK_BIN_S = 1.0
STALE_S = 1.0
STALE_SAMPLES = 5


def rank_view(table: RankTable, rank: int, facts: RunFacts, moment_s: float) -> RankView:
    """What ``rank`` had reported at ``moment_s``."""
    count, inside = table.known(moment_s), rank < facts.ranks
    age_s = moment_s - table.value("t_s", count)
    return RankView(
        rank=rank,
        host=facts.hosts[rank] if inside else "",
        device=facts.devices[rank] if inside else "",
        blocks=facts.blocks[rank] if inside else (),
        reported=count > 0,
        age_s=age_s,
        stale=age_s > max(STALE_S, STALE_SAMPLES * facts.sample_s),
        input_queue=table.whole("input_queue", count),
        output_queue=table.whole("output_queue", count),
        busy=_share(table, "busy_s", count),
        send=_share(table, "send_s", count),
        wait=_share(table, "wait_s", count),
        gamma_s=table.value("gamma_s", count) or math.nan,
        tasks=table.whole("tasks", count),
        tasks_per_s=table.slope("tasks", count, LOOK_BACK_S),
        sent_per_s=table.slope("sent_bytes", count, LOOK_BACK_S),
        received_per_s=table.slope("received_bytes", count, LOOK_BACK_S),
        exits=tuple(table.whole(f"exit_{k}", count) for k in range(1, table.exits + 1)),
        overruns=table.whole("overruns", count),
        refused=table.whole("refused", count),
        rss_bytes=table.value("rss_bytes", count) or math.nan,
        cpu=table.slope("cpu_s", count, LOOK_BACK_S),
        input_history=_peaks(table, "input_queue", count, moment_s),
        output_history=_peaks(table, "output_queue", count, moment_s),
    )


def _share(table: RankTable, name: str, count: int) -> float:
    """A time counter's increase as a share of time; batches may be booked a little late."""
    return float(np.minimum(1.0, table.slope(name, count, LOOK_BACK_S)))


def _spark_edges(moment_s: float) -> Array:
    """Edges of the last whole seconds, so that a sparkline moves once a second."""
    last = math.floor(moment_s / SPARK_BIN_S) + 1
    return np.arange(last - SPARK_BINS, last + 1) * SPARK_BIN_S


def _peaks(table: RankTable, name: str, count: int, moment_s: float) -> Floats:
    """The largest sample in each of the last seconds; NaN where there is none."""
    edges = _spark_edges(moment_s)
    places = np.minimum(np.searchsorted(table.columns["t_s"][:count], edges), count)
    values = table.columns[name]
    return tuple(float(values[a:b].max()) if b > a else math.nan for a, b in pairwise(places))
