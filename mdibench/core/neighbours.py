"""What a worker knows of a neighbour: what it was told, what it has sent, how it is reached."""

from __future__ import annotations

from collections.abc import Set

from mdibench.core.records import Copy, State
from mdibench.policy.algorithms import Candidate


def smoothed(mean: float, value: float, weight: float) -> float:
    """The exponentially weighted mean after one more value; the first value stands for itself."""
    return value if mean == 0.0 else mean + weight * (value - mean)


UNMOVED_STATES = 3
SETTLED_S = 2.0
"""Delivered tasks that so many states do not count, so long after, were refused over there."""


class Neighbour:
    """One neighbour m of worker n, as n sees it.

    ``input_queue`` is |I_m| as m last told it, plus the tasks that n sent and that figure does
    not count yet: m says how many of n's tasks it has ever received, n knows how many it sent.
    """

    __slots__ = (
        "_acknowledged",
        "_candidate",
        "_memory",
        "_recent",
        "_told",
        "_unmoved",
        "delivered_s",
        "gamma_s",
        "heard_s",
        "hop_delay_s",
        "left",
        "ping_pongs",
        "rank",
        "received",
        "sent",
        "spoken_s",
        "suspected",
        "told_queue",
        "told_s",
        "under_way",
    )

    def __init__(self, rank: int, now: float, memory: int) -> None:
        self.rank = rank
        self.told_queue = 0
        self.gamma_s = 0.0
        self.hop_delay_s = 0.0
        self.heard_s = now
        self.told_s = now
        self.spoken_s = now
        self.sent = 0
        self.received = 0
        self.under_way = 0
        self.ping_pongs = 0
        self.suspected = False
        self.left = False
        self._acknowledged = 0
        self._told = (0, 0.0, 0)
        self._candidate: Candidate | None = None
        self._unmoved = 0
        self.delivered_s = now
        self._memory = memory
        self._recent: dict[Copy, None] = {}
        """Copies that it may hold, the latest last."""

    @property
    def input_queue(self) -> int:
        """|I_m| as n believes it."""
        return self.told_queue + self.sent - self._acknowledged

    def as_candidate(self) -> Candidate:
        """What a policy sees of it; made anew only after something changed."""
        if self._candidate is None:
            self._candidate = Candidate(self.rank, self.input_queue, self.gamma_s, self.hop_delay_s)
        return self._candidate

    def hear(self, state: State, now: float) -> None:
        """Take what it told about itself; an overtaken, older message changes nothing."""
        self.heard_s = now
        if state.received < self._acknowledged:
            return
        self._heal(state.received, now)
        self.told_queue = state.input_queue
        self.gamma_s = state.gamma_s
        self._acknowledged = state.received
        self.told_s = now
        self._candidate = None

    def _heal(self, received: int, now: float) -> None:
        """Forget tasks that it does not count although they were delivered long ago: refused ones.

        They would make its queue look longer for ever.
        """
        self.sent = max(self.sent, received)
        if received != self._acknowledged or self.sent == received or self.under_way:
            self._unmoved = 0
            return
        self._unmoved += 1
        if self._unmoved >= UNMOVED_STATES and now - self.delivered_s > self._settled_s:
            self.sent, self._unmoved = received, 0

    @property
    def _settled_s(self) -> float:
        return max(SETTLED_S, 10 * self.hop_delay_s)

    def note_sent(self, copy: Copy) -> None:
        """A task of ``copy`` goes out to it."""
        self.sent += 1
        self.under_way += 1
        self._candidate = None
        self._remember(copy)

    def note_delivered(self, seconds: float, weight: float, now: float) -> None:
        """A task took ``seconds`` to reach it."""
        self.delivered_s = now
        self.hop_delay_s = smoothed(self.hop_delay_s, seconds, weight)
        self._candidate = None

    def needs_telling(self, input_queue: int, gamma_s: float) -> bool:
        """Whether this neighbour believes something else of n's state (Γ by over 5 %).

        It adds the tasks that it sent after n spoke to what n said, so that n must speak up when
        it has dealt with them, even if its queue is as long as before.
        """
        if self.left:
            return False
        told_queue, told_gamma_s, told_received = self._told
        believed = told_queue + self.received - told_received
        return believed != input_queue or abs(told_gamma_s - gamma_s) > 0.05 * told_gamma_s

    def note_told(self, input_queue: int, gamma_s: float, now: float) -> None:
        """Remember what n has just told it, and when."""
        self._told = (input_queue, gamma_s, self.received)
        self.spoken_s = now

    def note_passed(self, copy: Copy) -> None:
        """The result of ``copy`` goes home by it."""
        self._remember(copy)

    def _remember(self, copy: Copy) -> None:
        self._recent.pop(copy, None)
        self._recent[copy] = None
        if len(self._recent) > self._memory:
            del self._recent[next(iter(self._recent))]

    def forget(self, items: Set[int]) -> None:
        """It may hold copies of these items, and nobody needs them any more."""
        for copy in [copy for copy in self._recent if copy[0] in items]:
            del self._recent[copy]

    def summary(self) -> str:
        """What a story says of it."""
        signs = [word for word in ("suspected", "left") if getattr(self, word)]
        return (
            f"{self.rank}: {self.under_way} under way, {self.sent} sent, {self.received} received, "
            f"believed |I_m| {self.input_queue}, heard at {self.heard_s:.6f} s"
            + "".join(f", {word}" for word in signs)
        )

    @property
    def may_hold_items(self) -> bool:
        """Whether n has sent it anything since it last gave up on it."""
        return bool(self._recent)

    def give_up(self) -> tuple[Copy, ...]:
        """Copies whose tasks or results it may hold, as many as can be about at once; told once."""
        copies = tuple(self._recent)
        self._recent.clear()
        return copies
