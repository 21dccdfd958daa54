"""Where each value of a config was written: file, line and key, for messages.

TOML libraries do not report lines. ``key_lines`` finds them by a scan of a document that ``tomli``
has accepted: it validates nothing and keeps only positions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import tomli

KeyPath = tuple[str | int, ...]
"""The path to a value: keys, and indices in lists."""


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
    """Where each value of a config was written; ignored in comparisons of configs."""

    file: str = field(default="", compare=False)
    lines: Mapping[KeyPath, int] = field(default_factory=dict, compare=False)
    overrides: Mapping[KeyPath, str] = field(default_factory=dict, compare=False)
    """Path of an override -> the option as the user wrote it."""

    def line(self, path: KeyPath) -> int:
        """Line of the longest prefix of ``path`` that is in the file, from 1; 0 for none."""
        return next((self.lines[p] for p in _prefixes(path) if p in self.lines), 0)

    def where(self, path: KeyPath) -> str:
        """``file:line: key`` or ``--set key``; the key alone for a config made in code."""
        for prefix in _prefixes(path):
            if prefix in self.overrides:
                return self.overrides[prefix]
            if prefix in self.lines:
                break
        below = (text for p, text in self.overrides.items() if p[: len(path)] == path)
        line = f":{self.line(path)}" if self.line(path) else ""
        if not line and (option := next(below, None)):
            return option
        return f"{self.file}{line}: {dotted(path)}" if self.file else dotted(path)


def _prefixes(path: KeyPath) -> list[KeyPath]:
    return [path[:length] for length in range(len(path), 0, -1)]


# --- lines of keys -------------------------------------------------------------------------------

BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')[ \t]*""")
STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*\'''', re.DOTALL
)
SCALAR = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Path of every table, key and list element -> the line where it first appears, from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """A cursor over the text that records the line of each path."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.last_index: dict[KeyPath, int] = {}
        """Array of tables -> index of its newest table."""

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(BLANK)
        while self.at < len(self.text):
            if self._sees("["):
                table = self._header()
            else:
                self._pair(table)
            self._skip(BLANK)

    def _header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``: the path of the table that it opens."""
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        line = self._line()
        self.at += brackets
        path: KeyPath = ()
        keys = self._dotted_key()
        for key in keys[:-1]:
            path = self._note((*path, key), line)
            if path in self.last_index:
                path = (*path, self.last_index[path])
        path = self._note((*path, keys[-1]), line)
        if brackets == 2:
            self.last_index[path] = self.last_index.get(path, -1) + 1
            path = self._note((*path, self.last_index[path]), line)
        self.at += brackets
        return path

    def _pair(self, table: KeyPath) -> None:
        """``a.b = value``."""
        line = self._line()
        path = table
        for key in self._dotted_key():
            path = self._note((*path, key), line)
        self.at += len("=")
        self._skip(BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._sees("["):
            self._list(path)
        elif self._sees("{"):
            self._inline_table(path)
        elif self._sees('"') or self._sees("'"):
            self._skip(STRING)
        else:
            self._skip(SCALAR)

    def _list(self, path: KeyPath) -> None:
        index = 0
        self._next()
        while not self._sees("]"):
            element = self._note((*path, index), self._line())
            self._value(element)
            index += 1
            self._skip_comma()
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._next()
        while not self._sees("}"):
            self._pair(path)
            self._skip_comma()
        self.at += 1

    def _dotted_key(self) -> list[str]:
        keys = [self._key()]
        while self._sees("."):
            self.at += 1
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        match = KEY.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        written = match[1]
        return str(tomli.loads(f"key = {written}")["key"]) if written[0] in "\"'" else written

    def _note(self, path: KeyPath, line: int) -> KeyPath:
        self.lines.setdefault(path, line)
        return path

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _sees(self, character: str) -> bool:
        return self.text.startswith(character, self.at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def _skip_comma(self) -> None:
        self._skip(BLANK)
        if self._sees(","):
            self._next()

    def _next(self) -> None:
        """Skip one character and the blanks after it."""
        self.at += 1
        self._skip(BLANK)
