"""Where the time of an average item went, what limits a run, and which cut would break even.

The breakdown comes from the ``steps`` of traced items. Clocks of two ranks are never subtracted:
waiting and computing are durations that one rank measured, latency is the source's, and moving is
the rest of it.

The break-even figures model a pipeline of the source, one link and one more worker, with the block
times and exit shares that the run measured. The link is the one out of the source that carries the
cut's feature maps fastest, under its codec. The rate is that of the slowest part: an upper bound,
since queues and the harness only reduce it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.analysis.formatting import format_one
from mdibench.analysis.metrics import RunSummary, due_in, read_items
from mdibench.analysis.shares import Numbers
from mdibench.analysis.workers import SOURCE, LinkFigures, Window
from mdibench.codec.codecs import task_bytes
from mdibench.record.reader import RunReader

LATENCY_PARTS = ("admission", "input queue", "compute", "output queue", "moving")
"""Parts of an item's latency, in order. Moving: codec, transfers and the result's way back."""

BUSY = 0.8
"""Use of a resource from which on it is reported to limit the run."""

STEP_NUMBERS = (
    "rank", "item", "block", "queued_s", "duration_s", "target", "info_age_s", "payload_bytes",
    "batch",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ItemTime:
    """Mean seconds by ``LATENCY_PARTS`` of the traced items that left at ``exit`` (0: all)."""

    exit: int
    items: int
    parts: Mapping[str, float]

    @property
    def latency_s(self) -> float:
        """Their sum, the mean latency."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class BlockTime:
    """Mean seconds of one task of ``block`` on ``rank``, and how many were traced."""

    block: int
    rank: int
    tasks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Decisions:
    """Offloads of traced tasks: number by rule, number by pair of ranks, age of the information."""

    rules: Mapping[str, int]
    matrix: NDArray[np.int64]
    """``[source, target]`` tasks sent."""
    info_age_s: tuple[float, float]
    """Median and 95th percentile; NaN where nothing was sent."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The evaluation of a run's steps."""

    times: tuple[ItemTime, ...]
    blocks: tuple[BlockTime, ...]
    decisions: Decisions


@dataclass(frozen=True, slots=True)
class _Steps:
    """Columns of the table, with one mask per kind of step."""

    columns: Mapping[str, Numbers]
    computes: NDArray[np.bool_]
    sends: NDArray[np.bool_]
    keeps: NDArray[np.bool_]
    verdicts: NDArray[np.int64]
    verdict_names: list[str]

    def sums(self, of: str, chosen: NDArray[np.bool_], items: int) -> Numbers:
        """Sum of a column by item, over some of the steps."""
        at = self.columns["item"][chosen].astype(np.int64)
        values = np.nan_to_num(self.columns[of][chosen])
        return np.bincount(at, values, minlength=items).astype(np.float64)


def break_down(reader: RunReader, window: Window, ranks: int) -> Breakdown | None:
    """The breakdown of a run over its measured window; ``None`` where no step was recorded."""
    steps = _read(reader)
    if not steps.computes.any():
        return None
    times = _item_times(reader, steps, window)
    return Breakdown(times, _block_times(steps), _decisions(steps, ranks))


def _read(reader: RunReader) -> _Steps:
    columns = reader.numbers("steps", STEP_NUMBERS)
    kinds, names = reader.texts("steps", "kind")
    verdicts, verdict_names = reader.texts("steps", "verdict")
    known = np.isfinite(columns["item"]) & (columns["item"] >= 0)

    def of(kind: str) -> NDArray[np.bool_]:
        code = names.index(kind) if kind in names else -2
        return np.equal(kinds, code) & known

    return _Steps(columns, of("compute"), of("send"), of("keep"), verdicts, verdict_names)


def _item_times(reader: RunReader, steps: _Steps, window: Window) -> tuple[ItemTime, ...]:
    items = read_items(reader)
    chosen = due_in(items, window) & items.ok
    ids = items["item"][chosen].astype(np.int64)
    room = int(max(ids.max(initial=0), steps.columns["item"].max(initial=0))) + 1
    traced = np.bincount(steps.columns["item"][steps.computes].astype(np.int64), minlength=room)
    seen = traced[ids] > 0
    ids = ids[seen]
    parts = {
        "admission": (items["admitted_s"] - items["scheduled_s"])[chosen][seen],
        "input queue": steps.sums("queued_s", steps.computes, room)[ids],
        "compute": steps.sums("duration_s", steps.computes, room)[ids],
        "output queue": steps.sums("queued_s", steps.sends | steps.keeps, room)[ids],
    }
    latency_s, exits = items["latency_s"][chosen][seen], items["exit"][chosen][seen]
    parts["moving"] = np.maximum(latency_s - sum(parts.values()), 0.0)
    rows = [_item_time(0, parts, np.ones(len(ids), np.bool_))]
    rows += [_item_time(int(k), parts, exits == k) for k in np.unique(exits)]
    return tuple(row for row in rows if row.items)


def _item_time(exit_: int, parts: Mapping[str, Numbers], here: NDArray[np.bool_]) -> ItemTime:
    n = int(here.sum())
    means = {name: float(values[here].mean()) if n else np.nan for name, values in parts.items()}
    return ItemTime(exit_, n, means)


def _block_times(steps: _Steps) -> tuple[BlockTime, ...]:
    blocks, ranks = steps.columns["block"][steps.computes], steps.columns["rank"][steps.computes]
    together = np.nan_to_num(steps.columns["batch"][steps.computes], nan=1.0)
    seconds = steps.columns["duration_s"][steps.computes] / together
    wide = int(np.nan_to_num(ranks).max()) + 1
    at = (np.nan_to_num(blocks) * wide + np.nan_to_num(ranks)).astype(np.int64)
    tasks = np.bincount(at)
    sums = np.bincount(at, np.nan_to_num(seconds))
    return tuple(
        BlockTime(int(key) // wide, int(key) % wide, int(tasks[key]), float(sums[key] / tasks[key]))
        for key in np.flatnonzero(tasks)
    )


def _decisions(steps: _Steps, ranks: int) -> Decisions:
    source, target = steps.columns["rank"][steps.sends], steps.columns["target"][steps.sends]
    known = np.isfinite(source) & np.isfinite(target)
    size = int(max(ranks - 1, source.max(initial=0), np.nan_to_num(target).max(initial=0))) + 1
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (source[known].astype(np.int64), target[known].astype(np.int64)), 1)
    codes = steps.verdicts[steps.sends]
    counts = np.bincount(codes[codes >= 0], minlength=len(steps.verdict_names))
    rules = {name: int(n) for name, n in zip(steps.verdict_names, counts, strict=True) if n}
    ages = steps.columns["info_age_s"][steps.sends]
    ages = ages[np.isfinite(ages)]
    spread = np.quantile(ages, (0.5, 0.95)) if ages.size else (np.nan, np.nan)
    return Decisions(rules, matrix, (float(spread[0]), float(spread[1])))


# --- resources and cuts ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """A worker or a link, and the share of the measured window that it was in use."""

    name: str
    used: float
    subject: str
    """With ``verb``, what it does: "rank 0", "computes"."""
    verb: str

    @property
    def in_words(self) -> str:
        """For instance "rank 0 computes 97 % of the time"."""
        return f"{self.subject} {self.verb} {100 * self.used:.0f} % of the time"


@dataclass(frozen=True, slots=True)
class SourceLink:
    """A link out of the source. ``task_bytes[k-1]`` is the size of a message with task k."""

    rate_bps: float
    task_bytes: Sequence[float]

    def seconds(self, block: int) -> float:
        """Time of one message with task ``block``."""
        return 8 * self.task_bytes[block - 1] / self.rate_bps


@dataclass(frozen=True, slots=True)
class Cut:
    """The network cut after block ``after``; the source computes the blocks before the cut.

    Times are per admitted item (a block that few items reach counts little). ``rate_per_s`` is
    the pipeline's bound, ``break_even_bps`` the link rate below which the source alone is faster.
    """

    after: int
    source_s: float
    other_s: float
    link_s: float
    rate_per_s: float
    break_even_bps: float


def resources(summary: RunSummary) -> list[Usage]:
    """Workers and links by use, the most used first; links of unknown bandwidth are left out."""
    found = [
        Usage(f"compute on rank {row.rank}", row.split["compute"], f"rank {row.rank}", "computes")
        for row in summary.ranks
    ]
    for row in summary.links:
        name = f"link {row.source} to {row.target}"
        found.append(Usage(name, row.used, f"the {name}", "carries data"))
    known = [resource for resource in found if not math.isnan(resource.used)]
    return sorted(known, key=lambda resource: -resource.used)


def reaching(summary: RunSummary) -> list[float]:
    """Share of the classified items that reached block k, for k from 1."""
    shares = [row.share.value for row in summary.exits]
    return [max(0.0, 1 - sum(shares[:k])) for k in range(len(shares))]


def cuts(summary: RunSummary, steps: Breakdown, manifest: dict[str, Any]) -> list[Cut]:
    """Every cut of the network between the source and one other worker, no cut included."""
    reach = reaching(summary)
    here = _block_seconds(steps.blocks, len(reach), {0})
    others = {row.rank for row in steps.blocks if row.rank}
    there = _block_seconds(steps.blocks, len(reach), others)
    local_s = float(np.dot(reach, here))
    if not local_s > 0 or min(here, default=0.0) <= 0:  # no recorded times, or null blocks
        return []
    links = source_links(summary, manifest)
    found = [_cut(after, reach, here, there, links) for after in range(1, len(reach))]
    return [*found, Cut(len(reach), local_s, 0.0, 0.0, 1 / local_s, math.nan)]


def _cut(
    after: int,
    reach: Sequence[float],
    here: Sequence[float],
    there: Sequence[float],
    links: Sequence[SourceLink],
) -> Cut:
    source_s = float(np.dot(reach[:after], here[:after]))
    other_s = float(np.dot(reach[after:], there[after:]))
    link_s = bits = math.nan
    if links:
        link = min(links, key=lambda link: link.seconds(after + 1))
        bits = 8 * link.task_bytes[after] * reach[after]
        link_s = bits / link.rate_bps
    slowest_s = float(np.nanmax([source_s, other_s, link_s]))
    return Cut(after, source_s, other_s, link_s, 1 / slowest_s, bits / float(np.dot(reach, here)))


def _block_seconds(rows: Sequence[BlockTime], blocks: int, ranks: set[int]) -> list[float]:
    """Mean time of each block on ``ranks``; where those never ran it, on any rank that did."""
    return [_mean_time(rows, k, ranks) for k in range(1, blocks + 1)]


def _mean_time(rows: Sequence[BlockTime], block: int, ranks: set[int]) -> float:
    anywhere = [row for row in rows if row.block == block]
    chosen = [row for row in anywhere if row.rank in ranks] or anywhere
    tasks = sum(row.tasks for row in chosen)
    return sum(row.tasks * row.seconds for row in chosen) / tasks if tasks else math.nan


def source_links(summary: RunSummary, manifest: dict[str, Any]) -> list[SourceLink]:
    """The links that may carry the source's tasks, as far as their rates are known."""
    from mdibench.bounds.inputs import model_of, ratio_of  # imports a solver

    hops = {row.target: row for row in summary.links if row.source == SOURCE}
    found = []
    for link in (manifest.get("plan") or {}).get("links") or ():
        if link["source"] != SOURCE or not link.get("tasks", True):
            continue
        rate_bps = link.get("bandwidth_bps") or _rate_of_a_hop(hops.get(link["target"]))
        if rate_bps > 0:
            model, codec = model_of(manifest["model"]), link.get("codec", "none")
            found.append(SourceLink(rate_bps, task_bytes(model, codec, ratio_of(manifest))))
    return found


def _rate_of_a_hop(row: LinkFigures | None) -> float:
    """Bits per second of an average task on its hop; NaN where none was sent."""
    if row is None or not row.tasks or not row.hop_delay_s > 0:
        return math.nan
    return 8 * row.bytes / row.tasks / row.hop_delay_s


def sentences(summary: RunSummary, steps: Breakdown | None, found: Sequence[Cut]) -> list[str]:
    """The explanation in words."""
    lines = []
    if steps and steps.times:
        lines.append(_time_sentence(steps))
    lines.append(_limit_sentence(summary))
    if len(found) > 1:
        lines.append(_break_even_sentence(found))
    return lines


def _time_sentence(steps: Breakdown) -> str:
    mean = steps.times[0]
    order = sorted(mean.parts.items(), key=lambda part: -part[1])
    shares = {name: seconds / mean.latency_s for name, seconds in order if seconds > 0}
    parts = [f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.005]
    return (
        f"An average item took {format_one('seconds', mean.latency_s)}: {', '.join(parts)} "
        f"(over {mean.items:,} traced items)."
    )


def _limit_sentence(summary: RunSummary) -> str:
    found = resources(summary)
    if not found:
        return "The records do not show what limits this run."
    first = found[0]
    if first.used >= BUSY:
        return f"Limited by {first.name}, in use {first.used:.0%} of the time."
    return (
        f"No resource was in use for {BUSY:.0%} of the time; the most used is {first.name} "
        f"({first.used:.0%}). The rate is what was offered or admitted, not the capacity."
    )


def _break_even_sentence(found: Sequence[Cut]) -> str:
    local = found[-1]
    best = max(found, key=lambda cut: cut.rate_per_s)
    if best is local:
        return (
            f"With these block times and links no cut beats the source alone "
            f"({_per_s(local.rate_per_s)}): two workers are slower than one."
        )
    link = format_one("bit/s", best.break_even_bps)
    return (
        f"The source alone reaches {_per_s(local.rate_per_s)} at most; cut after block "
        f"{best.after}, it and one more worker reach {_per_s(best.rate_per_s)}. That cut "
        f"breaks even with the source alone at a link of {link}."
    )


def _per_s(items_per_s: float) -> str:
    return format_one("per_s", items_per_s).replace(" /s", " items/s")
