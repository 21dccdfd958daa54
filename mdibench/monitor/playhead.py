"""The moment of a run that is on the screen: the newest one, or a selected one.

Frozen, and without a clock: ``advanced`` gets the elapsed time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True, slots=True)
class Playhead:
    """``at_s`` is ``None`` while the newest moment is followed."""

    at_s: float | None = None
    playing: bool = True
    speed: float = 1.0

    @property
    def following(self) -> bool:
        """Whether the newest moment is shown as it comes."""
        return self.at_s is None and self.playing

    def moment_s(self, end_s: float) -> float:
        """The moment to show when ``end_s`` is the newest one."""
        return end_s if self.at_s is None else min(self.at_s, end_s)

    def advanced(self, seconds: float, end_s: float, live: bool) -> Playhead:
        """After ``seconds`` of playing. At the newest moment, only a live run goes on."""
        if self.at_s is None or not self.playing:
            return self
        at_s = self.at_s + seconds * self.speed
        if at_s < end_s:
            return replace(self, at_s=at_s)
        return replace(self, at_s=None, playing=live)

    def toggled(self, end_s: float, live: bool) -> Playhead:
        """Pause, or go on; at the end of a finished run, start over."""
        if self.playing and self.at_s is None and not live:
            return replace(self, at_s=0.0)
        if self.playing:
            return replace(self, playing=False, at_s=self.moment_s(end_s))
        if not live and self.moment_s(end_s) >= end_s:
            return replace(self, playing=True, at_s=0.0)
        return replace(self, playing=True)

    def shifted(self, by_s: float, end_s: float) -> Playhead:
        """``by_s`` seconds later (earlier when negative), within the run."""
        at_s = min(end_s, max(0.0, self.moment_s(end_s) + by_s))
        return replace(self, at_s=at_s)

    def at_start(self) -> Playhead:
        """The first moment."""
        return replace(self, at_s=0.0)

    def at_end(self) -> Playhead:
        """The newest moment, followed from now on."""
        return replace(self, at_s=None, playing=True)

    def faster(self, steps: int) -> Playhead:
        """``steps`` further in ``SPEEDS``."""
        place = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - self.speed))
        return replace(self, speed=SPEEDS[min(len(SPEEDS) - 1, max(0, place + steps))])
