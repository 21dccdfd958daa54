"""A real run under mpirun, followed in a real terminal: to its end, and to its death."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mdibench.rank.launch import child_environment, command, find_mpirun
from mdibench.record import run_folder
from tests.terminals import Tmux

pytestmark = [
    pytest.mark.slow,
    pytest.mark.mpi,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]
CONFIG = """
[run]
name = "watched"
warmup_s = 0.5
duration_s = {seconds}
results = "{results}"
threads = 1
[admission]
mode = "fixed-rate"
interarrival_s = 0.05
[emulation]
device = "jetson-nano"
link = "wifi-5ghz"
"""


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    one = Tmux()
    yield one
    one.close()


class Job:
    """``mdibench run`` on three ranks."""

    def __init__(self, place: Path, seconds: float) -> None:
        self.results = place / "results"
        config = place / "watched.toml"
        config.write_text(CONFIG.format(seconds=seconds, results=self.results))
        self.mpirun = subprocess.Popen(
            command(find_mpirun(), 3, None, ["run", str(config), "--quiet"]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=child_environment() | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def folder(self) -> Path:
        """The run's folder, once there is one."""
        for _ in range(1200):
            if self.results.exists() and (runs := run_folder.find_runs([self.results])):
                return runs[0]
            time.sleep(0.1)
        raise AssertionError("the run never began")

    def close(self) -> None:
        if self.mpirun.poll() is None:
            for child in psutil.Process(self.mpirun.pid).children(recursive=True):
                child.kill()
        self.mpirun.kill()
        self.mpirun.wait()


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    one = Job(tmp_path, seconds=200.0)
    yield one
    one.close()


def watch(tmux: Tmux, job: Job) -> Path:
    folder = job.folder()
    tmux.run(f"{sys.executable} -m mdibench monitor --results {job.results}")
    return folder


def test_a_real_run_is_followed_and_ended_in_order(tmux: Tmux, job: Job) -> None:
    folder = watch(tmux, job)
    screen = tmux.until("● running")
    assert "emulated jetson-nano / wifi-5ghz" in screen
    tmux.key("e")
    tmux.until("End this run now?")
    tmux.key("y")
    tmux.until("✓ complete")
    assert job.mpirun.wait(60) == 0
    assert run_folder.read_manifest(folder)["status"] == "complete"
    tmux.key("q")
    last_words = tmux.until("files      ")
    assert "complete (asked by the monitor) after 00:" in last_words


def test_the_death_of_a_real_run_is_seen_within_a_second(tmux: Tmux, job: Job) -> None:
    folder = watch(tmux, job)
    tmux.until("● running")
    manifest = run_folder.read_manifest(folder)
    source = psutil.Process(manifest["pid"])
    os.kill(manifest["ranks"][2]["pid"], signal.SIGKILL)
    psutil.wait_procs([source], timeout=30)
    died_s = time.monotonic()
    tmux.until("✗ aborted", "✗ failed")
    assert time.monotonic() - died_s < 1.0
