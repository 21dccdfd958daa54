"""The story of one item: its route and the reason of every decision on it.

Made from the item's row in ``items`` and its ``steps``. Every duration is measured on one rank's
clock; what the steps do not cover (transfers, the result's way back) is the rest of the latency.

A step's ``verdict`` names the rule that decided. The rule that places a task depends on the scheme,
so that the sentence names the condition of the run's own scheme. Called by ``feed``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdibench.analysis.formatting import milliseconds
from mdibench.monitor.facts import RunFacts
from mdibench.policy import algorithms
from mdibench.policy.schemes import SCHEMES

StepRow = Mapping[str, Any]


def decision_reason(step: StepRow, facts: RunFacts) -> str:
    """The reason of one row of ``steps``; empty where the row has no verdict."""
    verdict = str(step.get("verdict") or "")
    if step.get("kind") == "compute":
        return _after_compute(step, facts, verdict)
    if step.get("kind") == "keep":
        template = _KEPT.get(verdict, verdict)
        return template.format(
            n=step.get("rank"), block=step.get("block"), waiting=_count(step, "input_queue")
        )
    sentence = _SENT.get(verdict)
    return sentence(step, facts) if sentence else verdict


# --- algorithm 1: exit or go on, and into which queue ---------------------------------------------


def _after_compute(step: StepRow, facts: RunFacts, verdict: str) -> str:
    return "; ".join(filter(None, (_why_computed(step), _exit_or_not(step, facts, verdict))))


def _why_computed(step: StepRow) -> str:
    """Why the engine took the task, where that went by prices."""
    price, after = _value(step, "price"), _value(step, "next_price")
    if math.isnan(price - after):
        return ""
    return f"block {step.get('block')} gains most: price {price:.1f} here > {after:.1f} after it"


def _exit_or_not(step: StepRow, facts: RunFacts, verdict: str) -> str:
    block = int(step.get("block") or 0)
    sure, bar = f"C_{block} {_figure(step, 'confidence')}", _figure(step, "threshold")
    if verdict == "exit":
        if _confident(step):
            return f"{sure} ≥ T_e {bar}: leaves at exit {block}"
        return f"{sure}: exit {block} is the last, every item leaves"
    going_on = f"{sure} < T_e {bar}" if not _confident(step) else f"{sure}, no early exits"
    return f"{going_on}; {_queue_choice(step, facts, verdict)}"


def _confident(step: StepRow) -> bool:
    return _value(step, "confidence") >= _value(step, "threshold")


def _queue_choice(step: StepRow, facts: RunFacts, verdict: str) -> str:
    n, following = int(step.get("rank") or 0), int(step.get("block") or 0) + 1
    blocks = facts.blocks[n] if n < len(facts.blocks) else ()
    queue = f"{'I' if verdict == 'input' else 'O'}_{n}"
    if blocks and following not in blocks:
        return f"{queue}: rank {n} does not host block {following}"
    scheme = SCHEMES.get(facts.scheme)
    if scheme is None:
        return queue
    if scheme.place is algorithms.algorithm_1:
        return _algorithm_1(step, facts, n, verdict)
    if scheme.priced:
        return f"{queue}: waits for the engine or a lower price elsewhere"
    if scheme.place is algorithms.always_offer:
        return f"{queue}: {facts.scheme} decides about every task there"
    return f"{queue}: rank {n} hosts block {following}"


def _algorithm_1(step: StepRow, facts: RunFacts, n: int, verdict: str) -> str:
    waiting, going = _count(step, "input_queue"), _count(step, "output_queue")
    limit = facts.output_limit
    if verdict == "output":
        return f"O_{n}: |I_{n}| {waiting} > 0 and |O_{n}| {going} ≤ T_O {limit}"
    if going > limit:
        return f"I_{n}: |O_{n}| {going} > T_O {limit}"
    return f"I_{n}: I_{n} is empty"


# --- algorithm 2 and its rivals: send or keep -----------------------------------------------------


def _waits(step: StepRow) -> tuple[float, float]:
    """w_n = |I_n| Γ_n and w_m = D_nm + |I_m| Γ_m, seconds."""
    own = _value(step, "input_queue") * _value(step, "gamma_s")
    theirs = _value(step, "target_input_queue") * _value(step, "target_gamma_s")
    return own, _value(step, "hop_delay_s") + theirs


def _longer_queue(step: StepRow) -> str:
    n, m = step.get("rank"), step.get("target")
    going, theirs = _count(step, "output_queue"), _count(step, "target_input_queue")
    return f"|O_{n}| {going} > |I_{m}| {theirs}"


def _shorter(step: StepRow, facts: RunFacts) -> str:
    own, theirs = map(milliseconds, _waits(step))
    n, m = step.get("rank"), step.get("target")
    return f"{_longer_queue(step)} and w_{n} {own} > w_{m} {theirs}{_age(step)}"


def _chance(step: StepRow, facts: RunFacts) -> str:
    own, theirs = _waits(step)
    share = f"p = {own / theirs:.2f}" if theirs > 0 else "p = 1"
    n, m = step.get("rank"), step.get("target")
    waits = f"w_{n} {milliseconds(own)} ≤ w_{m} {milliseconds(theirs)}"
    return f"{_longer_queue(step)}; {waits}, sent by chance with {share}{_age(step)}"


def _least(step: StepRow, facts: RunFacts) -> str:
    n, m, block = step.get("rank"), step.get("target"), step.get("block")
    theirs = milliseconds(_waits(step)[1])
    idle = f"I_{n} is empty and rank {n} does not host block {block}"
    return f"{idle}; least wait is w_{m} {theirs}{_age(step)}"


def _host(step: StepRow, facts: RunFacts) -> str:
    m, block = int(step.get("target") or 0), step.get("block")
    hosts = m < len(facts.blocks) and block in facts.blocks[m]
    return f"rank {m} {'hosts' if hosts else 'leads to the host of'} block {block}"


def _random(step: StepRow, facts: RunFacts) -> str:
    return "drawn at random among the hosts"


def _turn(step: StepRow, facts: RunFacts) -> str:
    return "next in turn among the hosts"


def _shortest(step: StepRow, facts: RunFacts) -> str:
    m = step.get("target")
    theirs = _count(step, "target_input_queue")
    return f"|I_{m}| {theirs} is the shortest input queue{_age(step)}"


def _price(step: StepRow, facts: RunFacts) -> str:
    price, there = _value(step, "price"), _value(step, "next_price")
    prices = f"price {price:.1f} here > {there:.1f} at rank {step.get('target')}"
    return f"block {step.get('block')}: {prices}{_age(step)}"


_SENT: Mapping[str, Callable[[StepRow, RunFacts], str]] = {
    "shorter": _shorter,
    "chance": _chance,
    "least": _least,
    "host": _host,
    "random": _random,
    "turn": _turn,
    "shortest": _shortest,
    "price": _price,
}


_KEPT: Mapping[str, str] = {
    "idle": "I_{n} ran empty and rank {n} hosts block {block}: a worker never idles",
    "host": "rank {n} hosts block {block}",
    "random": "drawn at random among the hosts: rank {n} itself",
    "turn": "next in turn among the hosts: rank {n} itself",
    "shortest": "|I_{n}| {waiting} is the shortest input queue: rank {n} itself",
}


def _age(step: StepRow) -> str:
    """The age of the target's figures."""
    age_s = _value(step, "info_age_s")
    return "" if math.isnan(age_s) else f" (known {milliseconds(age_s)} ago)"


def _value(step: StepRow, name: str) -> float:
    value = step.get(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _count(step: StepRow, name: str) -> int:
    value = _value(step, name)
    return 0 if math.isnan(value) else int(value)


def _figure(step: StepRow, name: str) -> str:
    value = _value(step, name)
    return "–" if math.isnan(value) else f"{value:.2f}"


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
