"""Networks by name: ours, and users' own as ``package.module:function``.

``load_network`` builds the blocks that a rank hosts: layers are created without initial values,
other blocks become ``Absent``, and batch normalisation is folded. ``network_info`` gives the costs
for a plan without reading weights. The model ``null`` is not a network: see
``assembly.workload``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from mdibench.config.messages import choose
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import check_name, item_format
from mdibench.errors import InvariantError, Problem, UserError
from mdibench.models import digits_cnn, mobilenetv2, resnet
from mdibench.models.network import MultiExitNetwork
from mdibench.models.packaged import weights_file
from mdibench.models.weights import load_weights, weights_cuts
from mdibench.network.plan import ModelInfo

BUILDERS: Mapping[str, Callable[[int], MultiExitNetwork]] = {
    "digits-cnn": digits_cnn.build,
    "mobilenetv2": mobilenetv2.build,
    **{f"resnet{depth}": partial(resnet.build, depth) for depth in resnet.DESIGNS},
}
"""Name -> builder of the network with random weights, given the number of classes."""


def home_dataset(name: str) -> str:
    """The data set of network ``name`` by default; ``digits`` for a user's network."""
    return "digits" if name == digits_cnn.NAME or ":" in name else "cifar10"


def load_network(
    name: str,
    weights: str | None = None,
    blocks: Collection[int] | None = None,
    dataset: str | None = None,
) -> MultiExitNetwork:
    """``load_model`` with ``dataset`` as ``home_dataset`` by default."""
    chosen = dataset or home_dataset(name)
    return load_model(ModelSection(name=name, weights=weights, dataset=chosen), blocks)


def load_model(model: ModelSection, blocks: Collection[int] | None = None) -> MultiExitNetwork:
    """The network with trained weights in ``blocks`` (from 1; all by default), for inference.

    The other blocks and heads become ``Absent``. Batch normalisation is folded into convolutions,
    whose weights are channels-last: faster on a CPU, with the same results.
    The data set gives the shape of an item and the number of classes. Weights are a safetensors
    file; by default the package's own, or, for a user's network, the values that the user's
    function has set, drawn from the same seed on every rank.
    Raises UserError for unknown names, for files that do not match and for a user's mistakes.
    """
    with Uninitialised() if ":" not in model.name else _seeded():
        network = build(model)
    file = weights_file(model.name, model.weights)
    if file is not None:
        load_weights(file, network, blocks)
    return _only(network, blocks)


@contextmanager
def _seeded() -> Iterator[None]:
    """Within a ``with`` block, torch draws the same values in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def build_network(name: str, dataset: str) -> MultiExitNetwork:
    """``build`` by names alone."""
    return build(ModelSection(name=name, dataset=dataset))


def build(model: ModelSection) -> MultiExitNetwork:
    """The network with random weights, made for the data set's items and classes."""
    name = model.name
    check_name(model.dataset)
    if ":" not in name and name not in BUILDERS:
        raise UserError(_unknown(name))
    expected, classes = item_format(model.dataset, model.data_dir, model.pictures)
    if ":" in name:
        return _users_network(model, expected, classes)
    if model.cuts is not None:
        remedy = "leave it out: networks of torchvision, timm and your own are cut"
        raise UserError(Problem(f"network '{name}' has its blocks already", "model.cuts", remedy))
    network = BUILDERS[name](classes)
    if network.input_shape != expected:
        what = (
            f"network '{name}' takes items {network.input_shape}, '{model.dataset}' has {expected}"
        )
        raise UserError(Problem(what, "model.dataset", "choose a network and data that fit"))
    return network


def resolved(model: ModelSection) -> ModelSection:
    """``model`` with the cuts that are made here, so that every rank makes the same ones."""
    if ":" not in model.name or isinstance(model.cuts, tuple):
        return model
    return model.model_copy(update={"cuts": build(model).cuts or None})


def network_info(model: ModelSection) -> ModelInfo:
    """Sizes and costs of the config's network; no weights are read."""
    keys = ["name", "cuts", "dataset", "data_dir", "pictures"]
    if ":" in model.name:
        keys.append("weights")  # they say where the network was cut
    return _network_info(ModelSection(**{key: getattr(model, key) for key in keys}))


@cache
def _network_info(model: ModelSection) -> ModelInfo:
    from mdibench.models.cost import network_costs

    return network_costs(build(model))


def _users_network(model: ModelSection, shape: tuple[int, ...], classes: int) -> MultiExitNetwork:
    from mdibench.models.users import load_users_network

    cuts = model.cuts
    if not isinstance(cuts, tuple) and model.weights is not None:
        cuts = weights_cuts(Path(model.weights).expanduser()) or cuts
    return load_users_network(model.name, shape, classes, cuts)


def _only(network: MultiExitNetwork, blocks: Collection[int] | None) -> MultiExitNetwork:
    """The network with ``Absent`` in place of all other blocks, ready for inference."""
    loaded = range(1, network.exits + 1) if blocks is None else blocks
    kept = [
        [part if number in loaded else Absent(number) for number, part in enumerate(parts, 1)]
        for parts in (network.blocks, network.heads)
    ]
    for part in (*kept[0], *kept[1]):
        fold_batch_norms(part.eval().requires_grad_(False))
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return replace(network, blocks=kept[0], heads=kept[1])


def _unknown(name: str) -> Problem:
    remedy = choose(name, [*BUILDERS, "or your own as package.module:function"])
    return Problem(f'unknown network "{name}"', "model.name", remedy)


# --- blocks that are loaded -----------------------------------------------------------------------


class Uninitialised(TorchFunctionMode):
    """Within a ``with`` block, new layers allocate their weights without initial values.

    Weights that are read from a file next need no random values, and memory that was never
    written is not resident.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Skip the functions of ``torch.nn.init``; run everything else."""
        named = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


class Absent(nn.Module):
    """Stands for block or head ``number`` of a network where another rank hosts it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, features: Tensor) -> Tensor:
        """Raise InvariantError: the task was sent to the wrong worker."""
        raise InvariantError(f"block {self.number} is not loaded here")


def fold_batch_norms(module: nn.Module) -> None:
    """Fold, in place, every ``Conv2d, BatchNorm2d`` pair that follow each other in a Sequential.

    ``module`` must be in evaluation mode. Results stay the same except for rounding. Pairs in a
    custom ``forward`` are not folded: only a Sequential defines the order of its layers.
    """
    for part in module.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)


def _fold(layers: nn.Sequential) -> None:
    for at, (first, second) in enumerate(pairwise(layers)):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            layers[at] = fuse_conv_bn_eval(first, second)
            layers[at + 1] = nn.Identity()
