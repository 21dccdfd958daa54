"""What a run computes: the network's costs, engines for its blocks, and the items to classify.

The model ``null`` has five blocks that take no time, to show the overhead of the harness.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mdibench.assembly import environment
from mdibench.compute.engine import Engine
from mdibench.compute.torch_engine import keep_freed_memory
from mdibench.config.schema import ModelSection, RunConfig
from mdibench.errors import Problem, UserError
from mdibench.network.plan import BlockInfo, ModelInfo, Plan
from mdibench.network.planning import make_plan, network_problems

if TYPE_CHECKING:
    import torch

    from mdibench.codec.bottleneck import CodecPair

NULL = "null"
_NULL_EXITS = 5
_NULL_SIDE = 8


@dataclass(frozen=True, slots=True)
class SourceItems:
    """What is admitted: ``fetch(sample)`` gives the raw tensor ``[C, H, W]`` and its bytes."""

    labels: Sequence[int]
    fetch: Callable[[int], tuple[Any, int]]
    arrivals_s: Sequence[float] = ()
    """Recorded times of arrivals, where the config names a trace of them."""


def model_info(model: ModelSection) -> ModelInfo:
    """Sizes and costs of the configured network, ``null`` included; reads no weights."""
    if model.name == NULL:
        block = BlockInfo(0, 0, (1, _NULL_SIDE, _NULL_SIDE), _NULL_SIDE**2)
        shape = (1, _NULL_SIDE, _NULL_SIDE)
        return ModelInfo(NULL, 1, shape, _NULL_SIDE**2, (block,) * _NULL_EXITS)
    from mdibench.models.registry import network_info

    return network_info(model)


def planned(config: RunConfig, ranks: int) -> tuple[ModelInfo, Plan]:
    """The network's costs and the plan for ``ranks``; raises UserError with all their problems."""
    try:
        model = model_info(config.model)
    except UserError as failure:
        own = [_located(problem, config) for problem in failure.problems]
        raise UserError(*own, *network_problems(config, ranks)) from None
    return model, make_plan(config, ranks, model)


def _located(problem: Problem, config: RunConfig) -> Problem:
    """``problem`` with the place in the file where its key, such as ``model.name``, is set."""
    section, _, key = problem.where.partition(".")
    if section != "model" or key not in ModelSection.model_fields:
        return problem
    return replace(problem, where=config.where(section, key))


def make_engine(
    model: ModelSection, blocks: Collection[int], temperatures: Sequence[float] = ()
) -> Engine:
    """An engine with ``blocks`` of the configured network, on this rank's ``torch_device``.

    ``temperatures`` divide the logits, one per exit; empty: no division.
    """
    if model.name == NULL:
        from mdibench.compute.engine import NullEngine

        return NullEngine(_NULL_EXITS)
    from mdibench.compute.torch_engine import TorchEngine
    from mdibench.models.registry import load_model

    network = load_model(model, blocks)
    device = torch_device(model.device)
    return TorchEngine(network, model.confidence, temperatures or None, device)


def torch_device(wanted: str) -> torch.device:
    """The device this rank computes on; raises UserError if it has none of that kind."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        what = "a rank of this run has no CUDA device"
        raise UserError(Problem(what, "model.device", '"auto" takes what each rank has'))
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def load_items(model: ModelSection, arrivals_s: Sequence[float] = ()) -> SourceItems:
    """The evaluation split of the configured data set, to arrive as ``arrivals_s`` say."""
    import torch

    if model.name == NULL:
        tensor = torch.zeros((1, _NULL_SIDE, _NULL_SIDE), dtype=torch.uint8)
        return SourceItems([0] * 1000, lambda sample: (tensor, tensor.numel()), arrivals_s)
    from mdibench.data.registry import load_dataset

    split = load_dataset(model.dataset, model.data_dir).evaluation
    inputs = torch.from_numpy(split.inputs)
    item_bytes = inputs[0].numel()
    return SourceItems(
        split.labels.tolist(), lambda sample: (inputs[sample], item_bytes), arrivals_s
    )


def set_up_torch(threads: int, local_size: int) -> None:
    """Set torch's threads for one of ``local_size`` ranks of this host; ``threads`` 0: a share."""
    import torch

    keep_freed_memory()
    wanted = threads or int(os.environ.get("OMP_NUM_THREADS", "0"))
    torch.set_num_threads(environment.threads_per_rank(wanted, local_size, environment.cores()))


def measured(model: ModelSection) -> list[float]:
    """Seconds of each block with its head for one item, on this machine; 0 for ``null``."""
    if model.name == NULL:
        return [0.0] * _NULL_EXITS
    import torch

    from mdibench.compute.torch_engine import TorchEngine, measure_block_seconds
    from mdibench.models.registry import load_model

    network = load_model(model)
    item = torch.zeros(network.input_shape, dtype=torch.uint8)
    return measure_block_seconds(TorchEngine(network, device=torch_device(model.device)), item)


def bottleneck_pairs(config: RunConfig, plan: Plan) -> dict[int, CodecPair]:
    """The encoder and decoder pairs by cut; empty if no link uses them."""
    if all(link.codec != "bottleneck" for link in plan.links.values()):
        return {}
    from mdibench.codec.bottleneck import load_pairs
    from mdibench.models.registry import weights_file
    from mdibench.models.weights import fingerprint

    model, transport = config.model, config.transport
    made_for = fingerprint(weights_file(model.name, model.weights))
    file = transport.bottleneck_pairs
    return load_pairs(model.name, transport.bottleneck, file, weights=made_for)


def with_seconds(info: ModelInfo, seconds: Sequence[float]) -> ModelInfo:
    """``info`` with the measured time of each block."""
    blocks = tuple(
        replace(block, seconds=time_s) for block, time_s in zip(info.blocks, seconds, strict=True)
    )
    return replace(info, blocks=blocks)
