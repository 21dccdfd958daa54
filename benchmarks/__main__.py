"""``nox -s bench``: what the harness itself costs, as ratios from one run; Markdown on stdout.

Each part is a child process of its own, so that none inherits another's threads or memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdibench.rank.launch import find_mpirun

ROOT = Path(__file__).parents[1]
PAIRS = 5
SECONDS = 4.0

LOCAL = """
[run]
name = "local"
warmup_s = 1.0
duration_s = {seconds}
trace = 0.0
[model]
name = "{model}"
dataset = "{dataset}"
engine = "{engine}"
[scheme]
name = "local"
{exits}
[admission]
mode = "offline"
max_in_flight = 4  # enough to keep one rank busy, few enough to stay in the cache like a bare loop
"""
HALVES = """
[run]
name = "halves"
warmup_s = 1.0
duration_s = {seconds}
trace = 0.0
[model]
name = "benchmarks.networks:even_blocks"
dataset = "digits"
engine = "{engine}"
[scheme]
name = "mdi"
[admission]
mode = "offline"
max_in_flight = 16
[placement]
blocks = {{ 0 = [1, 2], 1 = [3, 4] }}
"""
NULL = """
[run]
name = "null"
warmup_s = 1.0
duration_s = {seconds}
trace = 0.0
[model]
name = "null"
[scheme]
name = "{scheme}"
threshold = 0.5
[admission]
mode = "offline"
max_in_flight = 64
[placement]
replicate = true
"""
WAITING = """
[run]
name = "waiting"
warmup_s = 1.0
duration_s = {seconds}
[model]
name = "digits-cnn"
[scheme]
name = "local"
[admission]
mode = "fixed-rate"
interarrival_s = 1.0
"""


def environment() -> dict[str, str]:
    """One thread per rank, this folder importable."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def output_of(line: Sequence[str], env: dict[str, str], timeout_s: float | None = None) -> str:
    """What a command prints. One that does not end in time is ended, with all that it started."""
    process = subprocess.Popen(
        line,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complaint = process.communicate(timeout=timeout_s)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, line, said, complaint)
    return said


def child(*line: str) -> Any:
    """The JSON that a child prints last."""
    return json.loads(output_of(line, environment()).splitlines()[-1])


def run(config: str, ranks: int, timeout_s: float | None = None) -> dict[str, Any]:
    """Run a config and read what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(config)
        mpirun = [str(find_mpirun()), "-n", str(ranks)] if ranks > 1 else []
        program = [sys.executable, "-m", "mdibench", "run", str(path), "-q"]
        output_of([*mpirun, *program, f"--set=run.results={folder}"], environment(), timeout_s)
        return facts_of(Path(folder))


def facts_of(results: Path) -> dict[str, Any]:
    """Rate in the measured window; by rank the processor's share, the engine's, and peak memory."""
    import mdibench
    from mdibench.record.run_folder import find_runs, read_manifest

    (folder,) = find_runs([results])
    window = read_manifest(folder)["window"]
    frames = mdibench.load(folder)
    done = frames.items.completed_s.between(window["start_s"], window["end_s"])
    telemetry = frames.telemetry
    telemetry = telemetry[telemetry.t_s.between(window["start_s"], window["end_s"])]
    columns = ["t_s", "cpu_s", "busy_s", "rss_bytes"]
    ends = telemetry.groupby("rank")[columns].agg(["first", "last", "max"])

    def spent(column: str) -> list[float]:
        return [float(span) for span in ends[column]["last"] - ends[column]["first"]]

    shares = {
        name: [part / whole for part, whole in zip(spent(column), spent("t_s"), strict=True)]
        for name, column in (("cpu_share", "cpu_s"), ("busy_share", "busy_s"))
    }
    return {
        "rate": float(done.sum()) / (window["end_s"] - window["start_s"]),
        "accuracy": float(frames.items.correct[done].mean()),
        **shares,
        "rss_mib": [float(rss) / 2**20 for rss in ends.rss_bytes["max"]],
    }


def bare_rate(model: str, dataset: str, engine: str, threshold: str) -> float:
    """Items per second of a bare loop."""
    loop = [sys.executable, "-m", "benchmarks.bare_loop"]
    return float(child(*loop, model, dataset, engine, threshold, str(SECONDS))["rate"])


def overhead_of_local(model: str, dataset: str, engine: str, threshold: str) -> list[float]:
    """Ratios of one rank's rate to a bare loop's of the same engine, measured in turns."""
    exits = "early_exit = false" if threshold == "none" else f"threshold = {threshold}"
    config = LOCAL.format(model=model, dataset=dataset, engine=engine, exits=exits, seconds=SECONDS)
    return [
        run(config, 1)["rate"] / bare_rate(model, dataset, engine, threshold) for _ in range(PAIRS)
    ]


def pipeline_of_two(engine: str) -> tuple[list[float], float]:
    """Ratios of a two-rank pipeline's rate to twice a bare loop's, measured in turns.

    And the share of the time that the busier rank's engine computes, in the median.
    """
    config = HALVES.format(engine=engine, seconds=SECONDS)
    network = "benchmarks.networks:even_blocks"
    ratios, busy = [], []
    for _ in range(PAIRS):
        found = run(config, 2)
        ratios.append(found["rate"] / (2 * bare_rate(network, "digits", engine, "none")))
        busy.append(max(found["busy_share"]))
    return ratios, statistics.median(busy)


def ratio_row(what: str, ratios: list[float], wanted: str) -> None:
    """A row with the median and the range of ``ratios``."""
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs"
    row(what, f"{statistics.median(ratios):.2f} ({spread})", wanted)


def help_seconds() -> float:
    """Median time of ``mdibench --help``."""
    times = []
    for _ in range(9):
        begun = time.perf_counter()
        line = [sys.executable, "-m", "mdibench", "--help"]
        subprocess.run(line, capture_output=True, check=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def row(what: str, value: str, target: str) -> None:
    """One row of the table, as soon as it is known."""
    print(f"| {what} | {value} | {target} |", flush=True)


def main() -> None:
    """Measure all and print the table."""
    print("| what | measured | wanted |\n| --- | --- | --- |", flush=True)
    for name, model, dataset, threshold, wanted in (
        ("MobileNetV2, no exits", "mobilenetv2", "cifar10", "none", 0.98),
        ("the digits network, T_e = 0.8", "digits-cnn", "digits", "0.8", 0.92),
    ):
        for engine in ("onnxruntime", "torch"):
            ratio_row(
                f"one rank, `local`, over a bare loop of {engine}: {name}",
                overhead_of_local(model, dataset, engine, threshold),
                f"at least {wanted}",
            )
    for engine in ("onnxruntime", "torch"):
        ratios, busy = pipeline_of_two(engine)
        what = f"two ranks, `mdi` cut in equal halves, over twice a bare loop of {engine}"
        ratio_row(what, ratios, "at least 0.9")
        row("share of that time that the busier engine computes", f"{100 * busy:.0f} %", "stated")
    script = ROOT / "benchmarks/transport.py"
    wire = child(str(find_mpirun()), "-n", "2", sys.executable, str(script))
    ratio_row("bandwidth of 1 MiB feature maps over bare mpi4py", wire["ratios"], "at least 0.9")
    row(
        "processor time of a small task's hop, both sides",
        f"{wire['small_task_processor_us']:.0f} µs",
        "at most 25 µs",
    )
    waiting = run(WAITING.format(seconds=SECONDS), 3)
    share = max(waiting["cpu_share"][1:])
    row("processor share of a rank that only waits", f"{100 * share:.1f} %", "at most 2 %")
    for scheme, ranks in (("local", 1), ("mdi-exit", 2)):
        null = run(NULL.format(scheme=scheme, seconds=SECONDS), ranks)
        row(f"null blocks, `{scheme}`, {ranks} rank(s)", f"{null['rate']:,.0f} items/s", "stated")
    row("`mdibench --help`", f"{help_seconds():.3f} s", "under 0.2 s")
    memory = ", ".join(f"{rss:.0f}" for rss in waiting["rss_mib"])
    row("peak resident memory by rank, MiB (digits)", memory, "stated")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
