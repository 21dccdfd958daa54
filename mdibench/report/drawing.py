"""Style and output of the figures: colours, hover titles, SVG for a page, files for a paper.

Series differ by colour, marker, line style and hatch together, so that a figure is readable in
black and white. Widths are those of a two-column paper. The same data give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec
from urllib.parse import quote, unquote

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

P = ParamSpec("P")

COLUMN_IN = 3.4
"""Width of a figure in one column of a two-column paper, inches; ``PAGE_IN`` spans both."""
PAGE_IN = 7.0

MOST_SERIES = 8
"""Series that one figure shows: more could not be distinguished."""

INK = "#222222"
PALE_INK = "#9a9a9a"

RC: dict[Any, Any] = {
    "axes.axisbelow": True, "axes.edgecolor": PALE_INK, "axes.grid": True, "axes.labelsize": 7,
    "axes.linewidth": 0.6, "axes.spines.right": False, "axes.spines.top": False,
    "axes.titlelocation": "left", "axes.titlesize": 7.5, "axes.titleweight": "bold",
    "axes.labelcolor": INK, "font.family": "sans-serif", "font.size": 7,
    "grid.color": "#e4e4e4", "grid.linewidth": 0.5, "hatch.linewidth": 0.5,
    "legend.fontsize": 6.5, "legend.frameon": False, "legend.handlelength": 2.2,
    "lines.linewidth": 1.2, "lines.markersize": 4.5, "svg.hashsalt": "mdibench",
    "text.color": INK, "xtick.color": INK, "xtick.labelsize": 6.5, "xtick.major.width": 0.5,
    "xtick.major.size": 2.5, "xtick.minor.size": 1.5, "ytick.color": INK, "ytick.labelsize": 6.5,
    "ytick.major.width": 0.5, "ytick.major.size": 2.5, "xtick.minor.width": 0.4,
    "ytick.minor.size": 1.5, "ytick.minor.width": 0.4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeriesStyle:
    """One way to draw a series. Colours: Okabe and Ito, safe for colour-blind readers."""

    colour: str
    marker: str
    line: Any
    hatch: str


SERIES_STYLES = (
    SeriesStyle("#0072B2", "o", "-", ""),
    SeriesStyle("#D55E00", "s", (0, (4, 1.5)), "////"),
    SeriesStyle("#009E73", "^", (0, (1, 1)), "\\\\\\\\"),
    SeriesStyle("#CC79A7", "D", (0, (4, 1, 1, 1)), "xxxx"),
    SeriesStyle("#E69F00", "v", (0, (6, 2)), "----"),
    SeriesStyle("#56B4E9", "P", (0, (3, 1, 1, 1, 1, 1)), "||||"),
    SeriesStyle("#000000", "X", (0, (1, 2)), "++++"),
    SeriesStyle("#8C6D31", "*", (0, (8, 1, 1, 1)), "//--"),
)


def series_style(at: int) -> SeriesStyle:
    """The style of series number ``at``; styles repeat after eight."""
    return SERIES_STYLES[at % len(SERIES_STYLES)]


def area_style(at: int) -> dict[str, Any]:
    """Fill of an area of series number ``at``."""
    style = series_style(at)
    return {"facecolor": style.colour, "hatch": style.hatch, "edgecolor": "white", "linewidth": 0.4}


IDLE_STYLE: dict[str, Any] = {"facecolor": "#f2f2f2", "edgecolor": "#d0d0d0", "linewidth": 0.4}
"""Fill of idle time."""


def short(name: str) -> str:
    """``name`` in the space beside a figure."""
    return name if len(name) <= 26 else name[:25] + "…"


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """``draw`` with the style of this module; matplotlib's global style stays unchanged."""

    @wraps(draw)
    def in_style(*arguments: P.args, **options: P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            return draw(*arguments, **options)

    return in_style


def sheet(
    width_in: float, height_in: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A new figure with ``rows`` times ``columns`` axes, row by row."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def legend_above(figure: Figure, axis: Axes, columns: int = 5) -> None:
    """The legend of ``axis`` above the whole figure, where it covers no data."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def percent_axis(axis: Axis) -> None:
    """Label a share in percent, with no more decimals than it needs."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.6g} %"))


def tip(artist: Artist, text: str) -> None:
    """Make a page show ``text`` when the pointer is over ``artist``."""
    artist.set_gid("tip:" + quote(text, safe=""))


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element: text stays text, ``name`` makes the ids unique."""
    raw = _render(figure, "svg", "none").decode("utf-8")
    body = re.sub(r"<metadata>.*?</metadata>", "", raw[raw.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r'<g id="tip:([^"]*)">', _titled, body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r' (width|height)="[\d.]+pt"', "", body, count=2)
    label = f'<svg role="img" aria-label="{html.escape(name)}" class="figure" '
    return body.replace("<svg ", label, 1).strip()


def _titled(match: re.Match[str]) -> str:
    return f"<g><title>{html.escape(unquote(match[1]))}</title>"


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure to ``path`` in the format of its suffix, with text as outlines."""
    path.write_bytes(_render(figure, path.suffix.removeprefix("."), "path"))


def _render(figure: Figure, form: str, text: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else None
    with mpl.rc_context(RC | {"svg.fonttype": text}):
        figure.savefig(buffer, format=form, dpi=300, metadata=metadata)
    return buffer.getvalue()
