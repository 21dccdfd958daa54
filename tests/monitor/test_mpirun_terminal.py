"""The launcher's terminal: found, drawn on, and given back, with real pseudo-terminals.

A test is the person: it holds the master side of a pty. On its slave side sits a stand-in for
mpirun, which starts a stand-in for rank 0 as a launcher does: in a session of its own, without a
terminal, with its standard input forwarded through a pipe.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from mdibench.monitor import mpirun_terminal
from tests.monitor.support import start
from tests.monitor.synthetic import Synthetic

LAUNCHER = textwrap.dedent(
    """
    import os, subprocess, sys, threading
    rank = subprocess.Popen(
        [sys.executable, "-c", os.environ["RANK_0"], *sys.argv[1:]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        env=os.environ | {"PMI_RANK": "0", "OMPI_COMM_WORLD_RANK": "0"},
    )
    def forward():
        while data := os.read(0, 1024):
            rank.stdin.write(data); rank.stdin.flush()
    threading.Thread(target=forward, daemon=True).start()
    status = rank.wait()
    print("rank 0 said:", rank.stdout.read().decode().strip(), "status", status, flush=True)
    """
)
RANK_0 = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from mdibench.monitor.mpirun_terminal import attach
    assert "textual" not in sys.modules
    child = attach(Path(sys.argv[1]))
    print("no terminal" if child is None else child.wait())
    """
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = start(tmp_path, Synthetic(ranks=2, rate=30, duration_s=3.0))
    run.finish()
    return run.folder


class Person:
    """Somebody at a terminal, in which a launcher runs."""

    def __init__(self, folder: Path, size: tuple[int, int] = (100, 30)) -> None:
        self.master, slave = pty.openpty()
        self.name = os.ttyname(slave)
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self.seen = ""
        self.shell = subprocess.Popen(
            ["sh", "-c", '"$@"; sleep 60', "sh", sys.executable, "-c", LAUNCHER, str(folder)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=os.environ | {"RANK_0": RANK_0, "TERM": "xterm-256color"},
        )  # fmt: skip
        self._slave = slave

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, wanted: str, seconds: float = 20.0) -> str:
        """Everything written since the last call, until ``wanted`` came."""
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while wanted not in self.seen[start:]:
            left = deadline - time.monotonic()
            assert left > 0, f"no {wanted!r} in {self.seen[-2000:]!r}"
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
        return self.seen[start:]

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def settings(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def monitor(self) -> psutil.Process:
        """The monitor's process."""
        below = psutil.Process(self.shell.pid).children(recursive=True)
        return next(child for child in below if "--tty" in child.cmdline())

    def close(self) -> None:
        for child in psutil.Process(self.shell.pid).children(recursive=True):
            child.kill()
        self.shell.kill()
        self.shell.wait()
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def person(folder: Path) -> Person:
    one = Person(folder)
    yield one
    one.close()


@pytest.mark.slow
def test_keys_resize_and_leaving(person: Person) -> None:
    person.read_until("\x1b[?1049h")
    person.read_until("complete")
    assert person.settings() != person.before
    person.resize(60, 12)
    person.read_until("accuracy")
    person.type("q")
    text = person.read_until("rank 0 said: 0 status 0")
    assert "\x1b[?1049l" in text
    assert "complete after 00:06" in text
    assert person.settings() == person.before


@pytest.mark.slow
def test_a_killed_monitor_leaves_a_good_terminal(person: Person) -> None:
    person.read_until("complete")
    person.monitor().send_signal(signal.SIGKILL)
    text = person.read_until("rank 0 said: -9")
    assert "\x1b[?1049l" in text
    assert "\x1b[?25h" in text
    assert person.settings() == person.before


@pytest.mark.slow
def test_a_launcher_that_dies_takes_the_view_along(person: Person) -> None:
    """Without keys nobody could leave: the monitor says what it saw last and goes."""
    person.read_until("complete")
    monitor = person.monitor()
    launcher = psutil.Process(person.shell.pid).children()[0]
    rank = launcher.children()[0]
    launcher.kill()
    rank.kill()
    text = person.read_until("complete after 00:06")
    assert "\x1b[?1049l" in text
    psutil.wait_procs([monitor], timeout=20)
    assert not monitor.is_running() or monitor.status() == psutil.STATUS_ZOMBIE
    assert person.settings() == person.before


def test_no_terminal_no_monitor(folder: Path) -> None:
    """Below a launcher whose output goes to a file, as under CI."""
    done = subprocess.run(
        [sys.executable, "-c", RANK_0, str(folder)], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "no terminal"


def test_the_environment_of_a_process_that_is_no_rank() -> None:
    ours = {"PMI_RANK": "0", "PMIX_ID": "x", "OMPI_MCA": "y", "MPI_LOCALRANKID": "0", "LINES": "9"}
    kept = mpirun_terminal.monitor_environment(ours | {"HOME": "/h", "PATH": "/p", "TERM": "dumb"})
    assert kept == {"HOME": "/h", "PATH": "/p", "TERM": "xterm-256color"}


class Fake:
    """A process as psutil shows it."""

    def __init__(self, pid: int, terminal: str | None, above: "list[Fake] | None" = None) -> None:
        self.pid, self._terminal, self._above = pid, terminal, above or []

    def terminal(self) -> str | None:
        return self._terminal

    def parents(self) -> "list[Fake]":
        return self._above


def test_the_nearest_ancestor_with_a_terminal_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpirun_terminal, "_may_use", lambda launcher, name: launcher.pid != 7)
    proxy, mpirun, shell = Fake(1, None), Fake(2, "/dev/pts/3"), Fake(3, "/dev/pts/4")
    assert mpirun_terminal.launcher_terminal(Fake(9, None, [proxy, mpirun, shell])) == "/dev/pts/3"
    assert mpirun_terminal.launcher_terminal(Fake(9, None, [proxy])) is None
    redirected = Fake(7, "/dev/pts/3")
    assert mpirun_terminal.launcher_terminal(Fake(9, None, [redirected, shell])) is None
