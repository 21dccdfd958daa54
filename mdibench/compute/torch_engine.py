"""The engine of real runs: torch blocks with their heads, on the CPU or on a GPU.

This is the hot path of a worker. A task's payload is one item's tensor ``[C, H, W]`` without a
batch dimension; a single task becomes a batch of 1 as a view, without a copy. Feature maps stay
channels-last from block to block, so that tasks from other ranks and local ones are computed by
the same kernels, with identical results.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Sequence
from itertools import starmap

import torch
from torch import Tensor

from mdibench.compute.confidence import MEASURES, Measure
from mdibench.core.records import Outcome, Task
from mdibench.models.cost import count_flops
from mdibench.models.network import MultiExitNetwork

WARMUP_CALLS = 5


class TorchEngine:
    """Runs the blocks of ``network`` that have storage; used by one thread only."""

    def __init__(
        self,
        network: MultiExitNetwork,
        measure: Measure = "max-softmax",
        temperatures: Sequence[float] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """``temperatures``: one per exit, by which its logits are divided (calibration)."""
        self._measure = MEASURES[measure]
        self._temperatures = tuple(temperatures or (1.0,) * network.exits)
        self._device = torch.device(device)
        self._on_cpu = self._device.type == "cpu"
        self._parts = [
            (block.eval(), head.eval())
            for block, head in zip(network.blocks, network.heads, strict=True)
        ]
        for part in (part for pair in self._parts for part in pair):
            part.to(self._device)
        self._flops: dict[int, int] = {}

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block.

        Payloads of the outcomes are CPU tensors ``[C, H, W]`` with memory of their own; ``None``
        after the last block.
        """
        block = tasks[0].block
        with torch.inference_mode():
            features, logits = self._forward(block, _batch(tasks))
            temperature = self._temperatures[block - 1]
            scaled = logits if temperature == 1.0 else logits / temperature
            confidences, predictions = self._measure(scaled)
            said = zip(predictions.tolist(), confidences.tolist(), strict=True)
            if block == len(self._parts):
                return list(starmap(Outcome, said))
            payloads = _items(features, len(tasks))
        return [
            Outcome(prediction, confidence, payload, payload.nbytes)
            for (prediction, confidence), payload in zip(said, payloads, strict=True)
        ]

    def _forward(self, block: int, batch: Tensor) -> tuple[Tensor, Tensor]:
        body, head = self._parts[block - 1]
        features = body(batch if self._on_cpu else batch.to(self._device, non_blocking=True))
        return features, head(features)

    def flops(self, task: Task) -> int:
        """FLOPs of ``task``, its head included; counted on the first one of its block."""
        if task.block not in self._flops:
            counted = count_flops(lambda: self._forward(task.block, _batch([task])))
            self._flops[task.block] = counted
        return self._flops[task.block]


def _batch(tasks: Sequence[Task]) -> Tensor:
    if len(tasks) == 1:
        items: Tensor = tasks[0].payload.unsqueeze(0)
    else:
        items = torch.stack([task.payload for task in tasks])
    return items.contiguous(memory_format=torch.channels_last) if items.ndim == 4 else items


def _items(features: Tensor, count: int) -> Sequence[Tensor]:
    """Each item's feature map on the CPU; none keeps the whole batch alive."""
    if count == 1:
        return (features.squeeze(0).cpu(),)
    return [item.clone() for item in features.cpu()]


def measure_block_seconds(engine: TorchEngine, item: Tensor, repeats: int = 30) -> list[float]:
    """Median seconds of one task of each block, in order, at batch 1 on this machine.

    ``item`` is one raw item uint8 ``[C, H, W]``; all blocks must be loaded.
    """
    medians = []
    payload: Tensor | None = item
    block = 1
    while payload is not None:
        tasks = [Task(0, block, payload)]
        durations = [_timed(engine, tasks) for _ in range(repeats + WARMUP_CALLS)]
        medians.append(statistics.median(durations[WARMUP_CALLS:]))
        payload = engine.compute(tasks)[0].payload
        block += 1
    return medians


def _timed(engine: TorchEngine, tasks: Sequence[Task]) -> float:
    started = time.perf_counter()
    engine.compute(tasks)
    return time.perf_counter() - started


# --- memory of freed feature maps -----------------------------------------------------------------

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``malloc.h``."""
_LARGEST_TENSOR = 32 * 1024**2
"""Bytes up to which memory comes from the heap: the most that glibc allows."""
_KEPT = 1024**3


def keep_freed_memory() -> bool:
    """Let glibc's malloc keep freed memory; whether the C library is glibc.

    By default malloc returns large blocks to the system at once. The pages of each layer are then
    mapped and zeroed again, which costs up to a third of a batch's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_TENSOR) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
