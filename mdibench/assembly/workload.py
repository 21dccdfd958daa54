"""What a run computes: the network's costs, engines for its blocks, and the items to classify.

The model ``null`` has five blocks that take no time, to show the overhead of the harness.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdibench.assembly import environment
from mdibench.compute.engine import (
    Engine,
    EngineChoice,
    Hosted,
    NullEngine,
    build,
    choose,
    has_onnxruntime,
    keep_freed_memory,
)
from mdibench.compute.timing import block_seconds, time_calls
from mdibench.config.schema import ModelSection, RunConfig
from mdibench.core.records import Task
from mdibench.errors import Problem, UserError
from mdibench.network.placement import last_blocks
from mdibench.network.plan import BlockInfo, ModelInfo, Plan

if TYPE_CHECKING:
    from mdibench.training.recordings import CodedAnswers, Recordings

NULL = "null"
_NULL_EXITS = 5
_NULL_SIDE = 8
_DECODED = 4
"""Pictures that are decoded to learn how long it takes."""


@dataclass(frozen=True, slots=True)
class SourceItems:
    """The evaluation items: ``fetch(sample)`` gives a raw item and its bytes.

    Items are uint8 ``[C, H, W]``. ``data`` is what a manifest says of them: their ``seed``, which
    samples are variants of one original, and how long it takes to decode a picture.
    """

    labels: Sequence[int]
    fetch: Callable[[int], tuple[Any, int]]
    arrivals_s: Sequence[float] = ()
    """Recorded times of arrivals, where the config names a trace of them."""
    data: dict[str, Any] | None = None


def model_info(model: ModelSection) -> ModelInfo:
    """Sizes and costs of the configured network, ``null`` included; reads no weights."""
    if model.name == NULL:
        block = BlockInfo(0, 0, (1, _NULL_SIDE, _NULL_SIDE), _NULL_SIDE**2)
        shape = (1, _NULL_SIDE, _NULL_SIDE)
        return ModelInfo(NULL, 1, shape, _NULL_SIDE**2, (block,) * _NULL_EXITS)
    if model.recorded:
        from mdibench.training.scores import known_info

        return known_info(model)
    if model.engine != "torch" and ":" not in model.name and has_onnxruntime():
        from mdibench.compute.onnx_export import kept

        try:
            export = kept(model)  # so that a second run need not load torch for it
        except UserError:  # no weights: that the name is unknown comes first
            _network_info(model)
            raise
        if export is not None:
            return export.info
    return _network_info(model)


def _network_info(model: ModelSection) -> ModelInfo:
    from mdibench.models.registry import network_info

    return network_info(model)


def with_cuts(config: RunConfig) -> RunConfig:
    """The config with the cuts of a whole network that are made here."""
    if ":" not in config.model.name:
        return config
    from mdibench.models.registry import resolved

    return config.model_copy(update={"model": resolved(config.model)})


def check_network(config: RunConfig) -> None:
    """Try the network on real items, with its weights; UserError where a run would go wrong.

    The package's own networks with the package's weights are known to be in order.
    """
    model = config.model
    if model.name == NULL or (":" not in model.name and model.weights is None):
        return
    from mdibench.models.inspection import inspect_model

    transport = config.transport.codec
    codecs = {link.codec or transport for link in config.topology.links} | {transport}
    try:
        inspect_model(model, codecs)
    except UserError as failure:
        raise UserError(*(_located(problem, config) for problem in failure.problems)) from None


def planned(config: RunConfig, ranks: int) -> tuple[ModelInfo, Plan]:
    """The network's costs and the plan for ``ranks``; UserError with the mistakes of both."""
    from mdibench.network.planning import network_problems

    try:
        model = model_info(config.model)
    except UserError as failure:
        own = [_located(problem, config) for problem in failure.problems]
        raise UserError(*own, *network_problems(config, ranks)) from None
    if not config.scheme.exits_early:
        model = model.with_heads({model.exits})
    return model, plan_of(config, ranks, model)


def plan_of(config: RunConfig, ranks: int, model: ModelInfo) -> Plan:
    """The plan for ``ranks`` and the costs of ``model``, its placement optimised if asked."""
    from mdibench.network.planning import make_plan, placement_name

    plan = make_plan(config, ranks, model)
    if not placement_name(config).startswith("optimised"):
        return plan
    from mdibench.bounds.optimised_placement import optimised

    return make_plan(config, ranks, model, optimised(config, plan, model))


def hosted_by(
    config: RunConfig, blocks: Collection[int], model: ModelInfo, temperatures: Sequence[float] = ()
) -> Hosted:
    """How a worker runs ``blocks``: without early exits, only the last head is computed."""
    last_block = {block: block for block in blocks} | last_blocks(config.scheme, blocks)
    heads = frozenset(blocks) if config.scheme.exits_early else frozenset({model.exits})
    flops = tuple(block.flops for block in model.blocks)
    return Hosted(last_block, heads, flops, tuple(temperatures))


def call_seconds(block_s: Sequence[float], last_block: Mapping[int, int]) -> list[float]:
    """Seconds of one task in the call that begins with each block, in order of the blocks."""
    return [sum(block_s[k - 1 : last_block.get(k, k)]) for k in range(1, len(block_s) + 1)]


def _located(problem: Problem, config: RunConfig) -> Problem:
    """``problem`` with the place in the file where its key, such as ``model.name``, is set."""
    section, _, key = problem.where.partition(".")
    if section != "model" or key not in ModelSection.model_fields:
        return problem
    return replace(problem, where=config.where(section, key))


def make_engine(
    model: ModelSection, info: ModelInfo, hosted: Hosted, choice: EngineChoice | None = None
) -> Engine:
    """An engine for ``hosted`` in this process, by the config's own choice by default."""
    if model.name == NULL:
        return NullEngine(_NULL_EXITS, hosted)
    chosen = choice or choose(model)
    return build(
        chosen.name, model, hosted, chosen.graphs_for(hosted, model.confidence), info.exits
    )


def load_items(
    model: ModelSection, arrivals_s: Sequence[float] = (), run_seed: int = 1
) -> SourceItems:
    """The evaluation split of the configured data set, to arrive as ``arrivals_s`` say.

    ``run_seed`` is the run's, which draws the corruption of the digits.
    """
    if model.name == NULL:
        item = np.zeros((1, _NULL_SIDE, _NULL_SIDE), np.uint8)
        return SourceItems([0] * 1000, lambda sample: (item, item.nbytes), arrivals_s)
    from mdibench.data.dataset import load_evaluation

    split = load_evaluation(model, run_seed)
    inputs = split.inputs
    item_bytes = inputs[0].nbytes
    data = data_facts(model.dataset, run_seed, split.originals)
    if not isinstance(inputs, np.ndarray):
        count = min(_DECODED, len(inputs))
        whole = time_calls(lambda: inputs[:count], repeats=3)
        data |= {"decode_s": whole.median_s / count}
    return SourceItems(
        split.labels.tolist(), lambda sample: (inputs[sample], item_bytes), arrivals_s, data
    )


def recorded_items(
    model: ModelSection,
    info: ModelInfo,
    recordings: Recordings,
    arrivals_s: Sequence[float] = (),
    run_seed: int = 1,
    item: NDArray[np.uint8] | None = None,
) -> SourceItems:
    """The items whose answers are recorded; ``item`` stands for each of them, or nothing does."""
    labels, size = recordings.labels.tolist(), info.input_bytes
    data = data_facts(model.dataset, run_seed, recordings.originals)
    return SourceItems(labels, lambda sample: (item, size), arrivals_s, data)


def data_facts(dataset: str, run_seed: int, originals: NDArray[np.int64] | None) -> dict[str, Any]:
    """What a manifest says of a run's items; the originals are one text, on one line."""
    from mdibench.data.dataset import corruption_seed

    listed = None if originals is None else " ".join(map(str, originals.tolist()))
    return {"seed": corruption_seed(dataset, run_seed), "originals": listed}


def set_up_compute(threads: int, local_size: int) -> int:
    """Set up computation as one of ``local_size`` ranks of this host; returns an engine's threads.

    ``threads`` are the config's, or 0.
    """
    keep_freed_memory()
    wanted = threads or int(os.environ.get("OMP_NUM_THREADS", "0"))
    return environment.threads_per_rank(wanted, local_size, environment.cores())


def measured(config: RunConfig, info: ModelInfo, choice: EngineChoice | None = None) -> list[float]:
    """Seconds of each block for one item, on this machine; 0 for the null block.

    With the heads that a run of ``config`` computes, each block as a call of its own.
    """
    model = config.model
    if model.name == NULL:
        return [0.0] * _NULL_EXITS
    alone = Hosted.every_block(info.exits)
    heads = alone.heads if config.scheme.exits_early else frozenset({info.exits})
    engine = make_engine(model, info, replace(alone, heads=heads), choice)
    return block_seconds(engine, np.zeros(info.input_shape, np.uint8))


def bottleneck_file(config: RunConfig) -> Path:
    """The file of encoder and decoder pairs that the config means, once it is known to fit.

    Raises UserError for a missing or damaged file, or pairs of another network.
    """
    from mdibench.codec.bottleneck import load_pairs, pairs_file
    from mdibench.models.packaged import fingerprint, weights_file

    model, transport = config.model, config.transport
    made_for = fingerprint(weights_file(model.name, model.weights))
    file = pairs_file(model.name, transport.bottleneck, transport.bottleneck_pairs)
    load_pairs(model.name, transport.bottleneck, str(file), weights=made_for)
    return file


def with_seconds(info: ModelInfo, seconds: Sequence[float]) -> ModelInfo:
    """``info`` with the measured time of each block."""
    blocks = tuple(
        replace(block, seconds=time_s) for block, time_s in zip(info.blocks, seconds, strict=True)
    )
    return replace(info, blocks=blocks)


# --- answers under a codec -----------------------------------------------------------------------

EncodedCuts = Callable[[Task], int]
"""From a task to the set of cuts before it at which its feature map was encoded, as bits."""


def lossy_codecs(plan: Plan) -> list[str]:
    """The codecs of the plan's links that change feature maps, in order."""
    return sorted({link.codec for link in plan.links.values()} - {"none"})


def answers_under_codec(
    config: RunConfig, plan: Plan, temperatures: tuple[float, ...]
) -> CodedAnswers | None:
    """The answers recorded under the codec of the plan's links.

    None where no link has one or links have several, and where they cannot be recorded.
    """
    codecs = lossy_codecs(plan)
    if len(codecs) != 1:
        return None
    from mdibench.training.recordings import coded_answers

    pairs = bottleneck_file(config) if codecs == ["bottleneck"] else None
    return coded_answers(config.model, codecs[0], pairs, temperatures, config.run.seed)


def encoded_cuts(config: RunConfig, plan: Plan, rank: int) -> EncodedCuts:
    """For the tasks that ``rank`` computes, by the ranks that computed the blocks before.

    A cut is encoded where two ranks computed the blocks beside it and their link has a codec; with
    no link of their own, the map was relayed over links that have one.
    """
    last = [last_blocks(config.scheme, blocks) for blocks in plan.blocks]

    @cache
    def of_path(path: tuple[int, ...]) -> int:
        cuts, block = 0, 1
        for here, there in pairwise((*path, rank)):
            end = last[here].get(block, block)
            link = plan.links.get((here, there))
            if here != there and (link is None or link.codec != "none"):
                cuts |= 1 << (end - 1)
            block = end + 1
        return cuts

    return lambda task: of_path(task.path)
