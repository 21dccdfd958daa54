"""The state of a run in one word, from its files and the time since their last row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mdibench.core.rows import EventRow

StateWord = Literal[
    "starting", "warm-up", "running", "draining", "complete", "aborted", "stalled", "failed"
]
RunPhase = Literal["warm-up", "running", "draining"]
STALLED_AFTER_S = 3.0
"""Ranks report every ``sample_s`` (0.2 s by default): a longer silence means that a rank hangs."""
STALLED_AFTER_SAMPLES = 10
OVER = ("complete", "aborted", "failed")


@dataclass(frozen=True, slots=True)
class RunState:
    """State and reason."""

    word: StateWord
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.word in OVER

    @property
    def healthy(self) -> bool:
        """Whether the run neither failed nor stalled."""
        return self.word not in ("aborted", "failed", "stalled")


@dataclass(frozen=True, slots=True)
class Signs:
    """The observable signs of a run's state.

    ``status`` is that of ``run_folder.status`` (``aborted`` where the writer is gone), ``ended``
    the stream's end line, ``silence_s`` the time since the newest record.
    """

    status: str = "running"
    reason: str = ""
    ended: tuple[str, str] | None = None
    silence_s: float = 0.0
    sample_s: float = 0.2


def state_of(signs: Signs, phase: RunPhase, newest_s: float) -> RunState:
    """The state of a run, by the first sign that decides: end line, status, silence."""
    if signs.ended is not None:
        return _final(*signs.ended)
    if signs.status != "running":
        died = "the run died: its writer is gone" if signs.status == "aborted" else ""
        return _final(signs.status, signs.reason or died)
    if signs.silence_s > max(STALLED_AFTER_S, STALLED_AFTER_SAMPLES * signs.sample_s):
        return RunState("stalled", f"no report for {signs.silence_s:.0f} s")
    return RunState("starting" if newest_s <= 0 else phase)


def phase_at(moment_s: float, warmup_s: float, events: Sequence[EventRow]) -> RunPhase:
    """The source's phase at ``moment_s``; ``events`` are those up to that moment."""
    phases = [event.text for event in events if event.kind == "phase"]
    if phases and phases[-1].startswith(("draining", "ended")):
        return "draining"
    warm = moment_s >= warmup_s or any(text.startswith("warm-up over") for text in phases)
    return "running" if warm else "warm-up"


def _final(status: str, reason: str) -> RunState:
    word: StateWord = "aborted"
    if status == "complete":
        word = "complete"
    elif status == "failed":
        word = "failed"
    return RunState(word, reason)
