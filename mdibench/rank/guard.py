"""Which rank died, and of what: a small process that outlives a job that is killed.

When a signal kills a rank, the launcher kills the others before any of them can write a word, and
its own message names no rank. ``start_guard`` starts this file as a process of its own on rank 0's
host. It sleeps until a rank of this host ends, writes the reason into the run's manifest once its
writer is gone, and says it in one line after the launcher's. It uses nothing but the standard
library, so that it costs a few megabytes.

The first of several deaths is the one whose pipe closes first (``open_lifeline``). The order in
which the processes are gone does not tell it: the launcher kills the others as soon as the first
one's connection closes, and a process takes milliseconds to give back its memory.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

TALK_VARIABLE = "MDIBENCH_TALK"
"""Names a FIFO that ``run --ranks`` reads: stages, the run's folder, and how it ended."""
END_TIMEOUT_S = 5.0
"""Longest wait for the end of a process whose descriptors are closed."""
EXIT_CODE_TIMEOUT_S = 0.3
"""Longest wait until the exit code of an ended process can be read."""
LIFELINE_DESCRIPTOR = 512
"""Lowest descriptor of a lifeline: Linux closes the descriptors of an ending process from the
highest on, so the lifeline goes before the connection to the launcher."""
CLOSE_TIMEOUT_S = 20.0
"""Longest wait for rank 0, and for the launcher, after a rank has died."""
MANIFEST = "run.json"
STOP = "stop"
BY_INTERRUPT = "interrupted"
BY_SIGTERM = "told to end by SIGTERM"
"""Why a run was aborted, in the manifest; in the file STOP, that the launching command aborts it.
A SIGTERM of rank 0 alone may come from a launcher, because another rank died."""
INTERRUPTED = 130


@cache
def open_lifeline() -> int:
    """Open the pipe that nothing but the end of this process closes; returns its reading end.

    The guard opens the same end (``/proc/PID/fd``) and so sees when the writing end is gone.
    """
    reading, writing = os.pipe()
    with suppress(OSError):  # fewer descriptors are allowed: any other serves, if not as early
        fcntl.fcntl(writing, fcntl.F_DUPFD_CLOEXEC, LIFELINE_DESCRIPTOR)
        os.close(writing)
    return reading


def start_guard(folder: Path, ranks: Sequence[Mapping[str, Any]]) -> None:
    """Watch the ranks of the run in ``folder`` that are on this host; ``ranks`` are their facts.

    Does nothing where the system cannot tell of another process's end.
    """
    if not hasattr(os, "pidfd_open"):
        return
    own = ranks[0]
    here = [
        [rank, each["pid"], each.get("lifeline", -1)]
        for rank, each in enumerate(ranks)
        if all(each.get(key) == own.get(key) for key in ("boot_id", "mpi_processor", "host"))
    ]
    task = {
        "folder": str(folder.resolve()),
        "ranks": here,
        "host": own.get("host", ""),
        "alone": len(here) == len(ranks),
        "launchers": _launchers(),
        "talk": os.environ.get(TALK_VARIABLE, ""),
    }
    command = [sys.executable, "-I", "-S", __file__, json.dumps(task)]
    with suppress(OSError):
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


def _launchers() -> list[int]:
    """The ancestors of this process that started the job, the nearest first."""
    found, pid = [], os.getppid()
    while pid > 1:
        name = _status_fields(pid)
        if not any(word in name[0] for word in ("mpi", "hydra", "prte", "orte", "srun", "slurm")):
            break
        found.append(pid)
        pid = int(name[2])
    return found


def _status_fields(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the name on; all empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return [""] * 60
    name, _, rest = text.partition("(")[2].rpartition(")")
    return [name, *rest.split()]


# --- the process ----------------------------------------------------------------------------------


class _Process(NamedTuple):
    """One that is watched."""

    name: str
    """"launcher", or the rank as text."""
    pid: int
    pidfd: int


class Guard:
    """The watch over one job."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.task = task
        self.folder = Path(task["folder"])
        self._poll = select.epoll()
        self._watched: dict[int, _Process] = {}
        """By the descriptor that tells the end."""
        for rank, pid, lifeline in task["ranks"]:
            self._open(str(rank), pid, lifeline)
        for pid in task["launchers"]:
            self._open("launcher", pid)
        self._lines = self._open_lines()

    def _open(self, name: str, pid: int, lifeline: int = -1) -> None:
        with suppress(OSError):  # it has ended
            process = _Process(name, pid, os.pidfd_open(pid))
            descriptor = process.pidfd
            with suppress(OSError):  # none, or none of ours
                descriptor = os.open(f"/proc/{pid}/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
            self._watched[descriptor] = process
            self._poll.register(descriptor, select.EPOLLIN)

    def _open_lines(self) -> int | None:
        """Where the last line goes: the FIFO of ``run --ranks``, else the launcher's stderr."""
        talk, launchers = self.task["talk"], self.task["launchers"]
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY
        with suppress(OSError):
            return os.open(talk or f"/proc/{launchers[-1] if launchers else 0}/fd/2", flags)
        return None

    def run(self) -> None:
        """Wait for the first end that explains the others; then say it."""
        name, code = self._first_death()
        if not name:
            return
        self._wait_for(("0",))
        reason = self._reason(name, code)
        if self._amend(reason):
            self._wait_for(("launcher",))
            self._say(reason)

    def _first_death(self) -> tuple[str, int | None]:
        """The process whose end explains the others, and its exit code where it can be read.

        An empty name where all ranks ended well. An end without a readable code is a death only
        if the run did not go well after it, so the next ends decide.
        """
        unread = ""
        while True:
            name, code = self._next()
            if code is None and name not in ("", "launcher"):
                unread = unread or name
            if not name or name == "launcher" or code or self._left_running():
                return (unread, None) if unread and name else (name, code)

    def _reason(self, name: str, code: int | None) -> str:
        """The cause in words."""
        if name == "launcher":
            return "the launcher ended before its ranks"
        number = (code or 0) & 0x7F
        if code == INTERRUPTED << 8:
            return BY_INTERRUPT
        if code and not number:
            return f"rank {name} on {self.task['host']} ended with status {code >> 8}"
        signalled = f" (signal {number})" if number else ""
        if not self.task["alone"]:
            signalled += ", the first of this host"
        return f"rank {name} on {self.task['host']} died{signalled}"

    def _next(self) -> tuple[str, int | None]:
        """The next process that ends, and its exit code; an empty name where no rank is left."""
        if all(process.name == "launcher" for process in self._watched.values()):
            return "", 0
        ((descriptor, _),) = self._poll.poll(None, maxevents=1)
        process = self._forget(descriptor)
        return process.name, exit_code(process.pidfd, process.pid)

    def _forget(self, descriptor: int) -> _Process:
        self._poll.unregister(descriptor)
        return self._watched.pop(descriptor)

    def _wait_for(self, names: Sequence[str]) -> None:
        """Until none of ``names`` is left."""
        deadline_s = time.monotonic() + CLOSE_TIMEOUT_S
        while any(process.name in names for process in self._watched.values()):
            left_s = deadline_s - time.monotonic()
            ended = self._poll.poll(max(0.0, left_s), maxevents=1)
            if not ended:
                return
            self._forget(ended[0][0])

    def _left_running(self) -> bool:
        """Whether rank 0 is gone and the manifest still says that the run goes on."""
        if any(process.name == "0" for process in self._watched.values()):
            return False
        return bool(self._manifest().get("status") == "running")

    def _manifest(self) -> dict[str, Any]:
        try:
            manifest = json.loads((self.folder / MANIFEST).read_bytes())
        except (OSError, ValueError):
            return {}
        return manifest if isinstance(manifest, dict) else {}

    def _amend(self, reason: str) -> bool:
        """Write the reason into the manifest, unless the run knows a better one.

        Returns whether it is news to the user.
        """
        manifest = self._manifest()
        running, known = manifest.get("status") == "running", manifest.get("reason")
        by_another = known == BY_SIGTERM and reason.startswith("rank ")
        if not running and not by_another:
            return False
        wish = self._wish()
        if wish in (BY_INTERRUPT, BY_SIGTERM):
            reason = wish
        manifest |= {"status": "aborted", "reason": reason}
        draft = self.folder / f".{MANIFEST}.{os.getpid()}.draft"
        with suppress(OSError):
            draft.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
            draft.replace(self.folder / MANIFEST)
        return reason not in (BY_INTERRUPT, BY_SIGTERM)

    def _wish(self) -> str:
        """What somebody has asked this run for."""
        with suppress(OSError, UnicodeDecodeError):
            return (self.folder / STOP).read_text(encoding="utf-8")
        return ""

    def _say(self, reason: str) -> None:
        if self._lines is not None:
            prefix = "end " if self.task["talk"] else "mdibench: "
            with suppress(OSError):
                os.write(self._lines, f"{prefix}{reason}; run aborted\n".encode())


def exit_code(pidfd: int, pid: int) -> int | None:
    """What ``wait`` tells the parent of a process that ends now; None where it cannot be read.

    ``/proc`` has it until the parent has waited, the pidfd (of Linux 6.15 or newer) from then on.
    """
    select.select([pidfd], [], [], END_TIMEOUT_S)
    deadline_s = time.monotonic() + EXIT_CODE_TIMEOUT_S
    while True:
        fields = _status_fields(pid)
        if len(fields) > EXIT_CODE_FIELD and fields[1] == "Z" and fields[EXIT_CODE_FIELD] != "0":
            return int(fields[EXIT_CODE_FIELD])
        code = _pidfd_exit(pidfd)
        if code is not None or time.monotonic() > deadline_s:
            return code
        time.sleep(0.005)


EXIT_CODE_FIELD = 50
"""Of ``_status_fields``; the last one of ``/proc/PID/stat``."""
PIDFD_GET_INFO = 0xC040FF0B
PIDFD_INFO_EXIT = 1 << 3


def _pidfd_exit(pidfd: int) -> int | None:
    """The exit code, where the pidfd tells it (``struct pidfd_info``)."""
    info = bytearray(64)
    struct.pack_into("Q", info, 0, PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, info)
    except OSError:
        return None
    (told,) = struct.unpack_from("Q", info, 0)
    return int(struct.unpack_from("i", info, 60)[0]) if told & PIDFD_INFO_EXIT else None


def main() -> None:
    """The process that ``start_guard`` starts."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # allowed to root: an exit code is best read at once
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    Guard(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    main()
