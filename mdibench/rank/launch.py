"""Start the ranks of a job: mpirun as a child process (``--ranks``, and the crews of a sweep)."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from mdibench.assembly import environment
from mdibench.errors import USAGE_ERROR, Problem, UserError, say
from mdibench.rank.guard import BY_INTERRUPT, BY_SIGTERM, TALK_VARIABLE
from mdibench.record.run_folder import STOP

if TYPE_CHECKING:
    from rich.progress import Progress


def find_mpirun() -> Path:
    """The mpirun beside this Python first, since it matches the MPI that mpi4py loads."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun") or shutil.which("mpiexec")
    if found is None:
        raise UserError(
            Problem(
                "no mpirun found",
                remedy="pip install 'mdibench[mpich]', or load your cluster's MPI module",
            )
        )
    return Path(found)


def is_open_mpi(mpirun: Path) -> bool:
    """Whether this launcher is Open MPI's, whose options differ from MPICH's."""
    version = subprocess.run(
        [str(mpirun), "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return "Open MPI" in version.stdout or "open-mpi" in version.stdout


def command(mpirun: Path, ranks: int, hostfile: Path | None, program: Sequence[str]) -> list[str]:
    """The command line that starts ``ranks`` ranks of ``python -m mdibench PROGRAM...``.

    Raises UserError for a hostfile that the launcher cannot read.
    """
    open_mpi = is_open_mpi(mpirun)
    line = [str(mpirun), "-n", str(ranks)]
    if hostfile is not None:
        check_hosts(hostfile, open_mpi)
        line += ["--hostfile" if open_mpi else "-f", str(hostfile)]
    if open_mpi:
        line += ["--oversubscribe", "--bind-to", "none"]
    return [*line, sys.executable, "-m", "mdibench", *program]


MPICH_HOST = re.compile(r"[^\s:,#]+(:0*[1-9]\d*)?(\s+(binding|ifname|user)=\S+)*")
"""A host in the hostfile of MPICH's launcher."""


def check_hosts(hostfile: Path, open_mpi: bool) -> None:
    """Refuse a hostfile without a host, or with a line that MPICH's launcher cannot read.

    MPICH starts all ranks here where no host is named, and may end without a word over a line.
    """
    from mdibench.config.messages import shown
    from mdibench.config.reading import read_text

    if not hostfile.is_file():
        raise UserError(Problem(f'no such file: "{hostfile}"', "--hostfile", "one host per line"))
    lines = map(str.strip, read_text(hostfile, "hostfile").splitlines())
    hosts = {at: line for at, line in enumerate(lines, 1) if line and not line.startswith("#")}
    problems = [
        Problem(f"not a host: {shown(line)}", f"{hostfile}:{at}", _host_remedy(line))
        for at, line in hosts.items()
        if not (open_mpi or MPICH_HOST.fullmatch(line))
    ]
    if not hosts:
        problems.append(Problem("names no host", str(hostfile), "one host per line, source first"))
    if problems:
        raise UserError(*problems)


def _host_remedy(line: str) -> str:
    if "slots=" in line:
        return "that is Open MPI's form, and this mpirun is MPICH's: write HOST:RANKS"
    return "write HOST or HOST:RANKS"


def child_environment() -> dict[str, str]:
    """This process's environment, which tells the ranks of a terminal."""
    variables = dict(os.environ)
    if sys.stderr.isatty():
        variables[environment.TERMINAL_VARIABLE] = "1"
    if sys.stdout.isatty():
        variables[environment.OUTPUT_VARIABLE] = "1"
    if os.geteuid() == 0:
        variables.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
        variables.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    return variables


def prepare_rank() -> environment.Launch:
    """What every rank does first, before numpy, torch and MPI start: threads and limits.

    Raises UserError on rank 0 where MPI could not start; other ranks then end without a word.
    """
    launch = facts()
    environment.limit_threads(launch.local_size)
    shared = environment.shared_memory()
    lack = environment.lacking_shared_memory(launch.local_size, shared.total) if shared else ""
    if launch.local_size > 1 and lack:
        if launch.rank:
            os._exit(USAGE_ERROR)
        raise UserError(Problem(lack, "shared memory", environment.SHARED_MEMORY_REMEDY))
    return launch


def facts() -> environment.Launch:
    """The launcher of this process and the place it gave it."""
    return environment.launch_facts(library=_loaded_vendor)


def _loaded_vendor() -> str:
    from mdibench.transport.mpi import vendor

    return vendor()


def _check_shared_memory(ranks: int) -> None:
    shared = environment.shared_memory()
    lack = environment.lacking_shared_memory(ranks, shared.free) if shared and ranks > 1 else ""
    if lack:
        raise UserError(Problem(lack, "shared memory", environment.SHARED_MEMORY_REMEDY))


def run_ranks(
    ranks: int,
    hostfile: Path | None,
    program: Sequence[str],
) -> int:
    """Run ``mdibench PROGRAM...`` on ``ranks`` ranks; the job's exit status."""
    with start_ranks(ranks, hostfile, program) as child:
        pass_on_signals(child.terminate)
        return wait_for(child)


def start_ranks(
    ranks: int,
    hostfile: Path | None,
    program: Sequence[str],
    reads_keys: bool = False,
    apart: bool = False,
    output: IO[bytes] | None = None,
    errors: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """The launcher of ``mdibench PROGRAM...`` on ``ranks`` ranks.

    Only a program that ``reads_keys`` gets this process's stdin: a launcher reads all of it, and
    is stopped by a terminal that it may not read. ``apart``: in a session of its own, which Ctrl-C
    does not reach. ``output``, ``errors``: files instead of the terminal.
    """
    _check_shared_memory(1 if hostfile else ranks)
    line = command(find_mpirun(), ranks, hostfile, program)
    stdin = None if reads_keys else subprocess.DEVNULL
    return subprocess.Popen(
        line, env=child_environment(), stdin=stdin, stdout=output, stderr=errors,
        start_new_session=apart, preexec_fn=_ends_with_parent(),
    )  # fmt: skip


PR_SET_PDEATHSIG = 1


def _ends_with_parent() -> Callable[[], object] | None:
    """For a child process: get SIGTERM when this process is killed. Linux only, else ``None``."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_for(child: subprocess.Popen[bytes], interrupt: Callable[[], bool] | None = None) -> int:
    """The job's exit status.

    With ``interrupt``, Ctrl-C calls that, and goes on to the launcher only where it returns false;
    without, the launcher has got Ctrl-C itself.
    """
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            if interrupt is not None and not interrupt():
                child.send_signal(signal.SIGINT)


def pass_on_signals(terminate: Callable[[], object]) -> None:
    """Have the signals that end this command end the job."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda number, frame: terminate())


# --- what a job tells the command that launched it ------------------------------------------------
# ``mdibench run --ranks N`` makes a FIFO and names it in ``TALK_VARIABLE``. Rank 0, its monitor and
# its guard write lines of ``WORD TEXT`` into it: stages, the run's folder, how it ended. Each holds
# it open for as long as the command has to wait.

STAGES = ("starting", "loading", "measuring", "opening")
"""The words of a run's beginning, in their order."""
LAST_WORDS_S = 25.0
"""Longest wait for the guard, which waits for rank 0; a monitor is waited for without end."""
BY_CTRL_C = "asked by Ctrl-C"


def tell(word: str, text: str = "") -> None:
    """Write a line to the launching command, if there is one. Called by rank 0."""
    descriptor = open_talk()
    if descriptor is not None:
        with suppress(OSError):
            os.write(descriptor, f"{word} {text}\n".encode())
        os.close(descriptor)


def open_talk() -> int | None:
    """A descriptor of the FIFO: the launching command waits until it is closed."""
    path = os.environ.get(TALK_VARIABLE)
    if path:
        with suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    return None


class Launching:
    """The launching command's side, as a context around the job.

    ``shows``: a bar on the terminal. ``monitored``: rank 0 opens a monitor there.
    """

    def __init__(self, name: str, ranks: int, shows: bool, monitored: bool) -> None:
        self.name, self.ranks = name, ranks
        self.folder: Path | None = None
        self.stopping = False
        """Whether the user has asked this command to end the run."""
        self.stage, self.done = f"{STAGES[0]} {ranks} ranks", 0.0
        """What the job does, and how much of its beginning is over, from 0 to 1."""
        self.job: subprocess.Popen[bytes] | None = None
        self._shows = shows
        self._progress: Progress | None = None
        self._opens_monitor = monitored
        self._monitored = False
        self._last_words = ""
        self._held = -1
        self._buffer = b""
        self._thread = threading.Thread(target=self._listen, name="launching", daemon=True)
        self._over = threading.Event()

    def __enter__(self) -> Launching:
        self._place = tempfile.TemporaryDirectory(prefix="mdibench-")
        path = Path(self._place.name) / "talk"
        os.mkfifo(path, 0o600)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._held = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # no end while the job goes on
        os.environ[TALK_VARIABLE] = str(path)
        self._show()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._held)
        self._over.set()
        if error is None:
            self._thread.join()
        self.hide()
        os.environ.pop(TALK_VARIABLE, None)
        self._place.cleanup()

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.job is not None and self.job.poll() is not None

    def hide(self) -> None:
        """Remove the bar for good."""
        self._shows = False
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def interrupt(self) -> bool:
        """Ask the run to drain; false where it cannot be asked, or was asked before."""
        if not self.stopping and self._wish(BY_CTRL_C):
            say("the run drains and writes its files; Ctrl-C again aborts it")
            return True
        self._wish(BY_INTERRUPT)
        return False

    def terminate(self) -> None:
        """End the job at once: this command is told to end."""
        self._wish(BY_SIGTERM)
        self.stopping = True
        if self.job is not None:
            self.job.terminate()

    def _wish(self, reason: str) -> bool:
        """Leave ``reason`` in the run's folder, for rank 0 and its guard; whether that worked."""
        self.stopping = self.folder is not None
        with suppress(OSError):
            if self.folder is not None:
                (self.folder / STOP).write_text(reason, encoding="utf-8")
                return True
        return False

    def say_end(self) -> None:
        """After the job: say how it ended, where the job itself could not."""
        if self._last_words and not self.stopping:
            say(self._last_words)

    # --- listening --------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take lines until every writer is gone."""
        deadline_s = None
        while True:
            if self._over.is_set() and deadline_s is None:
                deadline_s = time.monotonic() + LAST_WORDS_S
            if deadline_s and time.monotonic() > deadline_s and not self._monitored:
                return
            if not select.select([self._reader], [], [], 0.1)[0]:
                continue
            data = os.read(self._reader, 4096)
            if not data:
                return
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                word, _, text = line.decode(errors="replace").partition(" ")
                self._take(word, text)

    def _take(self, word: str, text: str) -> None:
        if word in STAGES:
            self.stage, self.done = f"{word} {text}".strip(), STAGES.index(word) / len(STAGES)
            self._show()
        elif word == "folder":
            self.folder = Path(text)
            if not self._opens_monitor:
                self.hide()
        elif word == "monitor":
            self._monitored = True
            self.hide()
        elif word == "end":
            self._last_words = text

    # --- progress ---------------------------------------------------------------------------------

    def _show(self) -> None:
        """A bar with one step per stage, on a terminal."""
        if not self._shows:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        if self._progress is None:
            console = Console(stderr=True, highlight=False)
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(20),
                TimeElapsedColumn(),
                console=console,
                transient=True,
            )
            self._progress.add_task("", total=1.0)
            self._progress.start()
        self._progress.update(
            self._progress.task_ids[0], description=self.stage, completed=self.done
        )
