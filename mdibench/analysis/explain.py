"""Why is two slower than one? What bounds a run, and which link or cut would break even.

The model behind the break-even figures is a pipeline of the source, one link and one more worker,
with the block times and exit shares that the run measured. Its rate is that of its slowest part:
a bound, since queues and the harness only take away from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdibench.analysis.breakdown import BlockTime, Breakdown
from mdibench.analysis.document import format_one
from mdibench.analysis.metrics import RunSummary

BUSY = 0.8
"""Use of a resource from which on it is said to bound the run."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A worker or a link, and the share of the measured window that it was in use."""

    name: str
    used: float


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


def resources(summary: RunSummary) -> list[Resource]:
    """Workers and links by use, the most used first; links of unknown bandwidth are left out."""
    found = [Resource(f"compute on rank {row.rank}", row.split["compute"]) for row in summary.ranks]
    found += [Resource(f"link {row.source} to {row.target}", row.used) for row in summary.links]
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
    link_bps = link_rate(summary, manifest)
    return [
        _cut(after, reach, here, there, _payload_bytes(manifest, after), link_bps, local_s)
        for after in range(1, len(reach) + 1)
    ]


def _cut(
    after: int,
    reach: Sequence[float],
    here: Sequence[float],
    there: Sequence[float],
    payload_bytes: float,
    link_bps: float,
    local_s: float,
) -> Cut:
    source_s = float(np.dot(reach[:after], here[:after]))
    if after == len(reach):
        return Cut(after, source_s, 0.0, 0.0, 1 / source_s, math.nan)
    other_s = float(np.dot(reach[after:], there[after:]))
    bits = 8 * payload_bytes * reach[after]
    slowest_s = float(np.nanmax([source_s, other_s, bits / link_bps]))
    return Cut(after, source_s, other_s, bits / link_bps, 1 / slowest_s, bits / local_s)


def _block_seconds(rows: Sequence[BlockTime], blocks: int, ranks: set[int]) -> list[float]:
    """Mean time of each block on ``ranks``; where those never ran it, on any rank that did."""
    return [_mean_time(rows, k, ranks) for k in range(1, blocks + 1)]


def _mean_time(rows: Sequence[BlockTime], block: int, ranks: set[int]) -> float:
    anywhere = [row for row in rows if row.block == block]
    chosen = [row for row in anywhere if row.rank in ranks] or anywhere
    tasks = sum(row.tasks for row in chosen)
    return sum(row.tasks * row.seconds for row in chosen) / tasks if tasks else math.nan


def _payload_bytes(manifest: dict[str, Any], block: int) -> float:
    blocks = (manifest.get("model") or {}).get("blocks") or []
    return (
        float(blocks[block - 1].get("output_bytes") or math.nan)
        if block <= len(blocks)
        else math.nan
    )


def link_rate(summary: RunSummary, manifest: dict[str, Any]) -> float:
    """Bits per second of the source's links: their set bandwidth, else the rate of a mean hop."""
    links = (manifest.get("plan") or {}).get("links") or []
    known = [link["bandwidth_bps"] for link in links if link.get("bandwidth_bps")]
    if known:
        return float(np.mean(known))
    hops = [row for row in summary.links if row.tasks and row.hop_delay_s > 0]
    if not hops:
        return math.nan
    bits = sum(8 * row.bytes for row in hops) / sum(row.tasks for row in hops)
    return bits / float(np.mean([row.hop_delay_s for row in hops]))


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
            f"With these block times and this link no cut beats the source alone "
            f"({local.rate_per_s:.3g} items/s): two is slower than one."
        )
    link = format_one("bit/s", best.break_even_bps)
    return (
        f"The source alone could carry {local.rate_per_s:.3g} items/s at most; cut after block "
        f"{best.after}, it and one more worker could carry {best.rate_per_s:.3g} items/s. That cut "
        f"breaks even with the source alone at a link of {link}."
    )
