"""The story of one item: its route and the reason of every decision on it.

Made from the item's row in ``items`` and its ``steps``. Every duration is measured on one rank's
clock; what the steps do not cover (transfers, the result's way back) is the rest of the latency.
Called by ``feed``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdibench.monitor.decision_text import StepRow, decision_reason
from mdibench.monitor.facts import RunFacts


@dataclass(frozen=True, slots=True)
class StoryStep:
    """A block computed, a task sent or kept. ``note`` says which, ``reason`` why."""

    t_s: float
    rank: int
    kind: str
    queue: str
    queued_s: float
    duration_s: float
    note: str
    reason: str
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
    steps: tuple[StoryStep, ...]

    @property
    def computed_s(self) -> float:
        """Time in blocks."""
        return sum(c.duration_s for c in self.steps if c.kind == "compute")

    @property
    def waited_input_s(self) -> float:
        """Time in input queues."""
        return sum(c.queued_s for c in self.steps if c.kind == "compute")

    @property
    def waited_output_s(self) -> float:
        """Time in output queues."""
        return sum(c.queued_s for c in self.steps if c.kind != "compute")

    @property
    def elsewhere_s(self) -> float:
        """The rest of the latency: transfers, admission, the result's way back."""
        known_s = self.computed_s + self.waited_input_s + self.waited_output_s
        return max(0.0, self.latency_s - known_s)


def story_of(
    item: int,
    row: Mapping[str, Any] | None,
    steps: Sequence[StepRow],
    facts: RunFacts,
    over: bool = False,
) -> Story:
    """The story of ``item``. ``row`` is ``None`` while the item is in flight.

    Where a run that is ``over`` has neither row nor steps, there is no such item.
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
        steps=tuple(_story_step(step, facts) for step in ordered),
    )


def _known(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and value >= 0 else None


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _path(recorded: str, steps: Sequence[StepRow]) -> tuple[int, ...]:
    if recorded:
        return tuple(int(rank) for rank in recorded.split(">"))
    return tuple(int(step["rank"]) for step in steps if step.get("kind") == "compute")


def _story_step(step: StepRow, facts: RunFacts) -> StoryStep:
    kind, rank = str(step.get("kind") or ""), int(step.get("rank") or 0)
    block, target = int(step.get("block") or 0), _known(step.get("target"))
    notes = {"compute": f"block {block}", "keep": f"τ_{block} → I_{rank}"}
    return StoryStep(
        t_s=_seconds(step.get("t_s")),
        rank=rank,
        kind=kind,
        queue=f"I_{rank}" if kind == "compute" else f"O_{rank}",
        queued_s=float(step.get("queued_s") or 0.0),
        duration_s=float(step.get("duration_s") or 0.0),
        note=notes.get(kind, f"τ_{block} → rank {target}"),
        reason=decision_reason(step, facts),
        target=rank if kind == "keep" else target,
    )
