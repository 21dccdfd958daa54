"""A program on a pseudo-terminal, and what a person sees and types there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_ESCAPES = re.compile(
    r"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[P\]X^_].*?(?:\x1b\\|\x07)|\x1b[()][0-9A-B]|\x1b[=>78cDEHM]",
    re.DOTALL,
)


def _as_a_shell_starts_it() -> None:
    """The terminal is the program's own, and Ctrl-C reaches it, wherever the tests were started."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """``command`` in a session of its own on a new terminal; killed with all its children at the
    end of the ``with`` block.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        size: tuple[int, int] = (120, 36),
    ) -> None:
        self._master, slave = pty.openpty()
        columns, rows = size
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.raw = ""
        """Everything written so far."""
        self.process = subprocess.Popen(
            list(command), cwd=folder, env={**variables, "TERM": "xterm-256color"},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=_as_a_shell_starts_it,
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """The same without escape sequences."""
        return _ESCAPES.sub("", self.raw)

    def shows(self, wanted: str, seconds: float = 20.0) -> None:
        """Wait until ``wanted`` was written since the last call."""
        deadline, start = time.monotonic() + seconds, len(self.raw)
        while wanted not in _ESCAPES.sub("", self.raw[start:]):
            left = deadline - time.monotonic()
            assert left > 0, f"no {wanted!r} in {self.text[-3000:]!r}"
            assert self._read(left), f"ended without {wanted!r}: {self.text[-3000:]!r}"

    def read_for(self, seconds: float) -> None:
        """Read what comes in the next ``seconds``."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._read(left):
            pass

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def wait(self, seconds: float = 20.0) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._read(left):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        """Read what comes within ``seconds``; false at the end."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)


class Tmux:
    """A terminal of our own: a tmux server that nobody else knows."""

    def __init__(self) -> None:
        self.socket = f"mdibench-{uuid.uuid4().hex[:8]}"
        self._do("-f", "/dev/null", "new-session", "-d", "-s", "t", "-x", "120", "-y", "36")

    def _do(self, *arguments: str) -> str:
        line = ["tmux", "-L", self.socket, *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout

    def run(self, line: str) -> None:
        self._do("send-keys", "-t", "t", line, "Enter")

    def key(self, key: str) -> None:
        self._do("send-keys", "-t", "t", key)

    def resize(self, columns: int, rows: int) -> None:
        self._do("resize-window", "-t", "t", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        return self._do("capture-pane", "-t", "t", "-p")

    def until(self, *wanted: str, seconds: float = 60.0) -> str:
        """The screen once it shows one of ``wanted``."""
        return self._until(lambda text: any(w in text for w in wanted), wanted, seconds)

    def until_all(self, *wanted: str, seconds: float = 60.0) -> str:
        """The screen once it shows all of ``wanted``, wherever its width breaks their lines."""

        def shows(text: str) -> bool:
            joined = " ".join(text.split())
            return all(" ".join(w.split()) in joined for w in wanted)

        return self._until(shows, wanted, seconds)

    def _until(self, shows: Callable[[str], bool], wanted: Sequence[str], seconds: float) -> str:
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            if shows(text := self.screen()):
                return text
            time.sleep(0.02)
        raise AssertionError(f"no {wanted} on:\n{self.screen()}")

    def close(self) -> None:
        self._do("kill-server")
