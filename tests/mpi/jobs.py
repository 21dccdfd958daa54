"""Real jobs for tests: mpirun with a hard time limit, and the run folder that they leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mdibench.compiled import SWITCH
from mdibench.record.run_folder import find_runs

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
SMALL = """
[run]
name = "test"
warmup_s = 0.0
duration_s = 0.5
[model]
name = "null"
[placement]
copies = 2
"""


def mpirun() -> str:
    """The launcher beside this Python, or any other; the test is skipped without one."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        pytest.skip("no mpirun on this machine")
    return found


def environment(**more: str) -> dict[str, str]:
    """One thread per rank, tests importable by the ranks."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MDI")}
    variables[SWITCH] = "0"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return variables | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | more


@dataclass(frozen=True)
class Done:
    """A finished job."""

    status: int
    out: str
    err: str
    seconds: float
    results: Path

    @property
    def run(self) -> Path:
        """The only run folder that the job left."""
        (folder,) = find_runs([self.results])
        return folder


class Job:
    """A job that is going on."""

    def __init__(
        self,
        folder: Path,
        ranks: int,
        text: str,
        *options: str,
        start: Callable[..., list[str]] | None = None,
        **env: str,
    ) -> None:
        """``start`` makes the command that starts a program on all ranks, if not a plain mpirun."""
        self.results = folder / "results"
        config = folder / "config.toml"
        config.write_text(text)
        program = ["run", str(config), f"--set=run.results={self.results}", *options]
        line = [mpirun(), "-n", str(ranks), sys.executable, "-m", "mdibench", *program]
        self._begun_s = time.monotonic()
        self.process = subprocess.Popen(
            start(*program) if start else line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**env),
        )

    def folder(self, patience_s: float = 40) -> Path:
        """The run's folder, once the run has begun."""
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s:
            if self.results.exists() and (runs := find_runs([self.results])):
                return runs[0]
            time.sleep(0.05)
        self.process.kill()
        pytest.fail("the run did not begin")

    def done(self, timeout_s: float = TIMEOUT_S) -> Done:
        """Wait for its end; a hang is killed and fails the test."""
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._ask_for_stacks()
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"the job hangs\n{out}\n{err}")
        seconds = time.monotonic() - self._begun_s
        return Done(self.process.returncode, out, err, seconds, self.results)

    def _ask_for_stacks(self) -> None:
        """Let every rank of a hanging job say where it is."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if "python" in child.name():
                child.send_signal(signal.SIGUSR1)
        time.sleep(1)


def job(folder: Path, ranks: int, text: str = SMALL, options: Sequence[str] = ()) -> Done:
    """Run a config to its end."""
    return Job(folder, ranks, text, *options).done()
