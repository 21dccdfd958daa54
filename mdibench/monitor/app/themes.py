"""Themes, and the style of every role of ``paint`` in each of them.

One accent colour for activity and one for problems. ``mdi-safe`` uses the palette of Okabe and Ito
(2008), whose colours are distinct with any colour vision deficiency. The screen is readable without
colour: states are words, loads are shades, series have names.
"""

from __future__ import annotations

from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from mdibench.monitor.app.paint import drawing

_DARK_RANKS = "#6cb6ff #f0a45d #86d992 #d6a2f5 #f4a3c0 #e8d66b #62d6c3 #b4bfcc"
_LIGHT_RANKS = "#0b63b5 #b3590a #237a35 #7b3fb0 #b3266b #7a6a00 #0f7a70 #56606c"
_SAFE_RANKS = "#56b4e9 #e69f00 #009e73 #f0e442 #cc79a7 #3d8fd1 #d55e00 #bbbbbb"
_DARK_HEAT = "#2c4a5c #2f6a7e #3a8ea0 #56b9c9 #93dbe4 #e3f8fa"
_LIGHT_HEAT = "#a9c4d0 #7fb0c2 #4f97ad #1f7d96 #0b5568 #052b35"
_SAFE_HEAT = "#3a4a6b #5a6479 #7d7f82 #a39a76 #cbb862 #fee838"
_ANSI_RANKS = "blue yellow green magenta cyan bright_blue bright_magenta white"
_ANSI_HEAT = "blue blue cyan cyan yellow red"


def _extra(ranks: str, heat: str) -> dict[str, str]:
    variables = {f"rank{place}": colour for place, colour in enumerate(ranks.split())}
    variables |= {f"heat{place}": colour for place, colour in enumerate(heat.split())}
    return variables


THEMES = (
    Theme(
        name="mdi-dark",
        primary="#6cb6ff",
        secondary="#8fa3b8",
        accent="#56c8d8",
        success="#86d992",
        warning="#e5b567",
        error="#f0717a",
        foreground="#d7dde5",
        background="#10151c",
        surface="#161d26",
        panel="#2b3644",
        variables=_extra(_DARK_RANKS, _DARK_HEAT),
    ),
    Theme(
        name="mdi-light",
        primary="#0b63b5",
        secondary="#56606c",
        accent="#0b7285",
        success="#237a35",
        warning="#a35200",
        error="#b3261e",
        foreground="#1d242c",
        background="#fbfaf7",
        surface="#f2f0eb",
        panel="#d5d2ca",
        dark=False,
        variables=_extra(_LIGHT_RANKS, _LIGHT_HEAT),
    ),
    Theme(
        name="mdi-safe",
        primary="#56b4e9",
        secondary="#9aa4b0",
        accent="#56b4e9",
        success="#009e73",
        warning="#f0e442",
        error="#d55e00",
        foreground="#e4e6ea",
        background="#0d1117",
        surface="#151a21",
        panel="#303843",
        variables=_extra(_SAFE_RANKS, _SAFE_HEAT),
    ),
)
THEME_NAMES = (*(theme.name for theme in THEMES), *BUILTIN_THEMES)
"""Every theme that the monitor can start with."""
THEME_CYCLE = (*(theme.name for theme in THEMES), "ansi-dark")
"""The themes that one key goes through; the command palette has all of Textual's too."""
DEFAULT_THEME = "mdi-dark"
WITHOUT_COLOUR = "ansi-dark"
"""Where NO_COLOR is set: Textual then sends no colour at all."""


_SOFT = {
    drawing.SOFT: drawing.ACCENT,
    drawing.SOFT_GOOD: drawing.GOOD,
    drawing.SOFT_WARN: drawing.WARN,
}


def styles_of(theme: Theme) -> dict[str, Style]:
    """The style of every role in ``theme``."""
    return _ansi_styles() if theme.ansi else _true_styles(theme)


def _true_styles(theme: Theme) -> dict[str, Style]:
    ground = Color.parse(theme.background or ("#121212" if theme.dark else "#e0e0e0"))
    front = Color.parse(theme.foreground or ("#e0e0e0" if theme.dark else "#1f1f1f"))
    primary = Color.parse(theme.primary)
    named = {
        drawing.ACCENT: Color.parse(theme.accent or theme.primary),
        drawing.GOOD: Color.parse(theme.success or "#4ebf71"),
        drawing.WARN: Color.parse(theme.warning or "#e5b567"),
        drawing.BAD: Color.parse(theme.error or "#f0717a"),
        drawing.DIM: front.blend(ground, 0.42),
        drawing.FAINT: front.blend(ground, 0.78),
    }
    for soft, full in _SOFT.items():
        named[soft] = named[full].blend(ground, 0.45)
    styles = {role: Style(color=colour.rich_color) for role, colour in named.items()}
    spare = _extra(*((_DARK_RANKS, _DARK_HEAT) if theme.dark else (_LIGHT_RANKS, _LIGHT_HEAT)))
    for name in spare:
        colour = Color.parse(theme.variables.get(name, spare[name]))
        styles[name] = Style(color=colour.rich_color)
    return styles | {
        drawing.PLAIN: Style(color=front.rich_color),
        drawing.STRONG: Style(color=front.rich_color, bold=True),
        drawing.HEAD: Style(color=front.blend(ground, 0.42).rich_color),
        drawing.HEADS: Style(color=primary.rich_color, bold=True),
    }


def _ansi_styles() -> dict[str, Style]:
    """Sixteen colours on the terminal's own background."""
    styles = {name: Style(color=colour) for name, colour in _extra(_ANSI_RANKS, _ANSI_HEAT).items()}
    return styles | {
        drawing.PLAIN: Style(),
        drawing.DIM: Style(dim=True),
        drawing.FAINT: Style(dim=True),
        drawing.STRONG: Style(bold=True),
        drawing.ACCENT: Style(color="cyan"),
        drawing.SOFT: Style(color="cyan", dim=True),
        drawing.SOFT_GOOD: Style(color="green", dim=True),
        drawing.SOFT_WARN: Style(color="yellow", dim=True),
        drawing.GOOD: Style(color="green"),
        drawing.WARN: Style(color="yellow"),
        drawing.BAD: Style(color="red", bold=True),
        drawing.HEAD: Style(dim=True),
        drawing.HEADS: Style(bold=True, underline=True),
    }
