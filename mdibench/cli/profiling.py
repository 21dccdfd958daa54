"""The work of ``mdibench profile``, apart from its options."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from math import prod
from pathlib import Path
from typing import Any

from mdibench import __version__
from mdibench.compute.profiling import CodecBytes, exit_table, profile_blocks, use_threads
from mdibench.config import ModelSection, RunConfig
from mdibench.data.dataset import Split
from mdibench.data.registry import load_dataset
from mdibench.errors import Problem, UserError
from mdibench.models.bottleneck import Pair, load_pairs, packaged_ratios
from mdibench.models.evaluation import score
from mdibench.models.registry import load_model, model_info
from mdibench.record.profile import JSON_FILE, Profile, write_profile
from mdibench.talk import say
from mdibench.transport.codecs import encoded_bytes

PLAIN_CODECS = ("none", "fp16", "int8")
"""Codecs whose size follows from the tensor alone."""


def measure_and_write(
    config: RunConfig,
    out: Path | None,
    batches: Sequence[int],
    repeats: int,
    items: int | None,
) -> str:
    """Measure, write the profile folder, and return its tables as text."""
    torch_facts = use_threads(config.run.threads or 1)
    model = config.model
    if model.device == "cuda":
        what = "a profile times the processor, not CUDA"
        raise UserError(Problem(what, "model.device", 'leave it out, or --set model.device="cpu"'))
    folder = out or _default_folder(model)
    folder.mkdir(parents=True, exist_ok=True)  # before anything is measured for it
    network = load_model(model)
    split = load_dataset(model.dataset, model.data_dir).evaluation
    split = Split(split.inputs[:items], split.labels[:items])
    blocks = profile_blocks(
        network, model_info(model), split, batches, repeats, _codec_bytes(model), _say_block
    )
    say(f"scoring {len(split):,} evaluation items at every exit")
    scores = score(network, split)
    measured = Profile(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine={**_machine(), **torch_facts},
        model={**model_facts(model), "classes": network.classes},
        items=len(split),
        accuracy=tuple(float(value) for value in scores.accuracy),
        blocks=blocks,
    )
    write_profile(folder, measured, exit_table(model, scores))
    return profile_text(measured) + f"\nwritten: {folder / JSON_FILE}\n"


def model_facts(model: ModelSection) -> dict[str, Any]:
    """The keys of ``[model]`` that the measurement depends on."""
    return {
        "name": model.name,
        "dataset": model.dataset,
        "weights": model.weights,
        "confidence": model.confidence,
    }


def profile_text(profile: Profile) -> str:
    """One line per block, in 80 columns."""
    lines = [
        f"{profile.model['name']} on {profile.machine['host']}, "
        f"{profile.machine['torch_threads']} torch thread(s), {profile.items:,} items",
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
    """Throughput gain of each batch size, over all blocks."""
    alone = sum(block.seconds for block in profile.blocks)
    gains = []
    for index, timing in enumerate(profile.blocks[0].times):
        whole = sum(block.times[index].median_s for block in profile.blocks)
        gains.append(f"{timing.batch}: {alone * timing.batch / whole:.2f}")
    return ["items per second by batch size, relative to batch 1: " + ", ".join(gains)]


def _codec_bytes(model: ModelSection) -> CodecBytes:
    """Sizes under the plain codecs and under the package's bottlenecks of this network."""
    bottlenecks: dict[str, dict[int, Pair]] = {
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


def _say_block(block: int) -> None:
    say(f"timing block {block}")
