"""What a worker of scheme ``pressure`` knows of a link: the prices at its end, its time and delay.

Kinds count from 0: kind k - 1 are tasks of block k, the last kind are results.
"""

from __future__ import annotations

from collections import deque
from math import inf

from mdibench.core.neighbours import smoothed
from mdibench.core.records import State

USUAL_HOP_S = 0.001
"""Stands in for a link's delay as long as none was measured."""
LONGEST_WINDOW = 256
"""Most messages that a link gets in advance, whatever was measured of it."""


class PricedLink:
    """One neighbour m, as seen from worker n.

    ``lengths[k]`` and ``ways_s[k]`` are the messages of kind k at m and their distance to the
    finish from there, as m last told; ``unread[k]`` are those that n sent and m had not counted.
    """

    __slots__ = (
        "_acknowledged",
        "_booked",
        "_last_free_s",
        "_shortest_s",
        "_spacing_s",
        "_unread_kinds",
        "_with_link",
        "delay_s",
        "hosts",
        "lengths",
        "told",
        "transmission_s",
        "unread",
        "ways_s",
        "window",
        "work_s",
    )

    def __init__(self, hosts: frozenset[int], kinds: int, window: int) -> None:
        self.hosts = hosts
        """Kinds that m can compute."""
        self.window = window
        self.transmission_s = [0.0] * kinds
        self.delay_s = 0.0
        self._with_link: deque[tuple[int, float]] = deque()
        self._booked: deque[float] = deque()
        self._last_free_s = -inf
        self._shortest_s = inf
        self._spacing_s = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget what m told and was sent: it starts afresh. What the link carries still counts."""
        kinds = len(self.transmission_s)
        self.lengths: tuple[float, ...] = (0.0,) * kinds
        self.ways_s: tuple[float, ...] = (inf,) * kinds
        self.work_s = 0.0
        self.unread = [0] * kinds
        self.told: tuple[float, ...] = ()
        """What n last told m."""
        self._unread_kinds: deque[int] = deque()
        self._acknowledged = 0

    def hear(self, state: State) -> bool:
        """Take m's prices; whether they are news."""
        new = state.received - self._acknowledged
        if not state.prices or new < 0:
            return False
        kinds = len(self.unread)
        self.lengths = state.prices[:kinds]
        self.ways_s = state.prices[kinds:-1]
        self.work_s = state.prices[-1]
        self._acknowledged = state.received
        for _ in range(min(new, len(self._unread_kinds))):
            self.unread[self._unread_kinds.popleft()] -= 1
        return True

    def note_sent(self, kind: int, now: float) -> None:
        """A message of ``kind`` is handed to the link."""
        self.unread[kind] += 1
        self._unread_kinds.append(kind)
        self._with_link.append((kind, now))

    def note_free(self, now: float, weight: float, usual_window: int) -> None:
        """The link took its oldest message in full: how long that took, and what fits in it."""
        kind, handed_s = self._with_link.popleft()
        taken_s = now - max(handed_s, self._last_free_s)
        self.transmission_s[kind] = smoothed(self.transmission_s[kind], taken_s, weight)
        self._booked.append(now - handed_s)
        if self._last_free_s > handed_s:
            self._spacing_s = smoothed(self._spacing_s, taken_s, weight)
        self._last_free_s = now
        self._shortest_s = min(self._shortest_s, now - handed_s)
        if self._spacing_s:
            fits = int(2 * self._shortest_s / self._spacing_s)
            self.window = min(max(usual_window, fits), LONGEST_WINDOW)

    def note_delivered(self, seconds: float, weight: float) -> None:
        """The oldest message that left reached m, ``seconds`` after it was handed over."""
        if self._booked:
            travelled_s = max(seconds - self._booked.popleft(), 1e-6)
            self.delay_s = smoothed(self.delay_s, travelled_s, weight)

    def hop_s(self, kind: int) -> float:
        """Time of a hop, unloaded: the link is busy with the message, which then travels.

        Before a message of the kind was sent, the link counts as fast for it.
        """
        return (self.delay_s or USUAL_HOP_S) + self.transmission_s[kind]
