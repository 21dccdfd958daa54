"""The engine ``torch``: the network's own modules, on the CPU or on a GPU.

Feature maps stay channels-last from block to block, so that tasks from other ranks and local ones
are computed by the same kernels, with identical results. A single task becomes a batch of 1 as a
view, without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mdibench.codec.codecs import BFLOAT16
from mdibench.compute.confidence import MEASURES, Measure, judge
from mdibench.compute.engine import UNASKED, Hosted
from mdibench.core.records import Outcome, Task
from mdibench.models.network import MultiExitNetwork


class TorchEngine:
    """Runs the blocks of ``network`` that have storage; used by one thread only."""

    def __init__(
        self,
        network: MultiExitNetwork,
        measure: Measure = "max-softmax",
        hosted: Hosted | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """``hosted`` is every block with its head by default."""
        self._hosted = hosted or Hosted.every_block(network.exits)
        self._exits = network.exits
        self._measure = MEASURES[measure]
        self._device = torch.device(device)
        self._on_cpu = self._device.type == "cpu"
        self._bodies = [part.eval().to(self._device) for part in network.blocks]
        self._heads = [part.eval().to(self._device) for part in network.heads]

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block."""
        first = tasks[0].block
        last = self._hosted.last_block.get(first, first)
        with torch.inference_mode():
            batch = _batch(tasks)
            features = batch if self._on_cpu else batch.to(self._device, non_blocking=True)
            for body in self._bodies[first - 1 : last]:
                features = body(features)
            judged = self._judge(features, last, len(tasks))
            if last == self._exits:
                return [Outcome(prediction, confidence) for prediction, confidence in judged]
            payloads = _items(features, len(tasks))
        return [
            Outcome(prediction, confidence, payload, payload.nbytes)
            for (prediction, confidence), payload in zip(judged, payloads, strict=True)
        ]

    def _judge(self, features: Tensor, block: int, count: int) -> Sequence[tuple[int, float]]:
        """Class and confidence of each item at the exit behind ``block``."""
        if block not in self._hosted.heads:
            return [(UNASKED, 0.0)] * count
        logits = self._heads[block - 1](features).float().cpu().numpy()
        return judge(self._measure, logits, self._hosted.temperature(block), block)

    def flops(self, task: Task) -> int:
        """FLOPs of the call that computes ``task``."""
        return self._hosted.flops_of(task.block)


def _batch(tasks: Sequence[Task]) -> Tensor:
    if len(tasks) == 1:
        items = _as_tensor(tasks[0].payload).unsqueeze(0)
    else:
        items = torch.stack([_as_tensor(task.payload) for task in tasks])
    return items.contiguous(memory_format=torch.channels_last) if items.ndim == 4 else items


def _as_tensor(payload: NDArray[np.generic]) -> Tensor:
    if payload.dtype == BFLOAT16:
        return torch.from_numpy(payload.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(payload)


def _items(features: Tensor, count: int) -> list[NDArray[np.generic]]:
    """Each item's feature map on the CPU; none keeps the whole batch alive."""
    features = features.cpu()
    maps = [features[0]] if count == 1 else [item.clone() for item in features]
    if features.dtype is torch.bfloat16:
        return [item.view(torch.int16).numpy().view(BFLOAT16) for item in maps]
    return [item.numpy() for item in maps]
