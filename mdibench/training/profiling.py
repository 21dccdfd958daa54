"""Measurement of a network on this machine, for ``mdibench profile``.

Times of every block and head by batch size, sizes under every codec, working memory, and the
outcome of every exit for every evaluation item.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mdibench import __version__
from mdibench.codec.bottleneck import CodecPair, load_pairs, packaged_ratios
from mdibench.codec.codecs import encoded_bytes
from mdibench.compute.engine import Engine, EngineChoice, Hosted, build, choose, keep_freed_memory
from mdibench.compute.timing import time_calls
from mdibench.config.schema import ModelSection, RunConfig
from mdibench.core.records import Task
from mdibench.data.dataset import Split, dataset_of
from mdibench.errors import Problem, UserError, say
from mdibench.models.cost import working_bytes
from mdibench.models.evaluation import ExitScores, score
from mdibench.models.inspection import ITEMS, inspect
from mdibench.models.network import MultiExitNetwork
from mdibench.models.registry import load_model, network_info, resolved
from mdibench.network.plan import ModelInfo
from mdibench.record.profile import (
    JSON_FILE,
    BlockProfile,
    ExitTable,
    Profile,
    Timing,
    write_profile,
)
from mdibench.training.calibration import confidences

PLAIN_CODECS = ("none", "fp16", "int8")
"""Codecs whose size depends on the tensor alone."""

CodecBytes = Callable[[int, Sequence[int], int], Mapping[str, int]]
"""Size on the wire under each codec, given block, shape and bytes of its feature map."""


def use_threads(count: int) -> dict[str, Any]:
    """Set up torch as a rank does, with ``count`` threads; returns its facts for the profile."""
    keep_freed_memory()
    torch.set_num_threads(count)
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}


def profile_blocks(
    network: MultiExitNetwork,
    engines: tuple[Engine, Engine],
    info: ModelInfo,
    items: Split,
    batches: Collection[int],
    repeats: int,
    codec_bytes: CodecBytes,
    on_block: Callable[[int], None] = lambda block: None,
) -> tuple[BlockProfile, ...]:
    """Costs of every block as ``info`` has them, and times on the first items of ``items``.

    ``engines`` run every block as a call of its own: with its head, and without.
    """
    engine, bare = engines
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
                body_times=_task_times(bare, tasks, batches, repeats),
            )
        )
        payloads = [outcome.payload for outcome in engine.compute(tasks)]
    return tuple(profiles)


def exit_table(model: ModelSection, scores: ExitScores) -> ExitTable:
    """The outcome of every exit for every item, with the config's confidence measure."""
    return ExitTable(
        scores.labels.tolist(),
        scores.logits.argmax(2).tolist(),
        confidences(scores, model.confidence).tolist(),
    )


def _first(items: Split, count: int) -> list[Any]:
    """``count`` items, from the start again where the split is shorter."""
    return [items.inputs[index % len(items)] for index in range(count)]


def _task_times(
    engine: Engine, tasks: Sequence[Task], batches: Collection[int], repeats: int
) -> tuple[Timing, ...]:
    return tuple(
        _timing(batch, lambda batch=batch: engine.compute(tasks[:batch]), repeats)  # type: ignore[misc]
        for batch in sorted(batches)
    )


def _timing(batch: int, call: Callable[[], object], repeats: int) -> Timing:
    return Timing(batch, **asdict(time_calls(call, repeats)))


def _weight_bytes(network: MultiExitNetwork, number: int) -> int:
    parts = (network.blocks[number - 1], network.heads[number - 1])
    return sum(value.nbytes for part in parts for value in part.state_dict().values())


def _working_bytes(network: MultiExitNetwork, number: int, payload: Any) -> int:
    block, head = network.blocks[number - 1], network.heads[number - 1]
    given = torch.from_numpy(np.ascontiguousarray(payload)).unsqueeze(0)
    return working_bytes(lambda: head(block(given)))


# --- the command ---------------------------------------------------------------------------------


def measure_and_write(
    config: RunConfig,
    out: Path | None,
    batches: Sequence[int],
    repeats: int,
    items: int | None,
) -> str:
    """Measure, write the profile folder, and return its tables as text."""
    torch_facts = use_threads(config.run.threads or 1)
    model = resolved(config.model)
    if model.device == "cuda":
        what = "a profile measures the processor, not CUDA"
        raise UserError(Problem(what, "model.device", 'leave it out, or --set model.device="cpu"'))
    folder = out or _default_folder(model)
    folder.mkdir(parents=True, exist_ok=True)  # fails before the measurements
    network = load_model(model)
    split = dataset_of(model).evaluation.first(items)
    if ":" in model.name or model.weights is not None:
        inspect(network, split.spread(ITEMS))
    info, choice = network_info(model), choose(model)
    say(f"engine: {choice.name} ({choice.why})")
    engines = _engines(model, info, choice, config.run.threads or 1)
    sizes = _codec_bytes(model)
    blocks = profile_blocks(network, engines, info, split, batches, repeats, sizes, _report_block)
    say(f"scoring {len(split):,} evaluation items at every exit")
    scores = score(network, split)
    measured = Profile(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine={**_machine(), **torch_facts, "engine": choice.name},
        model={**model_facts(model), "classes": network.classes},
        items=len(split),
        accuracy=tuple(float(value) for value in scores.accuracy),
        blocks=blocks,
    )
    write_profile(folder, measured, exit_table(model, scores))
    return profile_text(measured) + f"\nwritten: {folder / JSON_FILE}\n"


def _engines(
    model: ModelSection, info: ModelInfo, choice: EngineChoice, threads: int
) -> tuple[Engine, Engine]:
    """Every block as a call of its own: with all heads, and with the last one alone."""
    every = Hosted.every_block(info.exits)
    with_heads, bare = (
        build(
            choice.name,
            model,
            hosted,
            choice.graphs_for(hosted, model.confidence),
            info.exits,
            threads,
        )
        for hosted in (every, replace(every, heads=frozenset({info.exits})))
    )
    return with_heads, bare


def model_facts(model: ModelSection) -> dict[str, Any]:
    """The keys of ``[model]`` that a profile depends on."""
    return {
        "name": model.name,
        "dataset": model.dataset,
        "weights": model.weights,
        "confidence": model.confidence,
    }


def profile_text(profile: Profile) -> str:
    """The profile as text: one line per block, in 80 columns."""
    lines = [
        f"{profile.model['name']} on {profile.machine['host']}, "
        f"{profile.machine['engine']}, {profile.machine['threads']} thread(s), "
        f"{profile.items:,} items",
        "",
        "block   MFLOPs  parameters   feature bytes   time of one item, ms   accuracy",
    ]
    for block, accuracy in zip(profile.blocks, profile.accuracy, strict=True):
        alone = next(timing for timing in block.times if timing.batch == 1)
        time_ms = f"{1e3 * alone.median_s:.3f} [{1e3 * alone.low_s:.3f}, {1e3 * alone.high_s:.3f}]"
        lines.append(
            f"{block.block:5}  {block.flops / 1e6:7.1f}  {block.parameters:10,}  "
            f"{block.output_bytes:14,}  {time_ms:>21}  {accuracy:9.4f}"
        )
    return "\n".join([*lines, "", *_batch_lines(profile)]) + "\n"


def _batch_lines(profile: Profile) -> list[str]:
    """Gain in throughput of each batch size, over all blocks."""
    alone = sum(block.seconds for block in profile.blocks)
    gains = []
    for index, timing in enumerate(profile.blocks[0].times):
        whole = sum(block.times[index].median_s for block in profile.blocks)
        gains.append(f"{timing.batch}: {alone * timing.batch / whole:.2f}")
    return ["items per second by batch size, relative to batch 1: " + ", ".join(gains)]


def _codec_bytes(model: ModelSection) -> CodecBytes:
    """Sizes under the plain codecs and under the packaged bottlenecks of the network."""
    bottlenecks: dict[str, dict[int, CodecPair]] = {
        f"bottleneck-x{ratio:g}": load_pairs(model.name, ratio)
        for ratio in packaged_ratios(model.name)
    }

    def sizes(block: int, shape: Sequence[int], size: int) -> dict[str, int]:
        elements = prod(shape)
        found = {codec: encoded_bytes(codec, elements, size // elements) for codec in PLAIN_CODECS}
        for name, pairs in bottlenecks.items():
            if block in pairs:
                found[name] = pairs[block].encoded_bytes(shape)
        return found

    return sizes


def _machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "processor": _processor(),
        "python": platform.python_version(),
        "mdibench": __version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _default_folder(model: ModelSection) -> Path:
    name = model.name.replace(":", "-")
    return Path("profiles") / f"{name}-{platform.node()}"


def _report_block(block: int) -> None:
    say(f"timing block {block}")
