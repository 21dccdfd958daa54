"""Files that are written whole, and where what was fetched or computed once is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

DRAFT = ".partial"
"""What the name of a file ends in while it is written."""


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/mdibench``, or ``~/.cache/mdibench``."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "mdibench"


def write_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a draft beside ``path``, then put it there: all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(DRAFT)
    save(draft)
    draft.chmod(0o644)  # safetensors makes files that only their owner can read
    draft.replace(path)
