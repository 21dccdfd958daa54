"""Networks of torchvision and timm by name, where those packages are installed.

``torchvision:resnet18`` and ``timm:vit_tiny_patch16_224``: built for the data set's classes and
items, without a download, and cut at ``model.cuts``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mdibench.config.messages import choose
from mdibench.errors import Problem, UserError
from mdibench.models.cutting import Cuts, cut_network
from mdibench.models.network import MultiExitNetwork, Normalise

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's networks are trained with, for pixels scaled to [0, 1]."""
WHERE = "model.name"


def is_library(name: str) -> bool:
    """Whether ``name`` is a network of one of these packages."""
    return name.partition(":")[0] in LIBRARIES


def library_network(
    name: str, cuts: Cuts, shape: tuple[int, ...], classes: int
) -> MultiExitNetwork:
    """The network ``package:model`` with random weights, cut into blocks with exits.

    Items with one channel are repeated to three. Raises UserError where the package or the model
    is missing, and where the network cannot be cut.
    """
    library, _, model = name.partition(":")
    try:
        whole, mean, std = LIBRARIES[library](model, shape, classes)
    except UserError:
        raise
    except Exception as failure:  # whatever the package raises
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        what = f"{name} cannot be made: {type(failure).__name__}: {first}"
        raise UserError(
            Problem(what, WHERE, "choose another network, or data that fit")
        ) from failure
    return cut_network(name, whole, cuts, shape, classes, front=Normalise(mean, std))


Built = tuple[nn.Module, tuple[float, ...], tuple[float, ...]]
"""A network, with mean and standard deviation of the pixels it takes."""


def _torchvision(model: str, shape: tuple[int, ...], classes: int) -> Built:
    models = _imported("torchvision", "torchvision.models")
    if model not in models.list_models():
        raise _unknown("torchvision", model, models.list_models())
    sized = {"image_size": shape[1]} if model.startswith("vit") else {}
    whole = models.get_model(model, weights=None, num_classes=classes, **sized)
    return whole, IMAGENET_MEAN, IMAGENET_STD


def _timm(model: str, shape: tuple[int, ...], classes: int) -> Built:
    timm = _imported("timm", "timm")
    if model not in timm.list_models():
        raise _unknown("timm", model, timm.list_models())
    facts = timm.get_pretrained_cfg(model)
    sized = {"img_size": shape[1:]} if getattr(facts, "fixed_input_size", False) else {}
    whole = timm.create_model(model, pretrained=False, num_classes=classes, **sized)
    return whole, tuple(facts.mean), tuple(facts.std)


LIBRARIES: Mapping[str, Callable[[str, tuple[int, ...], int], Built]] = {
    "torchvision": _torchvision,
    "timm": _timm,
}
"""Package -> how it builds a network, given name, shape of an item, and number of classes."""


def _imported(package: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as failure:  # a package built for another torch raises RuntimeError
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        what = f"{package} cannot be imported here ({type(failure).__name__}: {first})"
        remedy = f"install a {package} that goes with torch {torch.__version__}"
        raise UserError(Problem(what, WHERE, remedy)) from failure


def _unknown(package: str, model: str, known: list[str]) -> UserError:
    near = choose(model, known)
    remedy = near if near.startswith("did") else f"{package} lists its models in list_models()"
    return UserError(Problem(f'{package} has no network "{model}"', WHERE, remedy))
