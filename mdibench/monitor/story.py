"""One item's way through the network, and why: from its row in ``items`` and its ``steps``.

Durations are each measured on one rank's clock, and none is the difference of two clocks: what
the steps do not cover (transfers, and the result's way home) is what is left of the latency.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdibench.monitor.decision_text import Step, because
from mdibench.monitor.facts import RunFacts


@dataclass(frozen=True, slots=True)
class Chapter:
    """One step: a block computed, a task sent or kept. ``note`` is the step, ``why`` its reason."""

    t_s: float
    rank: int
    kind: str
    queue: str
    queued_s: float
    duration_s: float
    note: str
    why: str
    target: int | None


@dataclass(frozen=True, slots=True)
class Story:
    """An item from its scheduled arrival to its result. NaN and ``None``: not known (yet)."""

    item: int
    status: str
    reason: str
    label: int | None
    prediction: int | None
    exit: int | None
    scheduled_s: float
    admitted_s: float
    latency_s: float
    hops: int | None
    wire_bytes: int | None
    attempts: int
    path: tuple[int, ...]
    chapters: tuple[Chapter, ...]

    @property
    def computed_s(self) -> float:
        """Time in blocks."""
        return sum(c.duration_s for c in self.chapters if c.kind == "compute")

    @property
    def waited_input_s(self) -> float:
        """Time in input queues."""
        return sum(c.queued_s for c in self.chapters if c.kind == "compute")

    @property
    def waited_output_s(self) -> float:
        """Time in output queues."""
        return sum(c.queued_s for c in self.chapters if c.kind != "compute")

    @property
    def elsewhere_s(self) -> float:
        """What is left of the latency: transfers, admission, the result's way home."""
        known_s = self.computed_s + self.waited_input_s + self.waited_output_s
        return max(0.0, self.latency_s - known_s)


def tell(
    item: int,
    row: Mapping[str, Any] | None,
    steps: Sequence[Step],
    facts: RunFacts,
    over: bool = False,
) -> Story:
    """The story of ``item``: ``row`` is ``None`` while it is under way, ``steps`` may be few.

    Where a run that is ``over`` has neither, there is no such item.
    """
    row = row or {"status": "no such item" if over and not steps else "in flight"}
    ordered = sorted(steps, key=lambda step: (step.get("attempt") or 0, step.get("t_s") or 0.0))
    ended = row["status"] == "ok"
    return Story(
        item=item,
        status=str(row["status"]),
        reason=str(row.get("reason") or ""),
        label=_known(row.get("label")),
        prediction=_known(row.get("prediction")) if ended else None,
        exit=_known(row.get("exit")) if ended else None,
        scheduled_s=_seconds(row.get("scheduled_s")),
        admitted_s=_seconds(row.get("admitted_s")),
        latency_s=_seconds(row.get("latency_s")),
        hops=row.get("hops") if ended else None,
        wire_bytes=row.get("wire_bytes") if ended else None,
        attempts=int(row.get("attempts") or 1),
        path=_path(str(row.get("path") or ""), ordered),
        chapters=tuple(_chapter(step, facts) for step in ordered),
    )


def _known(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and value >= 0 else None


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _path(told: str, steps: Sequence[Step]) -> tuple[int, ...]:
    if told:
        return tuple(int(rank) for rank in told.split(">"))
    return tuple(int(step["rank"]) for step in steps if step.get("kind") == "compute")


def _chapter(step: Step, facts: RunFacts) -> Chapter:
    kind, rank = str(step.get("kind") or ""), int(step.get("rank") or 0)
    block, target = int(step.get("block") or 0), _known(step.get("target"))
    notes = {"compute": f"block {block}", "keep": f"τ_{block} → I_{rank}"}
    return Chapter(
        t_s=_seconds(step.get("t_s")),
        rank=rank,
        kind=kind,
        queue=f"I_{rank}" if kind == "compute" else f"O_{rank}",
        queued_s=float(step.get("queued_s") or 0.0),
        duration_s=float(step.get("duration_s") or 0.0),
        note=notes.get(kind, f"τ_{block} → rank {target}"),
        why=because(step, facts),
        target=rank if kind == "keep" else target,
    )
