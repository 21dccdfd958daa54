"""Where each value of a config was written, so that a message can name file, line and key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""The way to a value: keys, and positions in lists."""


def dotted(path: KeyPath) -> str:
    """A path as a person would write it: ``topology.links[0].between``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            text += f".{bare}" if text else bare
    return text


@dataclass(frozen=True, slots=True)
class Origins:
    """Where each value of a config was written, for messages; it never makes configs differ."""

    file: str = field(default="", compare=False)
    lines: Mapping[KeyPath, int] = field(default_factory=dict, compare=False)
    overrides: Mapping[KeyPath, str] = field(default_factory=dict, compare=False)
    """KeyPath of an override -> the option as the user gave it."""

    def line(self, path: KeyPath) -> int:
        """Line of the longest part of ``path`` that the file holds, from 1; 0 for none."""
        return next((self.lines[p] for p in _shorter(path) if p in self.lines), 0)

    def where(self, path: KeyPath) -> str:
        """``file:line: key`` or ``--set key``; the key alone for a config made in code."""
        for prefix in _shorter(path):
            if prefix in self.overrides:
                return self.overrides[prefix]
            if prefix in self.lines:
                break
        below = (text for p, text in self.overrides.items() if p[: len(path)] == path)
        line = f":{self.line(path)}" if self.line(path) else ""
        if not line and (option := next(below, None)):
            return option
        return f"{self.file}{line}: {dotted(path)}" if self.file else dotted(path)


def _shorter(path: KeyPath) -> list[KeyPath]:
    return [path[:length] for length in range(len(path), 0, -1)]
