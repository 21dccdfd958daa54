"""One sweep at a time in one folder: a lock that the system releases with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdibench.errors import Problem, UserError

NAME = ".lock"


@contextmanager
def only_here(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process; UserError where another one holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            remedy = "wait until it has ended, or use --anew or another run.name"
            what = f"{holder} works in this folder already"
            raise UserError(Problem(what, str(folder), remedy)) from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}")
        file.flush()
        yield
