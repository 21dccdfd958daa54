"""Measuring a network on this machine: what ``mdibench profile`` writes down."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from mdibench.compute.calibrated import confidences
from mdibench.compute.timing import time_calls
from mdibench.compute.torch_engine import TorchEngine
from mdibench.config import ModelSection
from mdibench.core.records import Task
from mdibench.data.dataset import Split
from mdibench.models.cost import working_bytes
from mdibench.models.evaluation import ExitScores
from mdibench.models.memory import keep_freed_memory
from mdibench.models.network import MultiExitNetwork
from mdibench.network.plan import ModelInfo
from mdibench.record.profile import BlockProfile, ExitTable, Timing

CodecBytes = Callable[[int, Sequence[int], int], Mapping[str, int]]
"""Size on the wire under each codec, given block, shape and bytes of its feature map."""


def use_threads(count: int) -> dict[str, Any]:
    """Compute as a rank does, with ``count`` threads; the facts of torch for a profile."""
    keep_freed_memory()
    torch.set_num_threads(count)
    return {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}


def profile_blocks(
    network: MultiExitNetwork,
    info: ModelInfo,
    items: Split,
    batches: Collection[int],
    repeats: int,
    codec_bytes: CodecBytes,
    on_block: Callable[[int], None] = lambda block: None,
) -> tuple[BlockProfile, ...]:
    """Costs of every block as ``info`` has them, and times on the first items of ``items``."""
    engine = TorchEngine(network)
    payloads = _first(items, max(batches))
    profiles = []
    for number, block in enumerate(info.blocks, start=1):
        on_block(number)
        tasks = [Task(index, number, payload) for index, payload in enumerate(payloads)]
        profiles.append(
            BlockProfile(
                block=number,
                flops=block.flops,
                parameters=block.parameters,
                weight_bytes=_weight_bytes(network, number),
                working_bytes=_working_bytes(network, number, payloads[0]),
                output_shape=block.output_shape,
                output_bytes=block.output_bytes,
                codec_bytes=codec_bytes(number, block.output_shape, block.output_bytes),
                times=_task_times(engine, tasks, batches, repeats),
                head_times=_head_times(network, number, payloads, batches, repeats),
            )
        )
        payloads = [outcome.payload for outcome in engine.compute(tasks)]
    return tuple(profiles)


def exit_table(model: ModelSection, scores: ExitScores) -> ExitTable:
    """What every exit says about every item, with the config's confidence measure."""
    return ExitTable(
        scores.labels.tolist(),
        scores.logits.argmax(2).tolist(),
        confidences(scores, model.confidence).tolist(),
    )


def _first(items: Split, count: int) -> list[Tensor]:
    """``count`` items, from the start again where the split is shorter."""
    return [torch.from_numpy(items.inputs[index % len(items)]) for index in range(count)]


def _task_times(
    engine: TorchEngine, tasks: Sequence[Task], batches: Collection[int], repeats: int
) -> tuple[Timing, ...]:
    return tuple(
        _timing(batch, lambda batch=batch: engine.compute(tasks[:batch]), repeats)  # type: ignore[misc]
        for batch in sorted(batches)
    )


def _head_times(
    network: MultiExitNetwork,
    number: int,
    payloads: Sequence[Tensor],
    batches: Collection[int],
    repeats: int,
) -> tuple[Timing, ...]:
    head = network.heads[number - 1]
    with torch.inference_mode():
        features = network.blocks[number - 1](torch.stack(list(payloads)))
        return tuple(
            _timing(batch, lambda batch=batch: head(features[:batch]), repeats)  # type: ignore[misc]
            for batch in sorted(batches)
        )


def _timing(batch: int, call: Callable[[], object], repeats: int) -> Timing:
    return Timing(batch, **asdict(time_calls(call, repeats)))


def _weight_bytes(network: MultiExitNetwork, number: int) -> int:
    parts = (network.blocks[number - 1], network.heads[number - 1])
    return sum(value.nbytes for part in parts for value in part.state_dict().values())


def _working_bytes(network: MultiExitNetwork, number: int, payload: Tensor) -> int:
    block, head = network.blocks[number - 1], network.heads[number - 1]
    return working_bytes(lambda: head(block(payload.unsqueeze(0))))
