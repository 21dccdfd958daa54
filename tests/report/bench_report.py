"""How long a report takes: 10 million items in 100 runs, and one run of 100,000 items.

Run it by hand or from a benchmark session: ``python tests/report/bench_report.py [FOLDER]``. It
makes the runs (synthetic, see ``synthetic``) in FOLDER unless they are there, and prints wall
time, processor time and peak memory of each command, measured from outside. The memory is that of
all processes of a command together, with what they share counted once.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.synthetic_runs import Model, write_big_run

RUNS, ITEMS = 100, 100_000
MODEL = Model(items=ITEMS, rate_per_s=100, sample_s=0.5)
SAMPLE_S = 0.2
SCHEMES = ("local", "ddi", "mdi", "mdi-exit", "random")


def make(folder: Path) -> None:
    for at in range(RUNS):
        run = folder / f"20261103T14{at // 60:02}{at % 60:02}Z-synthetic-{at:04}"
        if not run.exists():
            scheme = SCHEMES[at % len(SCHEMES)]
            seed, rate = at // 20 + 1, 60 + 10 * (at // 5 % 4)
            model = replace(MODEL, seed=seed, scheme=scheme, rate_per_s=rate, label=f"{rate}/s")
            write_big_run(run, model)


def measure(*arguments: str) -> tuple[float, float, float]:
    """Wall and processor seconds, peak MiB of ``mdibench ARGUMENTS``."""
    started, peak_mib, ended = time.perf_counter(), 0.0, 0
    process = subprocess.Popen(
        [sys.executable, "-m", "mdibench", *arguments], stdout=subprocess.DEVNULL
    )
    while not ended:
        time.sleep(SAMPLE_S)
        peak_mib = max(peak_mib, memory_mib(process.pid))
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    if status:
        raise SystemExit(f"mdibench {' '.join(arguments)} failed with status {status}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, peak_mib


def tree(pid: int) -> list[int]:
    """A process and those below it."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found += tree(int(child))
    return found


def memory_mib(pid: int) -> float:
    """All that the process holds, and what those below it do not share with it."""
    command, *others = tree(pid)
    return held_mib(command, "Rss") + sum(held_mib(other, "Private") for other in others)


def held_mib(pid: int, kind: str) -> float:
    """By the kernel's account; nothing of a process that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="where the runs are, or will be")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp())
    make(folder)
    one = str(min(folder.iterdir()))
    with tempfile.TemporaryDirectory() as scratch:
        page = ("--html", str(Path(scratch) / "report.html"))
        for name, arguments in (
            ("100 runs, terminal", ("report", str(folder))),
            ("100 runs, page", ("report", str(folder), *page)),
            ("1 run, terminal", ("report", one)),
            ("1 run, page", ("report", one, *page)),
        ):
            wall_s, cpu_s, memory_mib = measure(*arguments)
            print(f"{name:<20} {wall_s:6.2f} s  {cpu_s:6.2f} s processor  {memory_mib:5.0f} MiB")


if __name__ == "__main__":
    main()
