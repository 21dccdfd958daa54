"""How the panels are arranged on a screen of a given size: pure, so that every size can be tested.

The styles of each arrangement are in ``monitor.tcss``; here is decided which one holds, and the
few sizes that depend on the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mdibench.tui.paint.panels import CELL

Name = Literal["line", "tiny", "narrow", "wide", "huge"]
PANELS = ("ranks", "exits", "charts", "links", "topology", "events")
"""In the order of their number keys."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Sizes in cells. ``alone`` is the panel that has the screen for itself, if any."""

    name: Name
    alone: str | None
    bare: bool
    """Whether even the figures above the panel are left out."""
    middle_height: int
    ranks_height: int
    links_width: int
    links_height: int | str
    """Its own lines where the topology is below it, else all there is."""
    charts: int
    """How many charts are stacked, from the chosen one on."""
    net: bool
    """Whether the topology has room below the links."""
    grid: bool
    """Whether all charts are shown, not only the chosen one."""


def name_of(width: int, height: int) -> Name:
    """The arrangement for a screen of this size."""
    if width < 36 or height < 7:
        return "line"
    if width < 60 or height < 20:
        return "tiny"
    if width < 100 or height < 30:
        return "narrow"
    return "huge" if width >= 160 and height >= 45 else "wide"


def arrange(
    width: int, height: int, ranks: int, exits: int, alone: str | None = None, bare: bool = False
) -> Arrangement:
    """The arrangement of a run with so many ranks and exits on a screen of this size."""
    name = name_of(width, height)
    roomy = name in ("wide", "huge")
    rows = max(ranks + 1, min(exits, 8), 5) + 2
    share = {"huge": 0.42, "wide": 0.4}.get(name, 0.5)
    links = 4 + CELL * ranks + 4
    most = width // 4 if name == "huge" else 36
    middle = min(rows, max(8, int(height * share)))
    lower = height - 9 - middle if roomy and alone is None else height - 9
    net = roomy and alone is None and lower - min(ranks + 3, 12) >= 9
    return Arrangement(
        name=name,
        alone=alone if name != "line" else None,
        bare=bare,
        middle_height=middle,
        ranks_height=min(ranks + 3, max(5, height - 8 - min(exits, 5) - 2)),
        links_width=max(30, min(links, most)),
        links_height=min(ranks + 3, max(12, lower // 2)) if net else "1fr",
        charts=max(1, min(3, lower // 9)),
        net=net,
        grid=name == "huge" or (alone == "charts" and width >= 100 and height >= 26),
    )
