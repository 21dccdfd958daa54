"""Users' own networks: ``package.module:function`` from the config to a checked network.

The function takes nothing and returns a pair (blocks, heads) of lists of torch modules of equal
length, a ``MultiExitNetwork``, or a whole network, which is cut into blocks. Every mistake becomes
a UserError of one line.

Networks of torchvision and timm come by name where those packages are installed, for example
``torchvision:resnet18``: built for the data set's classes and items, without a download, and cut at
``model.cuts``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mdibench.config.messages import choose
from mdibench.errors import Problem, UserError
from mdibench.models.cutting import Cuts, cut_network
from mdibench.models.network import MultiExitNetwork, Normalise

WHERE = "model.name"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's networks are trained with, for pixels scaled to [0, 1]."""


def load_users_network(
    name: str, shape: tuple[int, ...], classes: int, cuts: Cuts = None
) -> MultiExitNetwork:
    """The network that ``name``'s function returns, checked against items of ``shape``.

    A whole network is cut at ``cuts``.

    The working directory is added to the module search path, so that local modules are found as
    well as installed ones. Raises UserError for every mistake.
    """
    if is_library(name):
        network = library_network(name, cuts, shape, classes)
    else:
        returned = _call(_find(name), name)
        network = _as_network(returned, name, shape, classes, cuts)
    _check_modules(network)
    if tuple(network.input_shape) != tuple(shape):
        what = f"{name} takes items {tuple(network.input_shape)}, the data set has {tuple(shape)}"
        raise _problem(what, "choose a data set that fits")
    _check_shapes(network, classes)
    return network


def _find(name: str) -> Callable[[], Any]:
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as failure:
        raise _problem(f"cannot import '{module_name}': {failure}", "check the name") from failure
    except Exception as failure:  # user code may raise anything
        raise _problem(f"'{module_name}' failed at import: {_brief(failure)}") from failure
    function = getattr(module, attribute, None)
    if not callable(function):
        raise _problem(f"'{module_name}' has no function '{attribute}'", "check the name")
    return function  # type: ignore[no-any-return]


def _call(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except UserError:
        raise
    except Exception as failure:  # user code may raise anything
        raise _problem(f"{name}() failed: {_brief(failure)}") from failure


def _as_network(
    returned: Any, name: str, shape: tuple[int, ...], classes: int, cuts: Cuts
) -> MultiExitNetwork:
    if isinstance(returned, nn.Module):
        return cut_network(name, returned, cuts, shape, classes)
    if cuts is not None:
        what = f"{name}() returned blocks, which are not cut any further"
        raise UserError(Problem(what, "model.cuts", "leave it out, or return the whole network"))
    if isinstance(returned, MultiExitNetwork):
        return returned
    if not (isinstance(returned, tuple) and len(returned) == 2):
        found = type(returned).__name__
        remedy = "return (blocks, heads), or a whole network to be cut"
        raise _problem(f"{name}() returned {found}", remedy)
    blocks, heads = (
        _as_list(part, what, name) for part, what in zip(returned, ("blocks", "heads"), strict=True)
    )
    return MultiExitNetwork(name, blocks, heads, shape, classes)


def _as_list(parts: Any, what: str, name: str) -> Sequence[nn.Module]:
    try:
        return list(parts)
    except TypeError:
        found = type(parts).__name__
        raise _problem(f"{name}() returned {found} as {what}", "return a list") from None


def _check_modules(network: MultiExitNetwork) -> None:
    counts = len(network.blocks), len(network.heads)
    if counts[0] != counts[1] or counts[0] == 0:
        what = f"{network.name} has {counts[0]} blocks and {counts[1]} heads"
        raise _problem(what, "give one head for each block, and at least one block")
    for kind, parts in (("block", network.blocks), ("head", network.heads)):
        for number, part in enumerate(parts, start=1):
            if not isinstance(part, nn.Module):
                found = type(part).__name__
                raise _problem(f"{kind} {number} of {network.name} is {found}", "use torch modules")


def _check_shapes(network: MultiExitNetwork, classes: int) -> None:
    """Run one black item through the network: every part must accept the previous output."""
    features: Tensor = torch.zeros((1, *network.input_shape), dtype=torch.uint8)
    with torch.no_grad():
        for number in range(1, network.exits + 1):
            features = _run(network, "block", number, features)
            logits = _run(network, "head", number, features)
            if tuple(logits.shape) != (1, classes):
                what = f"head {number} of {network.name} gives {tuple(logits.shape)} for one item"
                raise _problem(what, f"give logits (1, {classes}): the data has {classes} classes")


def _run(network: MultiExitNetwork, kind: str, number: int, given: Tensor) -> Tensor:
    part = (network.blocks if kind == "block" else network.heads)[number - 1].eval()
    where = f"{kind} {number} of {network.name}"
    try:
        result = part(given)
    except Exception as failure:  # user code may raise anything
        what = f"{where} failed on {given.dtype} {tuple(given.shape)}: {_brief(failure)}"
        raise _problem(
            what, "each part takes the output of the part before; the first takes uint8"
        ) from failure
    if not isinstance(result, Tensor):
        raise _problem(f"{where} returned {type(result).__name__}", "return one tensor")
    return result


def _brief(failure: BaseException) -> str:
    first = (str(failure).strip().splitlines() or [""])[0]
    return f"{type(failure).__name__}: {first}"[:300]


def _problem(what: str, remedy: str = "") -> UserError:
    return UserError(Problem(what, WHERE, remedy))


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
