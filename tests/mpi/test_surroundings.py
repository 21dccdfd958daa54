"""Shells, terminals and containers around a job: it neither eats their input nor dies of them."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdibench.record.run_folder import find_runs, status
from tests.mpi.jobs import SMALL, environment, mpirun

pytestmark = [pytest.mark.mpi, pytest.mark.slow, pytest.mark.timeout(120)]


def config(folder: Path, duration_s: float = 0.5) -> Path:
    """A small config that writes into ``folder``."""
    path = folder / "config.toml"
    text = SMALL.replace("duration_s = 0.5", f'duration_s = {duration_s}\nresults = "{folder}/r"')
    path.write_text(text)
    return path


def test_a_loop_over_configs_runs_each_of_them(tmp_path: Path) -> None:
    """``while read``: the launcher must not read the rest of the list."""
    path = config(tmp_path)
    line = f"while read c; do {sys.executable} -m mdibench run $c --ranks 2 -q; done"
    done = subprocess.run(
        ["sh", "-c", line], input=f"{path}\n" * 2, text=True, timeout=60, check=False,
        capture_output=True, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [status(run) for run in find_runs([tmp_path / "r"])] == ["complete"] * 2


def test_a_run_goes_on_in_the_background(tmp_path: Path) -> None:
    """``^Z`` and ``bg`` in a terminal."""
    mpirun()
    path = config(tmp_path, duration_s=3.0)
    pid, terminal = pty.fork()
    if pid == 0:  # the shell of a terminal
        os.environ.update(environment(PS1="$ "))
        os.execvp("bash", ["bash", "--norc", "-i"])
    keys = f"{sys.executable} -m mdibench run {path} --ranks 2 -q\n"
    os.write(terminal, keys.encode())
    deadline_s = time.monotonic() + 30
    while not (tmp_path / "r").exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    time.sleep(0.5)
    os.write(terminal, b"\x1a")
    time.sleep(0.5)
    os.write(terminal, b"bg\nwait %1; echo ended as $?; exit\n")
    seen = _read_all(terminal)
    os.waitpid(pid, 0)
    assert "ended as 0" in seen, seen
    (run,) = find_runs([tmp_path / "r"])
    assert status(run) == "complete"


def _read_all(terminal: int) -> str:
    seen = b""
    try:
        while piece := os.read(terminal, 4096):
            seen += piece
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(terminal)
    return seen.decode(errors="replace")


@pytest.mark.parametrize("inside", [True, False])
def test_too_little_shared_memory_is_told_with_the_remedy(tmp_path: Path, inside: bool) -> None:
    """A container's /dev/shm of 1 MB: seen by the launching command and by the ranks."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False).returncode:
        pytest.skip("mount namespaces are not permitted")
    command = f"{sys.executable} -m mdibench run {config(tmp_path)} -q"
    command = f"{mpirun()} -n 2 {command}" if inside else f"{command} --ranks 2"
    line = f"mount -t tmpfs -o size=1m tmpfs /dev/shm && {command}"
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", line], text=True, timeout=60, check=False,
        capture_output=True, env=environment(), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "1.0 MiB in /dev/shm for 2 ranks, which need 4 MiB" in done.stderr
    assert "--shm-size" in done.stderr
    assert "BAD TERMINATION" not in done.stdout + done.stderr
