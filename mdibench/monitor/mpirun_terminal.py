"""A monitor for a run under mpirun: started by rank 0, drawn on the launcher's terminal.

Ranks have no terminal. ``attach`` finds the launcher's among the ancestors of rank 0 and starts the
monitor as a child that draws there and reads its keys from the standard input that the launcher
forwards to rank 0 (reading from the terminal itself would take keys from the launcher). The child
has its own session and none of MPI's variables, so that MPI does not take it for a rank. Imports no
Textual; ``app.terminal_driver`` is the child's side. Called by ``cli.run``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

MPI_PREFIXES = ("PMI", "PMIX", "OMPI_", "MPI_LOCAL", "HYDI_", "HYDRA_", "PRTE_")
"""Variables that would make MPI take the monitor for a rank."""
LEAVE_SCREEN = (
    "\x1b[<u"  # keyboard protocol
    "\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?1015l"  # mouse
    "\x1b[?1004l\x1b[?2004l\x1b[?7h"  # focus, paste, line wrap
    "\x1b[?1049l\x1b[?25h"  # alternate screen, cursor
)
"""Resets a terminal on which a full-screen program was killed."""


def attach(folder: Path) -> subprocess.Popen[bytes] | None:
    """Start a monitor of the run in ``folder`` on the launcher's terminal.

    ``None`` where there is no such terminal: rank 0 is on another host, the launcher's input or
    output is a file, or it runs in the background. The terminal is restored even when the monitor
    is killed.
    """
    terminal = launcher_terminal(psutil.Process())
    if terminal is None:
        return None
    before = _attributes(terminal)
    if before is None:
        return None
    command = [sys.executable, "-m", "mdibench", "monitor", str(folder), "--tty", terminal]
    return Attached(command, terminal, before)


class Attached(subprocess.Popen[bytes]):
    """The monitor's process. A thread restores the terminal where a signal kills it."""

    def __init__(self, command: list[str], terminal: str, before: list[Any]) -> None:
        self._terminal, self._before = terminal, before
        super().__init__(
            command,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=monitor_environment(os.environ),
        )
        threading.Thread(target=self.wait, name="terminal-guard", daemon=True).start()

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; the terminal is restored when this returns."""
        status = super().wait(timeout)
        if status < 0:
            restore(self._terminal, self._before, dead=True)
        return status


def monitor_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that is no rank and determines the terminal's size itself."""
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith(MPI_PREFIXES) and name not in ("COLUMNS", "LINES")
    }
    if kept.get("TERM", "dumb") == "dumb":
        kept["TERM"] = "xterm-256color"
    return kept


def launcher_terminal(process: psutil.Process) -> str | None:
    """The terminal of the nearest ancestor that has one and may use it; ``None`` if none may."""
    with suppress(psutil.Error):
        for ancestor in process.parents():
            terminal = ancestor.terminal()
            if terminal is not None:
                return terminal if _may_use(ancestor, terminal) else None
    return None


def _may_use(launcher: psutil.Process, terminal: str) -> bool:
    """Whether the launcher is in the foreground, with input and output on its terminal."""
    streams = [Path(f"/proc/{launcher.pid}/fd/{number}") for number in (0, 1)]
    if not Path("/proc/self").exists():
        return True  # no way to know on this system
    try:
        if any(str(stream.readlink()) != terminal for stream in streams):
            return False
        return _in_foreground(launcher.pid, terminal)
    except OSError:
        return False


def _in_foreground(pid: int, terminal: str) -> bool:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    group, foreground = int(fields[2]), int(fields[5])
    return group == foreground


def open_terminal(terminal: str) -> int:
    """A descriptor of ``terminal``, which does not become the controlling terminal."""
    return os.open(terminal, os.O_RDWR | os.O_NOCTTY)


def _attributes(terminal: str) -> list[Any] | None:
    """The terminal's settings; ``None`` where it cannot be opened."""
    try:
        descriptor = open_terminal(terminal)
    except OSError:
        return None
    try:
        return termios.tcgetattr(descriptor)
    except termios.error:
        return None
    finally:
        os.close(descriptor)


def restore(terminal: str, before: list[Any], dead: bool = False) -> None:
    """Restore the terminal's settings; with ``dead``, also leave the full screen."""
    with suppress(OSError, termios.error):
        descriptor = open_terminal(terminal)
        try:
            if dead:
                os.write(descriptor, LEAVE_SCREEN.encode())
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
        finally:
            os.close(descriptor)
