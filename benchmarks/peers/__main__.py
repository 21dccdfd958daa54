"""``python -m benchmarks.peers``: mdibench and its peers on the same cores, in turn; Markdown.

Every round runs each of them once, so that a slow minute hits all alike; figures are the median of
the rounds with their least and largest value.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise

import click

from benchmarks.__main__ import ROOT, environment, run
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
    """A peer that cannot run here; the message says why."""


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
    facts = run(config, setting.stages)
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
            process.wait(timeout=60)


def alone(setting: Setting, program: str) -> Measured:
    """A peer that starts its own processes."""
    if find_spec("ray") is None:
        raise Skipped("ray is not installed")
    return _read([], program, setting, {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"})


def _read(prefix: list[str], program: str, setting: Setting, more: dict[str, str]) -> Measured:
    line = [*prefix, sys.executable, "-m", f"benchmarks.peers.{program}", *setting.arguments]
    done = subprocess.run(
        line, env=environment() | more, capture_output=True, text=True, check=False, timeout=300
    )
    rates = [text for text in done.stdout.splitlines() if text.startswith('{"rate"')]
    if done.returncode or not rates:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise Skipped(f"it failed: {last[:100]}")
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


def rounds_of(setting: Setting, rounds: int) -> dict[str, list[Measured] | str]:
    """By name, one figure per round, or why there is none."""
    found: dict[str, list[Measured] | str] = {}
    for _ in range(rounds):
        for name, measure in (PEERS | OURS).items():
            known = found.setdefault(name, [])
            if isinstance(known, str):
                continue
            try:
                known.append(measure(setting))
            except Skipped as reason:
                found[name] = f"skipped: {reason}"
    return found


def print_table(setting: Setting, found: dict[str, list[Measured] | str]) -> None:
    """A row each; the factor is that of medians over the best peer."""
    medians = {
        name: statistics.median(figure.rate for figure in figures)
        for name, figures in found.items()
        if not isinstance(figures, str) and figures
    }
    best = max(medians[name] for name in PEERS if name in medians)
    print(f"\n{setting.model}, {setting.stages} stages, batch {setting.batch}\n")
    print("| what | items/s, median (range) | accuracy | over the best peer |")
    print("| --- | --- | --- | --- |")
    for name, figures in found.items():
        if isinstance(figures, str):
            print(f"| {name} | {figures} | | |")
            continue
        rates = [figure.rate for figure in figures]
        right = [figure.accuracy for figure in figures if figure.accuracy is not None]
        accuracy = f"{100 * statistics.median(right):.1f} %" if right else ""
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        print(
            f"| {name} | {medians[name]:,.0f} ({spread}) | {accuracy} "
            f"| {medians[name] / best:.2f} |",
            flush=True,
        )


@click.command(help=(__doc__ or "").splitlines()[0])
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=4.0, show_default=True)
@click.option("--model", default="mobilenetv2", show_default=True)
@click.option("--dataset", default="cifar10", show_default=True)
@click.option("--stages", multiple=True, type=click.IntRange(2, 3), default=(2, 3))
@click.option("--batch", multiple=True, type=int, default=(1, 8))
def main(
    rounds: int, seconds: float, model: str, dataset: str, stages: tuple[int, ...],
    batch: tuple[int, ...],
) -> None:  # fmt: skip
    """All settings, one after the other."""
    os.chdir(ROOT)
    cuts = {2: (3,), 3: (2, 4)}
    for count in stages:
        for size in batch:
            setting = Setting(model, dataset, cuts[count], 5, size, seconds)
            print_table(setting, rounds_of(setting, rounds))


if __name__ == "__main__":
    main()
