"""The modules that every event passes through, as machine code.

State machines, policies, the loop, the post office and the simulated world are typed Python, of
which mypyc makes C: ``mdibench compile``. A build is a copy of their packages in the user's cache,
named by a hash of their sources and by the interpreter. It is used while both are the same, so
that a changed source never runs as it was before. ``MDIBENCH_COMPILED=0`` does without.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

SWITCH = "MDIBENCH_COMPILED"
PACKAGE = Path(__file__).parent
COPIED = ("compute", "core", "policy", "rank", "simulation", "transport")
"""Packages that a build holds as a whole, so that ``import`` finds each in one place."""
T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    @dataclass_transform(frozen_default=True)
    def statically_frozen(kind: type[T]) -> type[T]:
        """A slotted dataclass whose fields the type checker lets nobody assign.

        Python itself does not check: a dataclass that is frozen at run time takes 0.1 µs longer
        per field to make, and some ten of these are made for every task. In a build, their
        constructors are machine code.
        """
        ...

else:
    statically_frozen = dataclass(slots=True, unsafe_hash=True)


def cache_folder() -> Path:
    """The user's cache of mdibench: below ``$XDG_CACHE_HOME`` where that is set."""
    from platformdirs import user_cache_path

    return user_cache_path("mdibench", appauthor=False)


def find_build() -> Path | None:
    """The build of the present sources for this interpreter, where there is one to be used."""
    if os.environ.get(SWITCH) == "0":
        return None
    folder = build_folder()
    return folder if folder.is_dir() else None


def build_folder() -> Path:
    """Where the build of the present sources for this interpreter belongs."""
    digest = hashlib.sha256()
    sources = [path for name in COPIED for path in (PACKAGE / name).glob("*.py")]
    for path in (PACKAGE / "cli" / "compile.py", *sorted(sources)):
        digest.update(b"%s\0%s\0" % (path.name.encode(), path.read_bytes()))
    interpreter = EXTENSION_SUFFIXES[0].split(".")[1]  # such as cpython-311-x86_64-linux-gnu
    return cache_folder() / "compiled" / f"{interpreter}-{digest.hexdigest()[:16]}"


def is_in_use() -> bool:
    """Whether this process runs the machine code."""
    core = sys.modules.get("mdibench.core.worker_base")
    return core is not None and not str(core.__file__).endswith(".py")
