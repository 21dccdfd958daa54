"""Workers and links over the measured window, from telemetry: counters, queues, time split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdibench.analysis.shares import Numbers
from mdibench.record.reader import RunReader

Window = tuple[float, float]

SOURCE = 0
"""Rank of the source in every table."""

COUNTERS = (
    "tasks", "busy_s", "encode_s", "send_s", "wait_s", "sent_bytes", "received_bytes",
    "gossip_bytes", "overruns", "flops", "refused", "cpu_s",
)  # fmt: skip
GAUGES = (
    "input_queue", "output_queue", "rss_bytes", "energy_j", "temperature_c", "clock_hz",
    "throttled",
)  # fmt: skip
STATES = ("compute", "encode", "send", "wait", "idle")


@dataclass(frozen=True, slots=True)
class RankFigures:
    """Worker ``rank`` over the measured window.

    ``split`` are shares of its time by ``STATES`` and sum to 1: of encoding, what did not overlap
    compute. ``energy_j`` is that of its host over the whole run: NaN where nothing measured it, and
    for all but the host's first rank. So are ``temperature_c``, the highest, ``clock_hz``, the
    mean, and ``throttled``, the share of samples before which something slowed the host.
    """

    rank: int
    host: str
    device: str
    blocks: tuple[int, ...]
    tasks: int
    split: Mapping[str, float]
    queue_mean: float
    queue_max: float
    rss_bytes: float
    cpu_share: float
    sent_bytes: float
    received_bytes: float
    gossip_bytes: float
    flops: float
    overruns: float
    refused: float
    energy_j: float
    energy_meter: str
    temperature_c: float
    clock_hz: float
    throttled: float


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """One direction of a link over the measured window. ``used`` is NaN without a known limit."""

    source: int
    target: int
    codec: str
    messages: int
    tasks: int
    bytes: float
    rate_bps: float
    used: float
    hop_delay_s: float
    ping_pongs: int


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one rank or link: ``t_s`` ascending, and the requested columns."""

    t_s: Numbers
    columns: Mapping[str, Numbers]

    def gain(self, column: str, window: Window) -> float:
        """Increase of a cumulative counter in ``window``; it starts from 0 at time 0.

        It restarts from 0 where a simulated worker restarts.
        """
        values = self.columns[column]
        known = np.isfinite(values)
        if not known.any():
            return math.nan
        t_s, x = np.append(0.0, self.t_s[known]), np.append(0.0, values[known])
        steps = np.diff(x)
        gained = np.append(0.0, np.cumsum(np.where(steps < 0, x[1:], steps)))
        before, after = np.interp(window, t_s, gained)
        return float(after - before)

    def inside(self, column: str, window: Window) -> Numbers:
        """Known values of a sampled gauge in ``window``."""
        values = self.columns[column]
        return values[(self.t_s >= window[0]) & (self.t_s <= window[1]) & np.isfinite(values)]


def telemetry(reader: RunReader, columns: tuple[str, ...]) -> dict[int, Series]:
    """Telemetry by rank."""
    numbers = reader.numbers("telemetry", ["t_s", "rank", *columns])
    return {int(key[0]): series for key, series in _split(numbers, ["rank"])}


def _split(numbers: dict[str, Numbers], keys: list[str]) -> Iterator[tuple[Numbers, Series]]:
    """Cut rows into one series per distinct value of ``keys``, ordered by time within."""
    rows = np.column_stack([numbers[key] for key in keys])
    known = np.isfinite(rows).all(axis=1) & np.isfinite(numbers["t_s"])
    for key in np.unique(rows[known], axis=0):
        here = np.flatnonzero(known & (rows == key).all(axis=1))
        here = here[np.argsort(numbers["t_s"][here], kind="stable")]
        columns = {name: values[here] for name, values in numbers.items()}
        yield key, Series(columns["t_s"], columns)


def rank_figures(reader: RunReader, window: Window) -> tuple[RankFigures, ...]:
    """One row per rank that sent telemetry."""
    samples = telemetry(reader, COUNTERS + GAUGES)
    return tuple(_rank_figures(reader.manifest, rank, s, window) for rank, s in samples.items())


def _rank_figures(
    manifest: dict[str, Any], rank: int, series: Series, window: Window
) -> RankFigures:
    plan, facts = manifest.get("plan") or {}, _at(manifest.get("ranks"), rank) or {}
    gain = {name: series.gain(name, window) for name in COUNTERS}
    span_s = max(0.0, min(window[1], float(series.t_s[-1])) - window[0])
    queues = series.inside("input_queue", window) + series.inside("output_queue", window)
    memory = series.columns["rss_bytes"]
    return RankFigures(
        rank=rank,
        host=str(facts.get("host") or _at(plan.get("hosts"), rank) or ""),
        device=str(_at(plan.get("devices"), rank) or facts.get("device") or ""),
        blocks=tuple(_at(plan.get("blocks"), rank) or ()),
        tasks=_count(gain["tasks"]),
        split=_time_split(gain, span_s),
        queue_mean=_mean(queues),
        queue_max=float(queues.max()) if queues.size else math.nan,
        rss_bytes=_largest(memory[memory > 0]),
        cpu_share=gain["cpu_s"] / span_s if span_s else math.nan,
        energy_j=_largest(series.columns["energy_j"]),
        energy_meter=str(facts.get("energy_meter") or ""),
        temperature_c=_largest(series.inside("temperature_c", window)),
        clock_hz=_mean(series.inside("clock_hz", window)),
        throttled=_mean(series.inside("throttled", window)),
        **{name: gain[name] for name in ("sent_bytes", "received_bytes", "gossip_bytes")},
        **{name: gain[name] for name in ("flops", "overruns", "refused")},
    )


def _time_split(gain: Mapping[str, float], span_s: float) -> dict[str, float]:
    if not span_s:
        return dict.fromkeys(STATES, math.nan)
    columns = ("busy_s", "encode_s", "send_s", "wait_s")
    shares = [0.0 if math.isnan(gain[name]) else gain[name] / span_s for name in columns]
    busy, encode, send, wait = shares
    beyond = max(1.0, busy + send + wait)  # samples of the counters are a little beside the window
    busy, send, wait = busy / beyond, send / beyond, wait / beyond
    rest = max(0.0, 1 - busy - send - wait)
    encode = min(encode, rest)
    return dict(zip(STATES, (busy, encode, send, wait, rest - encode), strict=True))


def link_figures(reader: RunReader, window: Window) -> tuple[LinkFigures, ...]:
    """One row per direction of a link that was sampled."""
    columns = ["t_s", "source", "target", "messages", "tasks", "bytes", "hop_delay_s", "ping_pongs"]
    numbers = reader.numbers("links", columns)
    plan = reader.manifest.get("plan") or {}
    known = {(link.get("source"), link.get("target")): link for link in plan.get("links") or ()}
    return tuple(
        _link_figures(known.get((int(key[0]), int(key[1])), {}), key, series, window)
        for key, series in _split(numbers, ["source", "target"])
    )


def _link_figures(
    facts: dict[str, Any], key: Numbers, series: Series, window: Window
) -> LinkFigures:
    size = series.gain("bytes", window)
    span_s = max(0.0, min(window[1], float(series.t_s[-1])) - window[0])
    rate_bps = 8 * size / span_s if span_s else math.nan
    delays = series.inside("hop_delay_s", window)
    return LinkFigures(
        source=int(key[0]),
        target=int(key[1]),
        codec=str(facts.get("codec") or ""),
        messages=_count(series.gain("messages", window)),
        tasks=_count(series.gain("tasks", window)),
        bytes=size,
        rate_bps=rate_bps,
        used=_share(rate_bps / (_known(facts.get("bandwidth_bps")) or math.nan)),
        hop_delay_s=_mean(delays),
        ping_pongs=_count(series.gain("ping_pongs", window)),
    )


def _at(values: Any, index: int) -> Any:
    """``values[index]`` of a manifest's list; ``None`` where it is too short or not a list."""
    return values[index] if isinstance(values, list) and index < len(values) else None


def _largest(values: Numbers) -> float:
    """The largest known value; NaN where none is known."""
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else math.nan


def _share(value: float) -> float:
    """At most 1: samples of a counter are a little beside the window. NaN stays NaN."""
    return 1.0 if value > 1 else value


def _mean(values: Numbers) -> float:
    return float(values.mean()) if values.size else math.nan


def _known(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _count(value: float) -> int:
    return 0 if math.isnan(value) else round(value)
