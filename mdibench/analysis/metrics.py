"""The figures of one run over its measured window, each with its interval.

Items count by their *scheduled* arrival: an item belongs to the window when it was due in it,
whether it finished there or in the drain. Completions per second count inside the window alone.
A lost item is a wrong one, and over *offered* items a dropped one is, too; latency percentiles
count both as infinite. An accuracy is the mean over distinct samples, each by the share of its
items that were right: when a data set is sent again and again, its samples do not become more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis import shares, workers
from mdibench.analysis.accuracy import (
    EXIT_COLUMNS,
    ExitFigures,
    Reliability,
    Samples,
    exit_figures,
    mean_error,
    pooled,
    reliability,
)
from mdibench.analysis.series import event_rate, mean_of_series, quantiles, share_of_series
from mdibench.analysis.shares import UNKNOWN, Estimate, Numbers
from mdibench.analysis.workers import LinkFigures, RankFigures, Window, link_figures, rank_figures
from mdibench.record.reader import RunReader

ITEM_NUMBERS = (
    "item", "sample", "correct", "exit", "confidence", "scheduled_s", "admitted_s", "completed_s",
    "latency_s", "hops", "wire_bytes",
)  # fmt: skip

CURVE: tuple[float, ...] = tuple(
    np.round(np.append(np.arange(0, 0.99, 0.01), np.arange(0.99, 1, 0.0005)), 4).tolist()
)


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """The items of a run in order of scheduled arrival, float64 with NaN for null."""

    columns: Mapping[str, Numbers]
    ok: NDArray[np.bool_]
    dropped: NDArray[np.bool_]
    lost: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ok)

    def __getitem__(self, column: str) -> Numbers:
        return self.columns[column]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of the items of the whole run. ``late`` finished after the window's end."""

    offered: int
    admitted: int
    ok: int
    dropped: int
    lost: int
    in_flight: int
    late: int
    duplicates: int
    reruns: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The headline figures, over the measured window."""

    offered_per_s: Estimate
    rate_per_s: Estimate
    goodput_per_s: Estimate
    """Items that were right, within the objective of ``[search]`` where there is one."""
    accuracy: Estimate
    accuracy_offered: Estimate
    latency_mean_s: Estimate
    latency_p50_s: Estimate
    latency_p95_s: Estimate
    latency_p99_s: Estimate
    latency_max_s: Estimate
    mean_exit: Estimate
    flops_per_item: Estimate
    bytes_per_item: Estimate
    hops_per_item: Estimate
    energy_per_item_j: Estimate
    calibration_error: Estimate
    drop_share: Estimate
    lost_share: Estimate
    latency_curve_s: tuple[float, ...]
    """Latency at the shares ``CURVE``, for its distribution function; empty without items."""
    bins: Reliability
    """Of confidence and accuracy, what the calibration error is over."""
    judged: Samples
    """What the accuracy is over, and ``judged_offered`` what that of offered items is over."""
    judged_offered: Samples


@dataclass(frozen=True, slots=True)
class Identity:
    """Which run it is, as far as its manifest says."""

    id: str
    folder: str
    name: str
    label: str
    status: str
    partial: bool
    reason: str
    kind: str
    scheme: str
    model: str
    dataset: str
    topology: str
    placement: str
    mode: str
    ranks: int
    exits: int
    seed: int
    started_utc: str
    group: str
    """Equal for repeats: all that the config fixes but the seed and the place of files. A partial
    run repeats no complete one."""
    shared_host: bool
    """Whether real ranks shared the cores of a host, so that they slowed each other."""

    @property
    def measured_on(self) -> str:
        """The kind of run in full, e.g. ``hardware, shared host``."""
        return f"{self.kind}, shared host" if self.shared_host else self.kind


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in figures. ``bound`` is the manifest's capacity bound, where it has one."""

    identity: Identity
    window: Window
    ledger: Ledger
    measured: Measured
    exits: tuple[ExitFigures, ...]
    ranks: tuple[RankFigures, ...]
    links: tuple[LinkFigures, ...]
    bound_per_s: float
    bound_binding: str


def summarise(reader: RunReader, items: ItemColumns) -> RunSummary:
    """The figures of the run that ``reader`` reads and ``items`` are of."""
    window = measured_window(reader, items)
    identity = _identity(reader)
    ranks = rank_figures(reader, window)
    bound = reader.manifest.get("bound") or {}
    return RunSummary(
        identity=identity,
        window=window,
        ledger=_ledger(reader, items, window),
        measured=_measured(reader.manifest, items, window, ranks),
        exits=_exits(reader.manifest, items, window, identity.exits),
        ranks=ranks,
        links=link_figures(reader, window),
        bound_per_s=float(bound.get("rate_per_s") or math.nan),
        bound_binding=str(bound.get("binding") or ""),
    )


def read_items(reader: RunReader) -> ItemColumns:
    """The items table, ordered by scheduled arrival."""
    columns = reader.numbers("items", ITEM_NUMBERS)
    codes, statuses = reader.texts("items", "status")
    due = columns["scheduled_s"]
    if not (due[:-1] < due[1:]).all():
        order = np.lexsort((columns["item"], due))
        codes = codes[order]
        columns = {name: values[order] for name, values in columns.items()}

    def having(status: str) -> NDArray[np.bool_]:
        return np.equal(codes, statuses.index(status) if status in statuses else -2)

    return ItemColumns(columns, having("ok"), having("dropped"), having("lost"))


def measured_window(reader: RunReader, items: ItemColumns) -> Window:
    """The manifest's window; of a partial run, what is on record of it."""
    window = reader.manifest.get("window") or {}
    start, end = window.get("start_s"), window.get("end_s")
    if start is not None and end is not None and not reader.partial:
        return float(start), float(end)
    times = np.concatenate([items["completed_s"], reader.numbers("telemetry", ["t_s"])["t_s"]])
    last = float(np.nanmax(times)) if np.isfinite(times).any() else 0.0
    last = min(last, float(end)) if end is not None else last
    if start is None:
        section = (reader.manifest.get("config") or {}).get("run") or {}
        start = section.get("warmup_s") or 0.0
    return min(float(start), last), last


def due_in(items: ItemColumns, window: Window) -> NDArray[np.bool_]:
    """Which items were scheduled to arrive in ``window``."""
    scheduled = items["scheduled_s"]
    inside: NDArray[np.bool_] = (scheduled >= window[0]) & (scheduled < window[1])
    return inside


def _measured(
    manifest: dict[str, Any], items: ItemColumns, window: Window, ranks: tuple[RankFigures, ...]
) -> Measured:
    due = due_in(items, window)
    ok = due & items.ok
    latency_s, waited_s = items["latency_s"][ok], waited(items, due)
    rate = _rate_of(items, items.ok, window)
    judged = judged_offered = _judged(manifest, items, due)
    if items.dropped[due].any():
        judged = _judged(manifest, items, due & ~items.dropped)
    ordered_s = np.sort(waited_s)
    p50, p95, p99 = quantiles(waited_s, (0.50, 0.95, 0.99), skewed=True, ordered=ordered_s)
    bins = reliability(items["confidence"][ok], items["correct"][ok])
    finished = rate.n
    return Measured(
        offered_per_s=event_rate(items["scheduled_s"], *window),
        rate_per_s=rate,
        goodput_per_s=_rate_of(items, _good(manifest, items), window),
        accuracy=pooled([judged]),
        accuracy_offered=pooled([judged_offered]),
        latency_mean_s=mean_of_series(latency_s, skewed=True),
        latency_p50_s=p50,
        latency_p95_s=p95,
        latency_p99_s=p99,
        latency_max_s=_largest(waited_s),
        mean_exit=mean_of_series(items["exit"][ok]).within(0.0),
        flops_per_item=_per_item(sum(row.flops for row in ranks), finished),
        bytes_per_item=mean_of_series(items["wire_bytes"][ok]).within(0.0),
        hops_per_item=mean_of_series(items["hops"][ok]).within(0.0),
        energy_per_item_j=_per_item(_energy_j(ranks), int(items.ok.sum())),
        calibration_error=Estimate(mean_error(bins), n=int(ok.sum())),
        drop_share=share_of_series(items.dropped[due]),
        lost_share=share_of_series(items.lost[due]),
        latency_curve_s=_curve(ordered_s),
        bins=bins,
        judged=judged,
        judged_offered=judged_offered,
    )


def waited(items: ItemColumns, over: NDArray[np.bool_]) -> Numbers:
    """Latencies of the items ``over`` that ended: one that was dropped or lost took for ever."""
    ended = over & (items.ok | items.dropped | items.lost)
    return np.where(items.ok, items["latency_s"], math.inf)[ended]


def _rate_of(items: ItemColumns, chosen: NDArray[np.bool_], window: Window) -> Estimate:
    """Completions of ``chosen`` items per second; their arrivals decide it in the long run."""
    return event_rate(items["completed_s"][chosen], *window, items["scheduled_s"][chosen])


def _good(manifest: dict[str, Any], items: ItemColumns) -> NDArray[np.bool_]:
    search = (manifest.get("config") or {}).get("search") or {}
    objective_s = float(search.get("objective_ms") or math.inf) / 1e3
    good: NDArray[np.bool_] = items.ok & (items["correct"] == 1)
    return good & (items["latency_s"] <= objective_s)


def _judged(manifest: dict[str, Any], items: ItemColumns, over: NDArray[np.bool_]) -> Samples:
    """A lost or dropped item is a wrong one; one that is not on record counts for nothing."""
    over = over & (items.ok | items.lost | items.dropped)
    right = np.nan_to_num(np.where(items.ok, items["correct"], 0.0))
    return Samples.of(items["sample"][over], right[over], manifest.get("data") or {})


def _curve(ordered_s: Numbers) -> tuple[float, ...]:
    """The least value with each share of ``CURVE`` up to it."""
    if not ordered_s.size:
        return ()
    ranks = np.ceil(np.round(np.array(CURVE) * ordered_s.size, 9)).astype(np.int64) - 1
    return tuple(ordered_s[np.maximum(ranks, 0)].tolist())


def _energy_j(ranks: tuple[RankFigures, ...]) -> float:
    """Of all hosts; NaN unless each has a meter."""
    known = {row.host: row.energy_j for row in ranks if not math.isnan(row.energy_j)}
    complete = known and {row.host for row in ranks} == set(known)
    return sum(known.values()) if complete else math.nan


def _largest(values: Numbers) -> Estimate:
    return Estimate(float(values.max()), n=int(values.size)) if values.size else UNKNOWN


def _per_item(total: float, items: int) -> Estimate:
    return Estimate(total / items, n=items) if items and total else UNKNOWN


def _exits(
    manifest: dict[str, Any], items: ItemColumns, window: Window, count: int
) -> tuple[ExitFigures, ...]:
    ok = due_in(items, window) & items.ok
    columns = {name: items[name][ok] for name in EXIT_COLUMNS}
    deepest = int(columns["exit"].max()) if ok.any() else 0
    return exit_figures(columns, max(count, deepest), manifest.get("data") or {})


def _ledger(reader: RunReader, items: ItemColumns, window: Window) -> Ledger:
    totals: dict[str, Any] = reader.manifest.get("totals") or {}
    ok, dropped, lost = (int(mask.sum()) for mask in (items.ok, items.dropped, items.lost))
    offered = int(totals.get("offered") or max(len(items), _offered_so_far(reader)))
    return Ledger(
        offered=offered,
        admitted=int(totals.get("admitted") or offered - dropped),
        ok=ok,
        dropped=dropped,
        lost=lost,
        in_flight=max(0, offered - ok - dropped - lost),
        late=int((items["completed_s"] > window[1]).sum()),
        duplicates=int(totals.get("duplicates") or 0),
        reruns=int(totals.get("reruns") or 0),
    )


def _offered_so_far(reader: RunReader) -> int:
    source = workers.telemetry(reader, ("offered",)).get(0)
    known = source.columns["offered"] if source else np.empty(0)
    known = known[np.isfinite(known)]
    return int(known.max()) if known.size else 0


def _identity(reader: RunReader) -> Identity:
    manifest = reader.manifest
    config, plan = manifest.get("config") or {}, manifest.get("plan") or {}
    model, run = config.get("model") or {}, config.get("run") or {}
    return Identity(
        id=reader.id,
        folder=str(reader.folder),
        name=str(manifest.get("name") or run.get("name") or reader.id),
        label=str(manifest.get("label") or run.get("label") or ""),
        status=reader.status,
        partial=reader.partial,
        reason=str(manifest.get("reason") or ""),
        kind=str(manifest.get("kind") or "unknown"),
        scheme=str(manifest.get("scheme") or (config.get("scheme") or {}).get("name") or "unknown"),
        model=str((manifest.get("model") or {}).get("name") or model.get("name") or "unknown"),
        dataset=str(model.get("dataset") or ""),
        topology=str(plan.get("topology") or ""),
        placement=str(plan.get("placement") or ""),
        mode=str((config.get("admission") or {}).get("mode") or ""),
        ranks=int(plan.get("ranks") or 0),
        exits=int(plan.get("exits") or 0),
        seed=int(manifest.get("seed") or 0),
        started_utc=str(manifest.get("started_utc") or ""),
        group=_group(manifest, reader.partial),
        shared_host=bool(shares.crowded_hosts(manifest)),
    )


def _group(manifest: dict[str, Any], partial: bool) -> str:
    config = json.loads(json.dumps(manifest.get("config") or {}))
    run = config.setdefault("run", {})
    for key in ("seed", "results"):
        run.pop(key, None)
    plan = manifest.get("plan") or {}
    facts = [config, manifest.get("kind"), manifest.get("scheme"), plan.get("ranks"), partial]
    return json.dumps([*facts, manifest.get("name"), manifest.get("label")], sort_keys=True)
