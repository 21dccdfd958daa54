"""mdibench: benchmark model-distributed inference with early exits on edge networks.

``mdibench.load("results/...")`` gives a run's tables as pandas frames. Nothing heavy is imported
before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdibench.compiled import find_build

if TYPE_CHECKING:
    from pathlib import Path

    from mdibench.analysis.frames import RunFrames

__version__ = "0.2.0"
__all__ = ["__version__", "load"]

if build := find_build():
    __path__.insert(0, str(build / "mdibench"))


def load(path: str | Path) -> RunFrames:
    """The tables of the run at ``path``, or of every run below it, as pandas frames."""
    from mdibench.analysis.frames import load_frames

    return load_frames(path)
