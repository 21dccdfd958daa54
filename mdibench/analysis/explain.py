"""Why is two slower than one? What bounds a run, and which link or cut would break even.

The model behind the break-even figures is a pipeline of the source, one link and one more worker,
with the block times and exit shares that the run measured. The link is the one out of the source
that carries the cut's feature maps fastest, under its codec. The rate is that of the slowest part:
a bound, since queues and the harness only take away from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdibench.analysis.bound import model_of, ratio_of
from mdibench.analysis.breakdown import BlockTime, Breakdown
from mdibench.analysis.document import format_one
from mdibench.analysis.metrics import RunSummary
from mdibench.analysis.workers import LinkRow
from mdibench.core.records import SOURCE
from mdibench.transport.sizes import task_bytes

BUSY = 0.8
"""Use of a resource from which on it is said to bound the run."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A worker or a link, and the share of the measured window that it was in use."""

    name: str
    used: float


@dataclass(frozen=True, slots=True)
class Way:
    """A link out of the source. ``task_bytes[k-1]`` is the size of a message with task k."""

    rate_bps: float
    task_bytes: Sequence[float]

    def seconds(self, block: int) -> float:
        """Time of one message with task ``block``."""
        return 8 * self.task_bytes[block - 1] / self.rate_bps


@dataclass(frozen=True, slots=True)
class Cut:
    """The network cut after block ``after``: what the source keeps, what the other gets.

    Times are per admitted item (a block that few items reach counts little). ``rate_per_s`` is
    the pipeline's bound, ``break_even_bps`` the link rate below which it loses to no cut at all.
    """

    after: int
    source_s: float
    other_s: float
    link_s: float
    rate_per_s: float
    break_even_bps: float


def resources(summary: RunSummary) -> list[Usage]:
    """Workers and links by use, the most used first; links of unknown bandwidth are left out."""
    found = [Usage(f"compute on rank {row.rank}", row.split["compute"]) for row in summary.ranks]
    found += [Usage(f"link {row.source} to {row.target}", row.used) for row in summary.links]
    known = [resource for resource in found if not math.isnan(resource.used)]
    return sorted(known, key=lambda resource: -resource.used)


def reaching(summary: RunSummary) -> list[float]:
    """Share of the classified items that reached block k, for k from 1."""
    shares = [row.share.value for row in summary.exits]
    return [max(0.0, 1 - sum(shares[:k])) for k in range(len(shares))]


def cuts(summary: RunSummary, steps: Breakdown, manifest: dict[str, Any]) -> list[Cut]:
    """Every way to cut the network between the source and one other worker, no cut included."""
    reach = reaching(summary)
    here = _block_seconds(steps.blocks, len(reach), {0})
    others = {row.rank for row in steps.blocks if row.rank}
    there = _block_seconds(steps.blocks, len(reach), others)
    local_s = float(np.dot(reach, here))
    if not local_s > 0 or min(here, default=0.0) <= 0:  # no times are on record, or null blocks
        return []
    ways = ways_out(summary, manifest)
    found = [_cut(after, reach, here, there, ways) for after in range(1, len(reach))]
    return [*found, Cut(len(reach), local_s, 0.0, 0.0, 1 / local_s, math.nan)]


def _cut(
    after: int,
    reach: Sequence[float],
    here: Sequence[float],
    there: Sequence[float],
    ways: Sequence[Way],
) -> Cut:
    source_s = float(np.dot(reach[:after], here[:after]))
    other_s = float(np.dot(reach[after:], there[after:]))
    link_s = bits = math.nan
    if ways:
        way = min(ways, key=lambda way: way.seconds(after + 1))
        bits = 8 * way.task_bytes[after] * reach[after]
        link_s = bits / way.rate_bps
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


def ways_out(summary: RunSummary, manifest: dict[str, Any]) -> list[Way]:
    """The links that may carry the source's tasks, as far as their rates are known."""
    hops = {row.target: row for row in summary.links if row.source == SOURCE}
    found = []
    for link in (manifest.get("plan") or {}).get("links") or ():
        if link["source"] != SOURCE or not link.get("tasks", True):
            continue
        rate_bps = link.get("bandwidth_bps") or _rate_of_a_hop(hops.get(link["target"]))
        if rate_bps > 0:
            model, codec = model_of(manifest["model"]), link.get("codec", "none")
            found.append(Way(rate_bps, task_bytes(model, codec, ratio_of(manifest))))
    return found


def _rate_of_a_hop(row: LinkRow | None) -> float:
    """Bits per second of a mean task on its way; NaN where none was sent."""
    if row is None or not row.tasks or not row.hop_delay_s > 0:
        return math.nan
    return 8 * row.bytes / row.tasks / row.hop_delay_s


def sentences(summary: RunSummary, steps: Breakdown | None, found: Sequence[Cut]) -> list[str]:
    """The explanation in words."""
    lines = []
    if steps and steps.times:
        lines.append(_where_time_went(steps))
    lines.append(_what_bounds(summary))
    if len(found) > 1:
        lines.append(_what_breaks_even(found))
    return lines


def _where_time_went(steps: Breakdown) -> str:
    mean = steps.times[0]
    order = sorted(mean.parts.items(), key=lambda part: -part[1])
    shares = {name: seconds / mean.latency_s for name, seconds in order if seconds > 0}
    told = [f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.005]
    return (
        f"An average item took {format_one('seconds', mean.latency_s)}: {', '.join(told)} "
        f"(over {mean.items:,} traced items)."
    )


def _what_bounds(summary: RunSummary) -> str:
    found = resources(summary)
    if not found:
        return "Nothing was recorded that could tell what bounds this run."
    first = found[0]
    if first.used >= BUSY:
        return f"Bound by {first.name}, in use {first.used:.0%} of the time."
    return (
        f"No resource was in use for {BUSY:.0%} of the time; the most used is {first.name} "
        f"({first.used:.0%}). The rate is what was offered or admitted, not what it could carry."
    )


def _what_breaks_even(found: Sequence[Cut]) -> str:
    local = found[-1]
    best = max(found, key=lambda cut: cut.rate_per_s)
    if best is local:
        return (
            f"With these block times and links no cut beats the source alone "
            f"({_per_s(local.rate_per_s)}): two is slower than one."
        )
    link = format_one("bit/s", best.break_even_bps)
    return (
        f"The source alone could carry {_per_s(local.rate_per_s)} at most; cut after block "
        f"{best.after}, it and one more worker could carry {_per_s(best.rate_per_s)}. That cut "
        f"breaks even with the source alone at a link of {link}."
    )


def _per_s(items_per_s: float) -> str:
    return format_one("per_s", items_per_s).replace(" /s", " items/s")
