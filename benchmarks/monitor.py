"""What the monitor costs: its CPU share beside a live run, and the time to open a big one.

    python benchmarks/monitor.py

Both are measured from outside, on the real program in a pseudo-terminal of 120 x 36. The live run
is a stream written in real time by this process: 16 ranks, all to all, 200 items/s with every step
recorded, about as much as 16 real ranks write. The big run has a million items, ten minutes of
telemetry from 16 ranks, and no steps (stories are read one by one). With ``--pairs N``, N real runs
on four ranks with and without a monitor are compared, on emulated devices that leave cores free and
on bare ranks that keep every core busy.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

import click
import numpy as np
import psutil
from scipy.stats import t as student_t

sys.path.insert(0, str(Path(__file__).parent.parent))

from mdibench.rank.launch import child_environment, command, find_mpirun
from mdibench.record import run_folder
from mdibench.record.columns import read_columns
from mdibench.record.run_folder import RunWriter
from tests.monitor.synthetic import Synthetic
from tests.rows import row_of

RANKS = 16
EXITS = 5


class Terminal:
    """A monitor in a pseudo-terminal, and when it said what."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mdibench", "monitor", str(folder), *options],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
        )  # fmt: skip
        os.close(slave)
        self.seen = b""

    def until(self, text: str, seconds: float = 60.0) -> float:
        """Seconds from the start until ``text`` was on the screen."""
        deadline_s = time.monotonic() + seconds
        while text.encode() not in self.seen:
            if not select.select([self.master], [], [], deadline_s - time.monotonic())[0]:
                raise SystemExit(f"the monitor never said {text!r}")
            self.seen += os.read(self.master, 1 << 16)
        return time.monotonic() - self.started_s

    def drain(self, seconds: float) -> None:
        """Read whatever is drawn for some time, as a terminal does."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            if select.select([self.master], [], [], left_s)[0]:
                os.read(self.master, 1 << 16)

    def leave(self) -> None:
        """Quit the monitor."""
        os.write(self.master, b"q")
        with suppress(OSError):  # the end of the terminal, once the monitor has closed it
            self.drain(5.0)
        self.process.wait()
        os.close(self.master)


def new_folder(results: Path, name: str) -> Path:
    """The folder of a run that starts now."""
    return run_folder.create(results, name, datetime.now(timezone.utc), os.urandom(2).hex())


# --- a live run -----------------------------------------------------------------------------------


@contextmanager
def live_run(results: Path, seconds: float) -> Iterator[Path]:
    """A stream that grows in real time while the block runs."""
    synthetic = Synthetic(ranks=RANKS, rate=200, duration_s=seconds, warmup_s=1.0, service_s=0.004)
    folder = new_folder(results, "live")
    writer = RunWriter(folder, synthetic.manifest())
    stop = threading.Event()
    thread = threading.Thread(target=_write, args=(writer, synthetic, stop))
    thread.start()
    try:
        yield folder
    finally:
        stop.set()
        thread.join()
        writer.finish("complete", "")


def _write(writer: RunWriter, synthetic: Synthetic, stop: threading.Event) -> None:
    rows = [(_known_s(values), row_of(table, values)) for table, values in synthetic.rows()]
    start_s, place = time.monotonic(), 0
    while not stop.is_set() and place < len(rows):
        now_s = time.monotonic() - start_s
        while place < len(rows) and rows[place][0] <= now_s:
            writer.append(rows[place][1])
            place += 1
        writer.flush()
        time.sleep(0.05)


def _known_s(row: dict[str, object]) -> float:
    times = [row.get(name) for name in ("t_s", "completed_s", "scheduled_s")]
    return float(next(t for t in times if t is not None))


def cpu_share(results: Path, pace_s: float, seconds: float) -> float:
    """Processor time per second of a monitor attached to a live run, once it has started."""
    with live_run(results, seconds + 25.0) as folder:
        time.sleep(12.0)
        terminal = Terminal(folder, "--refresh", str(pace_s))
        terminal.until("running")
        terminal.drain(3.0)
        process = psutil.Process(terminal.process.pid)
        before, started_s = process.cpu_times(), time.monotonic()
        terminal.drain(seconds)
        after, elapsed_s = process.cpu_times(), time.monotonic() - started_s
        terminal.leave()
    return (after.user + after.system - before.user - before.system) / elapsed_s


# --- a big finished run ---------------------------------------------------------------------------


def big_run(results: Path, items: int) -> Path:
    """A finished run, its tables written at once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from mdibench.record.tables import arrow_schema

    folder = new_folder(results, "big")
    seconds = 600.0
    manifest = Synthetic(ranks=RANKS, duration_s=seconds - 2).manifest("complete")
    (folder / run_folder.MANIFEST).write_text(json.dumps(manifest))
    tables = {
        "items": _items(items, seconds),
        "telemetry": _telemetry(seconds),
        "links": _links(seconds),
        "events": {},
        "steps": {},
    }
    for name, columns in tables.items():
        kind = arrow_schema(name)
        length = len(next(iter(columns.values()))) if columns else 0
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(length, field.type)
            for field in kind
        ]
        table = pa.Table.from_arrays(arrays, schema=kind)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    return folder


def _items(count: int, seconds: float) -> dict[str, object]:
    random = np.random.default_rng(1)
    scheduled_s = np.sort(random.uniform(0, seconds - 1, count))
    latency_s = random.lognormal(-2.5, 0.6, count)
    order = np.argsort(scheduled_s + latency_s)
    paths = np.array(["0", "0>1", "0>2>3", "0>4>9>1"])
    label = random.integers(0, 10, count)
    columns = {
        "item": np.arange(count), "sample": np.arange(count) % 1000, "label": label,
        "prediction": label, "correct": random.random(count) < 0.95,
        "exit": random.integers(1, EXITS + 1, count), "confidence": random.uniform(0.8, 1, count),
        "threshold": np.full(count, 0.8), "scheduled_s": scheduled_s,
        "admitted_s": scheduled_s, "completed_s": scheduled_s + latency_s,
        "latency_s": latency_s, "hops": random.integers(0, 5, count),
        "wire_bytes": random.integers(0, 90_000, count), "path": paths[label % 4],
        "attempts": np.ones(count, int), "status": np.full(count, "ok"),
        "reason": np.full(count, ""),
    }  # fmt: skip
    return {name: values[order] for name, values in columns.items()}


def _telemetry(seconds: float) -> dict[str, object]:
    t_s = np.repeat(np.arange(0.2, seconds, 0.2), RANKS)
    rank = np.tile(np.arange(RANKS), len(t_s) // RANKS)
    random = np.random.default_rng(2)
    counters = {name: (t_s * 100).astype(int) for name in ("tasks", "offered", "sent_bytes")}
    return counters | {
        "t_s": t_s, "rank": rank, "input_queue": random.integers(0, 30, len(t_s)),
        "output_queue": random.integers(0, 30, len(t_s)), "busy_s": 0.7 * t_s,
        "gamma_s": np.full(len(t_s), 0.02), "received_bytes": counters["sent_bytes"],
        "exits": [[1] * EXITS] * len(t_s), "threshold": np.full(len(t_s), 0.8),
        "interarrival_s": np.full(len(t_s), 0.02), "in_flight": random.integers(0, 99, len(t_s)),
    }  # fmt: skip


def _links(seconds: float) -> dict[str, object]:
    pairs = np.array([(a, b) for a in range(RANKS) for b in range(RANKS) if a != b])
    t_s = np.repeat(np.arange(0.2, seconds, 0.2), len(pairs))
    times = len(t_s) // len(pairs)
    counts = (t_s * 5).astype(int)
    return {
        "t_s": t_s, "source": np.tile(pairs[:, 0], times), "target": np.tile(pairs[:, 1], times),
        "messages": counts, "tasks": counts, "bytes": counts * 16_000,
        "hop_delay_s": np.full(len(t_s), 0.004), "ping_pongs": counts // 100,
    }  # fmt: skip


def opening(folder: Path) -> tuple[float, float]:
    """Seconds from the command to the picture of a finished run, and processor time till then."""
    terminal = Terminal(folder)
    elapsed_s = terminal.until("complete")
    used = psutil.Process(terminal.process.pid).cpu_times()
    terminal.leave()
    return elapsed_s, used.user + used.system


# --- the same run with and without a monitor ------------------------------------------------------

CONFIG = """
[run]
name = "paired"
seed = {seed}
warmup_s = 4.0
duration_s = 8.0
drain_s = 1.0
results = "{results}"
[admission]
mode = "offline"
max_in_flight = 40
[placement]
copies = 3
"""
BOARD = """
[emulation]
device = "board"
[emulation.devices.board]
block_ms = [20, 20, 20, 20, 20]
"""


def throughput(results: Path, seed: int, emulated: bool, watched: bool) -> float:
    """Items per second of a real run on four ranks, in its measured window."""
    place = results / f"{seed}-{emulated}-{watched}"
    place.mkdir()
    config = place / "config.toml"
    config.write_text(CONFIG.format(seed=seed, results=place) + BOARD * emulated)
    job = subprocess.Popen(
        command(find_mpirun(), 4, None, ["run", str(config), "--quiet"]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=child_environment(),
    )  # fmt: skip
    while not (runs := run_folder.find_runs([place])):
        time.sleep(0.05)
    terminal = Terminal(runs[0]) if watched else None
    while job.poll() is None:
        terminal.drain(0.2) if terminal else time.sleep(0.2)
    if terminal:
        terminal.leave()
    manifest = run_folder.read_manifest(runs[0])
    window, items = manifest["window"], read_columns(runs[0], "items", ["completed_s"])
    done = np.asarray(items["completed_s"])
    inside = np.count_nonzero((done >= window["start_s"]) & (done < window["end_s"]))
    return float(inside / (window["end_s"] - window["start_s"]))


def change(results: Path, emulated: bool, pairs: int) -> str:
    """How much throughput changes when a monitor watches: mean of pairs, 95 % interval."""
    changes = []
    for seed in range(pairs):
        order = (True, False) if seed % 2 else (False, True)
        rates = {watched: throughput(results, seed, emulated, watched) for watched in order}
        changes.append(rates[True] / rates[False] - 1)
        click.echo(f"  {rates[False]:.1f} /s alone, {rates[True]:.1f} /s watched", err=True)
    half = student_t.ppf(0.975, pairs - 1) * np.std(changes, ddof=1) / np.sqrt(pairs)
    return f"{np.mean(changes):+.1%} ± {half:.1%} ({pairs} pairs)"


@click.command()
@click.option("--pairs", default=0, show_default=True, help="Paired real runs, a minute each.")
@click.option("--items", default=1_000_000, show_default=True)
@click.option("--seconds", default=15.0, show_default=True, help="Length of the CPU measurement.")
@click.option("--repeats", default=3, show_default=True)
def main(pairs: int, items: int, seconds: float, repeats: int) -> None:
    """Print the monitor's costs."""
    with tempfile.TemporaryDirectory() as place:
        results = Path(place)
        for name, emulated in (("emulated ranks", True), ("saturated cores", False)):
            if pairs:
                click.echo(f"throughput while watched, {name}: {change(results, emulated, pairs)}")
        small = new_folder(results, "small")
        writer = RunWriter(small, Synthetic(ranks=2).manifest())
        writer.finish("complete", "")
        big = big_run(results, items)
        for name, folder in (("empty run", small), (f"run of {items:,} items", big)):
            times = [opening(folder) for _ in range(repeats)]
            shown = ", ".join(f"{wall:.2f} ({cpu:.2f})" for wall, cpu in times)
            click.echo(f"opening a finished {name}: {shown} s (of processor time)")
        for pace_s in (1.0, 0.25):
            share = cpu_share(results, pace_s, seconds)
            click.echo(f"attached to {RANKS} ranks, a refresh every {pace_s} s: {share:.1%} CPU")


if __name__ == "__main__":
    main()
