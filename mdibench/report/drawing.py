"""Style and output of the figures: colours, hover titles, SVG for a page, files for a paper.

Series differ by colour, marker, line style and hatch together, so that a figure is readable in
black and white. Widths are those of a two-column paper. The same data give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from textwrap import fill, wrap
from typing import Any, ParamSpec
from urllib.parse import quote, unquote

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

P = ParamSpec("P")

COLUMN_IN = 3.4
"""Width of a figure in one column of a two-column paper, inches; ``PAGE_IN`` spans both."""
PAGE_IN = 7.0
NARROW_IN = 3.7
"""Width on the screen of a telephone, where panels stand one below the other."""

DPI = 300

MOST_SERIES = 8
"""Series that one figure shows: more could not be distinguished."""

INK = "#222222"
PALE_INK = "#9a9a9a"
PAPER = "#ffffff"
GRID = "#e4e4e4"
SHADE = "#f0f0f0"
IDLE_EDGE = "#d0d0d0"
ON_DARK, ON_LIGHT = "#fefefe", "#212121"
"""Text on an area of a figure, which keeps its colour on dark paper."""
THEMED = (INK, PALE_INK, PAPER, GRID, SHADE, IDLE_EDGE, "#000000")
"""Colours that a page exchanges on dark paper: see ``to_svg`` and the page's style."""

RC: dict[Any, Any] = {
    "axes.axisbelow": True, "axes.edgecolor": PALE_INK, "axes.grid": True, "axes.labelsize": 7,
    "axes.linewidth": 0.6, "axes.spines.right": False, "axes.spines.top": False,
    "axes.titlelocation": "left", "axes.titlesize": 7.5, "axes.titleweight": "bold",
    "axes.labelcolor": INK, "font.family": "sans-serif", "font.size": 7,
    "grid.color": GRID, "grid.linewidth": 0.5, "hatch.linewidth": 0.5,
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
    return {"facecolor": style.colour, "hatch": style.hatch, "edgecolor": PAPER, "linewidth": 0.4}


IDLE_STYLE: dict[str, Any] = {"facecolor": SHADE, "edgecolor": IDLE_EDGE, "linewidth": 0.4}
"""Fill of idle time."""


CHARACTERS_PER_INCH = 20
LABEL_WIDTH, NARROW_LABEL_WIDTH = 34, 20
"""Characters of a label's line."""
NARROW_TEXT_WIDTH = 38
"""Characters of a line of a narrow figure's title, or below an axis."""
_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@contextmanager
def narrow() -> Iterator[None]:
    """Figures drawn inside are ``NARROW_IN`` wide at most."""
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


def is_narrow() -> bool:
    """Whether the figure that is drawn now is for a narrow screen."""
    return _narrow.get()


def _in_lines(name: str) -> list[str]:
    if is_narrow():
        return wrap(name, NARROW_LABEL_WIDTH, break_on_hyphens=False)
    return wrap(name, LABEL_WIDTH)


def row_heights(names: Sequence[str]) -> list[float]:
    """Height of a row with each of these labels, inches."""
    return [0.08 + 0.13 * max(1, len(_in_lines(name))) for name in names]


def label_rows(axis: Axes, names: Sequence[str]) -> None:
    """Names beside rows 0, 1, ... from the top, whole, in several lines where they are long."""
    lines = ["\n".join(_in_lines(name)) for name in names]
    axis.set_yticks(range(len(names)), lines)
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)


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
    """A new figure with ``rows`` times ``columns`` axes, row by row; see ``narrow``."""
    if is_narrow():
        width_in, height_in = min(width_in, NARROW_IN), columns * height_in
        if ratios := options.get("height_ratios"):
            options["height_ratios"] = [ratio for ratio in ratios for _ in range(columns)]
        rows, columns = rows * columns, 1
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def legend_above(figure: Figure, axis: Axes, columns: int = 9) -> None:
    """The legend of ``axis`` above the whole figure, where it covers no data."""
    legend_of_all(figure, [axis], columns)


def legend_of_all(figure: Figure, axes: Sequence[Axes], columns: int = 9) -> None:
    """One legend for several axes, each name once, in as many columns as its names leave room."""
    found: dict[str, Artist] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault("\n".join(wrap(name, 2 * LABEL_WIDTH)), handle)
    if found:
        handles, names = list(found.values()), list(found)
        columns = min(columns, legend_columns(figure.get_figwidth(), names))
        figure.legend(handles, names, loc="outside upper left", ncols=columns)


def legend_columns(width_in: float, names: Sequence[str]) -> int:
    """How many columns of a legend find room in ``width_in``."""
    longest = max(len(line) for name in names for line in name.splitlines())
    return max(1, int(width_in * CHARACTERS_PER_INCH / (longest + 8)))


def percent_axis(axis: Axis) -> None:
    """Label a share in percent, with no more decimals than it needs."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.6g} %"))


class PlainLogFormatter(LogFormatter):
    """Plain numbers where ``LogFormatter`` has a label: mathematical text takes long to lay out."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of the tick at ``x``."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def plain_log_axis(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers."""
    axis.set_major_formatter(PlainLogFormatter())
    axis.set_minor_formatter(PlainLogFormatter())


def tip(artist: Artist, text: str) -> None:
    """Make a page show ``text`` when the pointer is over ``artist``."""
    artist.set_gid("tip:" + quote(text, safe=""))


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an ``<svg>`` element: text stays text, ``name`` makes the ids unique.

    Colours of ``THEMED`` are variables ``--c-<hex>`` of the page; they keep their value without it.
    """
    _lay_out(figure)
    raw = _render(figure, "svg", "none").decode("utf-8")
    body = re.sub(r"<metadata>.*?</metadata>", "", raw[raw.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\n?", "", body)
    body = re.sub(r"(\.\d)\d+" if is_narrow() else r"(\.\d\d)\d+", r"\1", body)
    body = re.sub(r"\n +<", "\n<", body)
    for colour in THEMED:
        body = body.replace(f": {colour}", f": var(--c-{colour[1:]}, {colour})")
    body = re.sub(r'<g id="tip:([^"]*)">', _titled, body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r' (width|height)="[\d.]+pt"', "", body, count=2)
    label = f'<svg role="img" aria-label="{html.escape(name)}" class="figure" '
    return body.replace("<svg ", label, 1).strip()


def _lay_out(figure: Figure) -> None:
    """Lay the figure out for SVG now: ``savefig`` would draw it once more only for that."""
    if figure.get_figwidth() <= NARROW_IN:
        with mpl.rc_context(RC):
            for axis in figure.axes:
                axis.set_xlabel(_filled(axis.get_xlabel()))
                axis.set_title(_filled(axis.get_title(loc="left")), loc="left")
    FigureCanvasSVG(figure)
    figure.set_dpi(DPI)
    engine = figure.get_layout_engine()
    if engine is not None:
        with mpl.rc_context(RC | {"svg.fonttype": "none"}):
            engine.execute(figure)
        figure.set_layout_engine(None)


def _filled(text: str) -> str:
    return "\n".join(fill(line, NARROW_TEXT_WIDTH) for line in text.splitlines())


def _titled(match: re.Match[str]) -> str:
    return f"<g><title>{html.escape(unquote(match[1]))}</title>"


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure to ``path`` in the format of its suffix, with text as outlines."""
    path.write_bytes(_render(figure, path.suffix.removeprefix("."), "path"))


def _render(figure: Figure, form: str, text: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else None
    with mpl.rc_context(RC | {"svg.fonttype": text}):
        figure.savefig(buffer, format=form, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
