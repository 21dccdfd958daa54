"""One item's way through the network, and why: from its row in ``items`` and its ``steps``.

Durations are each measured on one rank's clock, and none is the difference of two clocks: what
the steps do not cover (transfers, and the result's way home) is what is left of the latency.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdibench.view.because import Step, because, because_kept
from mdibench.view.facts import RunFacts


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


def tell(item: int, row: Mapping[str, Any] | None, steps: Sequence[Step], facts: RunFacts) -> Story:
    """The story of ``item``: ``row`` is ``None`` while it is under way, ``steps`` may be few."""
    row = row or {"status": "in flight"}
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
        chapters=tuple(_chapters(ordered, facts)),
    )


def _known(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and value >= 0 else None


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _path(told: str, steps: Sequence[Step]) -> tuple[int, ...]:
    if told:
        return tuple(int(rank) for rank in told.split(">"))
    return tuple(int(step["rank"]) for step in steps if step.get("kind") == "compute")


def _chapters(steps: Sequence[Step], facts: RunFacts) -> Iterator[Chapter]:
    """A chapter a step, and one wherever a task left O_n for I_n of the same rank.

    Nobody records that move; it shows in that the next block was computed where the task had
    joined O_n, and lasted as long as that rank's own clock says.
    """
    for before, step in zip((None, *steps), steps, strict=False):
        if before is not None and _was_kept(before, step):
            yield _kept(before, step, facts)
        yield _chapter(step, facts)


def _was_kept(before: Step, step: Step) -> bool:
    both_computed = before.get("kind") == step.get("kind") == "compute"
    same_place = all(before.get(name) == step.get(name) for name in ("rank", "attempt"))
    return both_computed and same_place and before.get("verdict") == "output"


def _kept(before: Step, step: Step, facts: RunFacts) -> Chapter:
    rank, block = int(step.get("rank") or 0), int(step.get("block") or 0)
    spent_s = float(step.get("duration_s") or 0.0) + float(step.get("queued_s") or 0.0)
    moved_s = _seconds(step.get("t_s")) - spent_s
    return Chapter(
        t_s=moved_s,
        rank=rank,
        kind="keep",
        queue=f"O_{rank}",
        queued_s=max(0.0, moved_s - _seconds(before.get("t_s"))),
        duration_s=0.0,
        note=f"τ_{block} → I_{rank}",
        why=because_kept(rank, block, facts),
        target=rank,
    )


def _chapter(step: Step, facts: RunFacts) -> Chapter:
    kind, rank = str(step.get("kind") or ""), int(step.get("rank") or 0)
    computed, block = kind == "compute", int(step.get("block") or 0)
    target = step.get("target")
    note = f"block {block}" if computed else f"τ_{block} → rank {target}"
    return Chapter(
        t_s=_seconds(step.get("t_s")),
        rank=rank,
        kind=kind,
        queue=f"I_{rank}" if computed else f"O_{rank}",
        queued_s=float(step.get("queued_s") or 0.0),
        duration_s=float(step.get("duration_s") or 0.0),
        note=note,
        why=because(step, facts),
        target=int(target) if isinstance(target, (int, float)) else None,
    )
