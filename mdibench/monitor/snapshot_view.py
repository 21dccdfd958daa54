"""The snapshot of one moment, made from the tables. Called by ``feed``.

Every figure uses only rows that were known at that moment, so that a replay shows what a live
monitor showed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from mdibench.analysis.shares import Share, percentiles, right_samples
from mdibench.core.rows import EventRow
from mdibench.monitor.columns import Array
from mdibench.monitor.facts import RunFacts
from mdibench.monitor.history import PERCENTILES, PercentileCache, Span, edges_of, history_of
from mdibench.monitor.snapshot import (
    RECENT_S,
    ControlView,
    EventLine,
    ExitView,
    Floats,
    Latency,
    LinkView,
    Mark,
    Quality,
    RankView,
    Signs,
    Snapshot,
    Throughput,
    phase_at,
    state_of,
)
from mdibench.monitor.tables import DROPPED, OK, RankTable, Tables

EVENTS_SHOWN = 500
SLOW_ITEMS = 20
RATE_SPAN_S = 2.0
"""Rates and shares of time of a rank are over this long."""
SPARK_BINS = 10
SPARK_BIN_S = 1.0
STALE_S = 1.0
STALE_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """The moment to show, the span of the charts and the signs of the run's state.

    ``moment_s`` may be later than the newest row (now, in a live run): ages count from it.
    ``span_s`` limits the charts to the time before the moment. ``cache`` only saves work.
    """

    moment_s: float
    end_s: float
    signs: Signs = field(default_factory=Signs)
    span_s: float | None = None
    cache: PercentileCache = field(default_factory=PercentileCache)


def snapshot_at(tables: Tables, facts: RunFacts, request: ViewRequest) -> Snapshot:
    """The snapshot of ``request.moment_s``, independent of how the rows were batched."""
    moment_s = request.moment_s
    horizon_s = min(moment_s, tables.newest_s)
    events = _events(tables, moment_s)
    phase = phase_at(horizon_s, facts.warmup_s, [e for e in tables.events if e.t_s <= moment_s])
    window = _Window.of(tables, facts, horizon_s)
    span = Span(max(0.0, horizon_s - request.span_s) if request.span_s else 0.0, horizon_s)
    edges = edges_of(span, facts.sample_s)
    return Snapshot(
        facts=facts,
        state=state_of(request.signs, phase, tables.newest_s),
        phase=phase,
        t_s=moment_s,
        end_s=request.end_s,
        flow=_flow(tables, facts, window, horizon_s),
        quality=_quality(tables, window),
        latency=_latency(tables, window.measured),
        recent_latency=_latency(tables, np.arange(window.recent, window.now)),
        control=_control(tables, facts, horizon_s),
        ranks=tuple(
            rank_view(tables.ranks[rank], rank, facts, moment_s) for rank in sorted(tables.ranks)
        ),
        exits=_exits(tables, window),
        links=_links(tables, horizon_s),
        history=history_of(tables, edges, horizon_s, request.cache),
        events=events,
        marks=_marks(tables),
        slowest=_slowest(tables, window),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """Rows of ``items``: those measured, the first recent one, and how many are known by now.

    Measured are the items that were due in the measured window, as a report counts them.
    """

    measured: Array
    recent: int
    now: int
    recent_s: float

    @staticmethod
    def of(tables: Tables, facts: RunFacts, horizon_s: float) -> _Window:
        now, (start_s, end_s) = tables.items.known(horizon_s), facts.measured_window
        due_s = tables.items.columns["scheduled_s"][:now]
        measured = np.flatnonzero((due_s >= start_s) & (due_s < end_s))
        recent_s = min(RECENT_S, horizon_s)
        recent = tables.items.known(horizon_s - recent_s) if recent_s < horizon_s else 0
        return _Window(measured, recent, now, recent_s)


def _total(tables: Tables, name: str, count: int) -> int:
    return int(tables.items.columns[name][count - 1]) if count else 0


def _between(tables: Tables, name: str, start: int, stop: int) -> int:
    return _total(tables, name, stop) - _total(tables, name, start)


def _flow(tables: Tables, facts: RunFacts, window: _Window, horizon_s: float) -> Throughput:
    now, recent, seconds = window.now, window.recent, window.recent_s
    completed, dropped = _total(tables, "ok", now), _total(tables, "dropped", now)
    offered, offered_per_s = _offered(tables, now, horizon_s)
    return Throughput(
        offered=offered,
        admitted=offered - dropped,
        completed=completed,
        dropped=dropped,
        lost=_total(tables, "lost", now),
        in_flight=_in_flight(tables, horizon_s),
        offered_per_s=offered_per_s,
        completed_per_s=_between(tables, "ok", recent, now) / seconds if seconds else math.nan,
        mean_per_s=_mean_rate(tables, facts, horizon_s),
    )


def _mean_rate(tables: Tables, facts: RunFacts, horizon_s: float) -> float:
    start_s, end_s = facts.measured_window
    end_s = min(end_s, horizon_s)
    if end_s <= start_s:
        return math.nan
    completed_s = tables.items.columns["completed_s"][: tables.items.known(horizon_s)]
    return np.count_nonzero((completed_s >= start_s) & (completed_s < end_s)) / (end_s - start_s)


def _offered(tables: Tables, ended: int, horizon_s: float) -> tuple[int, float]:
    """Offered so far and per second: as rank 0 reports, at least the items that have ended."""
    source = tables.ranks[0]
    count = source.known(horizon_s)
    reported = source.value("offered", count)
    offered = ended if math.isnan(reported) else max(ended, int(reported))
    return offered, source.slope("offered", count, RECENT_S)


def _in_flight(tables: Tables, horizon_s: float) -> int | None:
    source = tables.ranks[0]
    value = source.value("in_flight", source.known(horizon_s))
    return None if math.isnan(value) else int(value)


def _quality(tables: Tables, window: _Window) -> Quality:
    columns = tables.items.columns

    def share(rows: Array, dropped_too: bool = False) -> Share:
        """A lost item is a wrong one, and so is a dropped one where it counts."""
        if not dropped_too:
            rows = rows[columns["status"][rows] != DROPPED]
        return Share(*right_samples(columns["sample"][rows], columns["right"][rows]))

    return Quality(
        run=share(window.measured),
        recent=share(np.arange(window.recent, window.now)),
        of_offered=share(window.measured, dropped_too=True),
    )


def _latency(tables: Tables, rows: Array) -> Latency:
    columns = tables.items.columns
    latency_s, buckets = columns["latency_s"][rows], columns["bucket"][rows]
    done = ~np.isnan(latency_s)
    if not done.all():
        latency_s, buckets = latency_s[done], buckets[done]
    largest = float(latency_s.max()) if len(latency_s) else math.nan
    p50, p95, p99 = percentiles(latency_s, buckets, PERCENTILES)
    return Latency(p50, p95, p99, largest, len(latency_s))


def _control(tables: Tables, facts: RunFacts, horizon_s: float) -> ControlView:
    source = tables.ranks[0]
    count = source.known(horizon_s)
    queue = source.value("input_queue", count) + source.value("output_queue", count)
    return ControlView(
        mode=facts.mode,
        threshold=source.value("threshold", count),
        interarrival_s=source.value("interarrival_s", count),
        queue=None if math.isnan(queue) else int(queue),
        queue_low=facts.queue_low,
        queue_high=facts.queue_high,
    )


# --- exits, links, events -------------------------------------------------------------------------


def _exits(tables: Tables, window: _Window) -> tuple[ExitView, ...]:
    columns = tables.items.columns
    exit_of, right = columns["exit"][window.measured], columns["right"][window.measured]
    sample, confidence = (columns[name][window.measured] for name in ("sample", "confidence"))
    length = tables.exits + 1
    left = np.bincount(exit_of, minlength=length)
    sure = np.bincount(exit_of, weights=confidence, minlength=length)
    total = int(left[1:].sum())
    return tuple(
        ExitView(
            exit=k,
            left=int(left[k]),
            share=int(left[k]) / total if total else 0.0,
            accuracy=Share(*right_samples(sample[exit_of == k], right[exit_of == k])),
            confidence=float(sure[k] / left[k]) if left[k] else math.nan,
        )
        for k in range(1, length)
    )


def _links(tables: Tables, horizon_s: float) -> LinkView:
    recent_s = min(RECENT_S, horizon_s) or math.nan
    now, before = tables.links.until(horizon_s), tables.links.until(horizon_s - RECENT_S)
    return LinkView(
        tasks=_matrix(now["tasks"]),
        tasks_per_s=_matrix((now["tasks"] - before["tasks"]) / recent_s),
        bytes_per_s=_matrix((now["bytes"] - before["bytes"]) / recent_s),
        hop_delay_s=_matrix(now["hop_delay_s"]),
        ping_pongs=int(now["ping_pongs"].sum()),
    )


def _matrix(values: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, values.tolist()))


def _events(tables: Tables, moment_s: float) -> tuple[EventLine, ...]:
    """The newest events up to the moment, newest last."""
    known = [event for event in tables.events if event.t_s <= moment_s][-EVENTS_SHOWN:]
    return tuple(EventLine(e.t_s, e.rank, e.level, e.kind, e.text) for e in known)


def _marks(tables: Tables) -> tuple[Mark, ...]:
    """The marks of the time line, whatever moment is shown."""
    notable = [Mark(event.t_s, _mark_kind(event)) for event in tables.events]
    columns = tables.items.columns
    failed_s = columns["known_s"][columns["status"] != OK]
    losses = [Mark(t, "loss") for t in np.unique(np.floor(failed_s)).tolist()]
    threshold, times = tables.ranks[0].columns["threshold"], tables.ranks[0].columns["t_s"]
    changed_s = times[1:][np.abs(np.diff(threshold)) > 0]
    changes = [Mark(t, "change") for t in changed_s.tolist()]
    return tuple(sorted((*notable, *losses, *changes), key=lambda mark: mark.t_s))


def _mark_kind(event: EventRow) -> str:
    if event.kind == "phase":
        return "phase"
    return "change" if event.level == "info" else "trouble"


def _slowest(tables: Tables, window: _Window) -> tuple[int, ...]:
    columns = tables.items.columns
    latency_s = columns["latency_s"][window.recent : window.now]
    latency_s = np.where(np.isnan(latency_s), -1.0, latency_s)
    count = min(SLOW_ITEMS, len(latency_s))
    slow = np.argpartition(-latency_s, count - 1)[:count] if count else np.array([], int)
    ordered = slow[np.argsort(-latency_s[slow], kind="stable")]
    items = columns["item"][window.recent : window.now][ordered]
    return tuple(items[latency_s[ordered] >= 0].tolist())


# --- ranks ----------------------------------------------------------------------------------------


def rank_view(table: RankTable, rank: int, facts: RunFacts, moment_s: float) -> RankView:
    """The state of ``rank`` as reported up to ``moment_s``."""
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
        tasks_per_s=table.slope("tasks", count, RATE_SPAN_S),
        sent_per_s=table.slope("sent_bytes", count, RATE_SPAN_S),
        received_per_s=table.slope("received_bytes", count, RATE_SPAN_S),
        exits=tuple(table.whole(f"exit_{k}", count) for k in range(1, table.exits + 1)),
        overruns=table.whole("overruns", count),
        refused=table.whole("refused", count),
        rss_bytes=table.value("rss_bytes", count) or math.nan,
        cpu=table.slope("cpu_s", count, RATE_SPAN_S),
        temperature_c=table.value("temperature_c", count),
        clock_hz=table.value("clock_hz", count),
        throttled=table.value("throttled", count) > 0,
        input_history=_peaks(table, "input_queue", count, moment_s),
        output_history=_peaks(table, "output_queue", count, moment_s),
    )


def _share(table: RankTable, name: str, count: int) -> float:
    """A time counter's increase as a share of time; at most 1: batches count when they end."""
    return float(np.minimum(1.0, table.slope(name, count, RATE_SPAN_S)))


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
