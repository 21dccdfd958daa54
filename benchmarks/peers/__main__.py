"""``python -m benchmarks.peers``: mdibench and its peers on the same cores, in turn; Markdown.

Every round runs each of them once, so that a slow minute hits all alike; figures are the median of
the rounds with their least and largest value. A round begins only where the minutes allow it, the
first one of each setting always; what does not end in time is skipped with its reason.
"""

from __future__ import annotations

import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from benchmarks.__main__ import ROOT, environment, output_of, run
from mdibench.rank.launch import find_mpirun

PIPELINE = """
[run]
name = "peers"
warmup_s = 1.0
duration_s = {seconds}
trace = 0.0
[model]
name = "{model}"
dataset = "{dataset}"
engine = "{engine}"
max_batch = {batch}
[scheme]
name = "{scheme}"
{threshold}
[admission]
mode = "offline"
max_in_flight = {in_flight}
[placement]
{placement}
[topology]
name = "line"
"""
PARTING_S = 10.0
"""How long the processes of a peer may take to end after the first one."""


@dataclass(frozen=True)
class Setting:
    """What all of them run in one part of the table."""

    model: str
    dataset: str
    ends: tuple[int, ...]
    blocks: int
    batch: int
    seconds: float

    @property
    def stages(self) -> int:
        """Number of ranks."""
        return len(self.ends) + 1

    @property
    def arguments(self) -> list[str]:
        """Of a peer's program."""
        cut = ",".join(map(str, self.ends))
        return [self.model, self.dataset, cut, str(self.batch), str(self.seconds)]

    @property
    def placement(self) -> str:
        """The same cut in a config."""
        bounds = (0, *self.ends, self.blocks)
        held = [list(range(a + 1, b + 1)) for a, b in pairwise(bounds)]
        table = ", ".join(f"{rank} = {blocks}" for rank, blocks in enumerate(held))
        return f"blocks = {{ {table} }}"


@dataclass(frozen=True)
class Measured:
    """One figure: items per second, and how many of 100 answers were right where known."""

    rate: float
    accuracy: float | None = None


class Skipped(Exception):
    """What cannot run here; the message says why."""


@contextmanager
def skipping() -> Iterator[None]:
    """A command that fails, or does not end, is skipped with its reason."""
    try:
        yield
    except subprocess.TimeoutExpired as late:
        raise Skipped(f"it had not ended after {late.timeout:.0f} s") from None
    except subprocess.CalledProcessError as failure:
        last = (failure.stderr.strip().splitlines() or ["no output"])[-1]
        raise Skipped(f"it failed: {last[:100]}") from None


def patience_s(setting: Setting) -> float:
    """How long one of them may take: the measurement, and starting ``stages`` processes."""
    return 3 * setting.seconds + 20 * setting.stages


def ours(setting: Setting, engine: str, exits: bool) -> Measured:
    """A run of mdibench: the pipeline ``mdi``, or ``mdi-exit`` within half a point of accuracy."""
    threshold = "accuracy_drop = 0.005" if exits else ""
    config = PIPELINE.format(
        **{key: getattr(setting, key) for key in ("model", "dataset", "batch", "seconds")},
        engine=engine,
        scheme="mdi-exit" if exits else "mdi",
        threshold=threshold,
        in_flight=32 * setting.batch,
        placement="replicate = true" if exits else setting.placement,
    )
    with skipping():
        facts = run(config, setting.stages, patience_s(setting))
    return Measured(facts["rate"], facts["accuracy"])


def under_mpirun(setting: Setting, program: str) -> Measured:
    """A peer that MPI starts."""
    return _read([str(find_mpirun()), "-n", str(setting.stages)], program, setting, {})


def by_torch(setting: Setting, program: str) -> Measured:
    """A peer of torch.distributed: one process per stage, which find each other by a port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {
        "WORLD_SIZE": str(setting.stages), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo", "TP_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    line = [sys.executable, "-m", f"benchmarks.peers.{program}", *setting.arguments]
    others = [
        subprocess.Popen(
            line,
            env=environment() | world | {"RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(1, setting.stages)
    ]
    try:
        return _read([], program, setting, world | {"RANK": "0"})
    finally:
        for process in others:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Let a process end by itself, or kill it."""
    try:
        process.wait(timeout=PARTING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def alone(setting: Setting, program: str) -> Measured:
    """A peer that starts its own processes."""
    if find_spec("ray") is None:
        raise Skipped("ray is not installed")
    return _read([], program, setting, {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"})


def _read(prefix: list[str], program: str, setting: Setting, more: dict[str, str]) -> Measured:
    line = [*prefix, sys.executable, "-m", f"benchmarks.peers.{program}", *setting.arguments]
    with skipping():
        said = output_of(line, environment() | more, patience_s(setting))
    rates = [text for text in said.splitlines() if text.startswith('{"rate"')]
    if not rates:
        raise Skipped("it told no rate")
    return Measured(json.loads(rates[-1])["rate"])


PEERS = {
    "naive mpi4py (pickle, eager torch)": lambda s: under_mpirun(s, "naive_mpi4py"),
    "torch RPC pipeline (eager torch)": lambda s: by_torch(s, "torch_rpc"),
    "torch.distributed.pipelining, gloo": lambda s: by_torch(s, "torch_pipelining"),
    "Ray actors (eager torch)": lambda s: alone(s, "ray_actors"),
}
OURS = {
    "**mdibench** `mdi`, torch": lambda s: ours(s, "torch", exits=False),
    "**mdibench** `mdi`, ONNX Runtime": lambda s: ours(s, "onnxruntime", exits=False),
    "**mdibench** `mdi-exit`, ONNX Runtime": lambda s: ours(s, "onnxruntime", exits=True),
}


@dataclass
class Part:
    """One setting: by name, one figure per round, or why there is none."""

    setting: Setting
    found: dict[str, list[Measured] | str] = field(
        default_factory=lambda: {name: [] for name in PEERS | OURS}
    )
    round_s: float = 0.0
    """How long the last round took."""

    def go_round(self) -> None:
        """Run each of them once."""
        begun_s = time.monotonic()
        for name, measure in (PEERS | OURS).items():
            figures = self.found[name]
            if isinstance(figures, str):
                continue
            try:
                figures.append(measure(self.setting))
            except Skipped as reason:
                self.found[name] = f"skipped: {reason}"
        self.round_s = time.monotonic() - begun_s

    @property
    def title(self) -> str:
        """Of its table."""
        setting = self.setting
        return f"{setting.model}, {setting.stages} stages, batch {setting.batch}"

    def as_json(self) -> dict[str, Any]:
        """The figures of each round, or why there are none."""
        rows = {
            name: figures if isinstance(figures, str) else [asdict(each) for each in figures]
            for name, figures in self.found.items()
        }
        return {"setting": asdict(self.setting), "rows": rows}


def print_table(part: Part) -> None:
    """A row each; the factor is that of medians over the best peer."""
    medians = {
        name: statistics.median(figure.rate for figure in figures)
        for name, figures in part.found.items()
        if not isinstance(figures, str) and figures
    }
    best = max((medians[name] for name in PEERS if name in medians), default=math.nan)
    print(f"\n{part.title}\n")
    print("| what | items/s, median (range) | accuracy | over the best peer |")
    print("| --- | --- | --- | --- |")
    for name, figures in part.found.items():
        if isinstance(figures, str):
            print(f"| {name} | {figures} | | |")
            continue
        rates = [figure.rate for figure in figures]
        right = [figure.accuracy for figure in figures if figure.accuracy is not None]
        accuracy = f"{100 * statistics.median(right):.1f} %" if right else ""
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}, {len(rates)} rounds"
        print(
            f"| {name} | {medians[name]:,.0f} ({spread}) | {accuracy} "
            f"| {medians[name] / best:.2f} |",
            flush=True,
        )


@click.command(help=(__doc__ or "").splitlines()[0])
@click.option("--rounds", default=5, show_default=True)
@click.option("--minutes", default=math.inf, help="Begin no round that would end later.")
@click.option("--seconds", default=4.0, show_default=True)
@click.option("--model", default="mobilenetv2", show_default=True)
@click.option("--dataset", default="cifar10", show_default=True)
@click.option("--stages", multiple=True, type=click.IntRange(2, 3), default=(2, 3))
@click.option("--batch", multiple=True, type=int, default=(1, 8))
@click.option("--json", "file", type=click.Path(path_type=Path), help="Also write all figures.")
def main(
    rounds: int, minutes: float, seconds: float, model: str, dataset: str,
    stages: tuple[int, ...], batch: tuple[int, ...], file: Path | None,
) -> None:  # fmt: skip
    """All settings in turn, round after round."""
    os.chdir(ROOT)
    cuts = {2: (3,), 3: (2, 4)}
    parts = [
        Part(Setting(model, dataset, cuts[count], 5, size, seconds))
        for count in stages
        for size in batch
    ]
    deadline_s = time.monotonic() + 60 * minutes
    for _ in range(rounds):
        for part in parts:
            if time.monotonic() + part.round_s <= deadline_s:
                part.go_round()
    for part in parts:
        print_table(part)
    if file is not None:
        file.write_text(json.dumps([part.as_json() for part in parts], indent=1))


if __name__ == "__main__":
    main()
