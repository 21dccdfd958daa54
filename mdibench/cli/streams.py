"""The standard streams, whatever the shell gave us: closed ones, and encodings without our signs.

A run must not end after measuring because a terminal lacks a Greek letter. What an encoding does
not have is written in plain letters.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

HANDLER = "mdibench-plain"
_PLAIN = {
    "α": "alpha", "β": "beta", "γ": "gamma", "Γ": "Gamma", "ζ": "zeta", "μ": "mu", "µ": "u",
    "τ": "tau", "σ": "sigma", "λ": "lambda", "ρ": "rho", "Δ": "Delta",
    "→": "->", "←": "<-", "↔": "<->", "↑": "^", "↓": "v", "▲": "^", "▼": "v",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "±": "+-", "×": "x", "∞": "inf", "−": "-",
    "–": "-", "—": "-", "…": "...", "·": ".", "•": "*", "“": '"', "”": '"', "‘": "'", "’": "'",
    "│": "|", "┃": "|", "║": "|", "─": "-", "━": "-", "═": "=", "✓": "ok", "✔": "ok", "✗": "x",
    "²": "2", "³": "3", "½": "1/2", "°": " deg",
}  # fmt: skip
_BOX = range(0x2500, 0x2580)
_BLOCKS = range(0x2580, 0x25A0)


def adapt_streams() -> None:
    """Let stdout and stderr take any text. Called once, before anything is written."""
    codecs.register_error(HANDLER, _plainly)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _plainly(failure: UnicodeError) -> tuple[str, int]:
    if not isinstance(failure, UnicodeEncodeError):
        raise failure
    wrong = failure.object[failure.start : failure.end]
    return "".join(map(_plain_sign, wrong)), failure.end


def _plain_sign(sign: str) -> str:
    if sign in _PLAIN:
        return _PLAIN[sign]
    code = ord(sign)
    return "+" if code in _BOX else "#" if code in _BLOCKS else "?"
