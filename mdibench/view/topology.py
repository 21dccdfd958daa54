"""Where to draw the workers: positions in the unit square, the same for the same plan."""

from __future__ import annotations

import math
from collections.abc import Sequence

Position = tuple[float, float]


def positions(neighbours: Sequence[Sequence[int]]) -> dict[int, Position]:
    """Middle of every rank, x to the right and y down, both from 0 to 1.

    A line is drawn as one, a star around its hub, everything else as a circle with the source at
    the top.
    """
    count = len(neighbours)
    if count == 1:
        return {0: (0.5, 0.5)}
    line = _line(neighbours)
    if line:
        return {rank: (place / (count - 1), 0.5) for place, rank in enumerate(line)}
    hub = _hub(neighbours)
    if hub is not None:
        around = _circle([rank for rank in range(count) if rank != hub])
        return {hub: (0.5, 0.5), **around}
    return _circle(list(range(count)))


def _circle(ranks: Sequence[int]) -> dict[int, Position]:
    step = 2 * math.pi / len(ranks)
    return {
        rank: (0.5 + 0.5 * math.sin(place * step), 0.5 - 0.5 * math.cos(place * step))
        for place, rank in enumerate(ranks)
    }


def _line(neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Ranks from one end of a path to the other; empty if it is no path."""
    ends = [rank for rank, each in enumerate(neighbours) if len(each) == 1]
    if len(ends) != 2 or any(len(each) > 2 for each in neighbours):
        return []
    order, before = [ends[0]], -1
    while True:
        onward = [rank for rank in neighbours[order[-1]] if rank != before]
        if not onward:
            return order if len(order) == len(neighbours) else []
        before = order[-1]
        order.append(onward[0])


def _hub(neighbours: Sequence[Sequence[int]]) -> int | None:
    """The one rank that everybody else is connected to, and only to it."""
    hubs = [rank for rank, each in enumerate(neighbours) if len(each) == len(neighbours) - 1]
    leaves = sum(len(each) == 1 for each in neighbours)
    if len(neighbours) >= 4 and len(hubs) == 1 and leaves == len(neighbours) - 1:
        return hubs[0]
    return None
