"""What every peer runs: consecutive blocks of the same network, on the same items.

A program of a peer is called as ``PROGRAM MODEL DATASET CUT BATCH SECONDS``, where ``CUT`` are the
last blocks of all stages but the final one, as in ``3`` or ``2,3``; it prints its rate, items per
second, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mdibench.compute.engine import keep_freed_memory
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import load_dataset
from mdibench.models.registry import load_model

WARMUP_S = 1.0


@dataclass(frozen=True)
class Job:
    """The arguments of a peer's program."""

    model: ModelSection
    ends: tuple[int, ...]
    batch: int
    seconds: float

    @classmethod
    def from_arguments(cls) -> Job:
        """Of this process."""
        model, dataset, cut, batch, seconds = sys.argv[1:6]
        ends = tuple(int(end) for end in cut.split(","))
        return cls(ModelSection(name=model, dataset=dataset), ends, int(batch), float(seconds))

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.ends) + 1

    def stage(self, index: int) -> nn.Module:
        """Stage ``index`` (from 0), ready to infer on one thread; the last one ends with logits."""
        keep_freed_memory()
        torch.set_num_threads(1)
        network = load_model(self.model)
        bounds = (0, *self.ends, network.exits)
        parts = list(network.blocks[bounds[index] : bounds[index + 1]])
        if index + 1 == self.stages:
            parts.append(network.heads[-1])
        return nn.Sequential(*parts).eval()

    def batches(self) -> Iterator[Tensor]:
        """Batches of raw items, without end."""
        items = torch.from_numpy(load_dataset(self.model.dataset).evaluation.inputs)
        while True:
            for start in range(0, len(items) - self.batch + 1, self.batch):
                yield items[start : start + self.batch]


def report(done: Callable[[], int], seconds: float, step: Callable[[], object]) -> None:
    """Call ``step`` for the warm-up and ``seconds`` more; print the rate of ``done`` items."""
    deadline = time.perf_counter() + WARMUP_S
    while time.perf_counter() < deadline:
        step()
    before, begun = done(), time.perf_counter()
    while time.perf_counter() < begun + seconds:
        step()
    print(json.dumps({"rate": (done() - before) / (time.perf_counter() - begun)}), flush=True)
