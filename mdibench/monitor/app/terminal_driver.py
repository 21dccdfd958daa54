"""The app on the launcher's terminal: draws there, and reads its keys from standard input.

The child's side of ``mpirun_terminal``. Called by ``cli.monitor`` with ``--tty``.
"""

from __future__ import annotations

import os
import select
import signal
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

from mdibench.monitor.mpirun_terminal import open_terminal, restore

POLL_S = 0.1
LAST_PICTURE_S = 1.0
"""How long a job's end stays on the screen where no key can close it."""
STANDARD_INPUT, STANDARD_OUTPUT = 0, 1


@contextmanager
def draw_on(terminal: str) -> Iterator[None]:
    """Draw on ``terminal``: it becomes standard output and error, unbuffered and without echo.

    The terminal's settings are restored at the end. Raises ``OSError`` where it cannot be used.
    """
    descriptor = open_terminal(terminal)
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error as failure:
        os.close(descriptor)
        raise OSError(*failure.args) from None
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    _leave_on_signals()
    try:
        termios.tcsetattr(1, termios.TCSANOW, _raw(before))
        yield
    finally:
        restore(terminal, before)


def _raw(before: list[Any]) -> list[Any]:
    """Settings without line buffering and echo: the flags that Textual sets on its own terminal."""
    attributes = list(before)
    attributes[tty.LFLAG] = LinuxDriver._patch_lflag(attributes[tty.LFLAG])
    attributes[tty.IFLAG] = LinuxDriver._patch_iflag(attributes[tty.IFLAG])
    return attributes


def _leave_on_signals() -> None:
    """Close the screen properly when the launcher dies and sends SIGHUP or SIGTERM."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


class ForwardedKeysDriver(LinuxDriver):
    """Textual's driver for a terminal that sends this process neither keys nor SIGWINCH.

    Keys come from standard input, which ends with the launcher. Where a command waits that leaves
    the terminal alone (``outlives_launcher``), they then come from the terminal itself; else the
    app ends, since no key could close it. The size is polled every ``POLL_S``.
    """

    outlives_launcher: ClassVar[bool] = False

    def run_input_thread(self) -> None:
        """Read keys and poll the size until the app or the standard input ends."""
        parser = XTermParser(self._debug)
        size = self._get_terminal_size()
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], POLL_S)
            if ready:
                data = os.read(self.fileno, 4096)
                if not data and self.fileno == STANDARD_INPUT and self.outlives_launcher:
                    self.fileno = STANDARD_OUTPUT  # the terminal, open for both
                    continue
                if not data:
                    self._end()
                    return
                for event in parser.feed(data.decode(errors="replace")):
                    self.process_message(event)
            for event in parser.tick():
                self.process_message(event)
            if (now := self._get_terminal_size()) != size:
                size = now
                self.process_message(events.Resize(Size(*now), Size(*now)))

    def _end(self) -> None:
        """Leave as if by Ctrl-C, so that the summary is printed, once its reason is known."""
        time.sleep(LAST_PICTURE_S)
        with suppress(RuntimeError):  # the app's loop may be over already
            self._loop.call_soon_threadsafe(self._app.simulate_key, "ctrl+c")
