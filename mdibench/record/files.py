"""Files written whole or not at all, and the folder of what all runs of a user share."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from mdibench.compiled import cache_folder as cache_folder  # for all who write there

T = TypeVar("T")
log = logging.getLogger(__name__)


def write_cached(path: Path, write: Callable[[Path], object]) -> None:
    """``write_whole`` of a file of the cache if possible: nothing fails for want of a cache."""
    try:
        write_whole(path, write)
    except OSError as failure:
        log.info("%s is not kept: %s", path.name, failure)


def write_text_cached(path: Path, text: str) -> None:
    """``write_cached`` of a text in UTF-8."""
    write_cached(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def made_once(path: Path, read: Callable[[], T | None], make: Callable[[], T]) -> T:
    """What ``read`` finds at ``path`` in the cache, else what ``make`` makes and keeps there.

    Of several processes that find nothing, one makes it and the others read that.
    """
    found = read()
    if found is not None:
        return found
    with one_at_a_time(path):
        found = read()
        return make() if found is None else found


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time make what belongs at ``path`` in the cache; others wait here.

    So that several ranks, runs or crews that begin together do the work once. Without a cache, or
    on a file system without locks, each does its own. The lock ends with its process.
    """
    lock = cache_folder() / "locks" / f"{path.parent.name}-{path.name}"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a draft beside ``path``, then put it there: all of it or nothing.

    A reader sees the old file or the new one, after a crash too. Makes the folder where there is
    none. Raises OSError, and whatever ``write`` raises; the draft is gone then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    try:
        write(draft)
        sync(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_text_whole(path: Path, text: str) -> None:
    """``write_whole`` of a text in UTF-8."""
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def draft_of(path: Path) -> Path:
    """Where this process writes what becomes ``path``: a hidden file beside it."""
    return path.with_name(f".{path.name}.{os.getpid()}.draft")


def sync(path: Path) -> None:
    """Have the content of ``path`` on the disk itself before anything that relies on it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
