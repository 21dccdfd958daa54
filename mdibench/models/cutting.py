"""A whole network cut into blocks with exits: where its modules' outputs are the only link.

torch.fx traces the network down to the modules that the cuts name; everything inside a module stays
as it is, so that training mode, dropout and batch normalisation work as in the whole network. A cut
is possible behind a module whose output is all that the rest of the network needs. The classifier
is the head of the last exit; the other heads are made for the feature maps at the cuts.

Parameters keep the names that they have in the whole network.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import torch
from torch import Tensor, fx, nn

from mdibench.config.messages import choose
from mdibench.errors import Problem, UserError
from mdibench.models.network import ConvHead, MultiExitNetwork, PooledHead
from mdibench.network.placement import partition
from mdibench.record.files import cache_folder, write_text_cached

CUTS = 3
"""Cuts of a network whose config names none."""
CONTAINERS = (nn.Sequential, nn.ModuleList)
"""What a network is searched through for places to cut it."""
GRIDS = (8, 7, 6, 5, 4, 3, 2)
"""Sides of the grid that an early head may pool a feature map to, the best first."""
REPEATS = 15
FRONT = "mdibench_normalise"
"""Name of the module that takes the raw bytes, beside the network's own."""
WHERE = "model.cuts"
Cuts = Sequence[str] | int | None


def cut_network(
    name: str,
    whole: nn.Module,
    cuts: Cuts,
    shape: tuple[int, ...],
    classes: int,
    front: nn.Module | None = None,
) -> MultiExitNetwork:
    """``whole`` in blocks that end at ``cuts``, for items ``shape``.

    ``cuts`` are names of modules as in ``named_modules()``; a number, or ``CUTS``, lets measured
    times decide where that many cuts go. ``front`` comes first: it takes the raw bytes.
    Raises UserError for cuts that do not exist or cannot be made, and without a classifier.
    """
    whole.eval()
    _compute_out_of_place(whole)
    raw = torch.zeros((1, *shape), dtype=torch.uint8)
    example = raw if front is None else front(raw)
    if front is not None:
        whole.add_module(FRONT, front)
    if cuts is None or isinstance(cuts, int):
        cuts = _measured_cuts(name, whole, example, cuts)
    graph = _traced(name, whole, cuts)
    places = [_place(name, whole, graph, cut) for cut in cuts]
    if sorted(set(places)) != places:
        what = f"{name}: cuts are not in the order of the network, or one is given twice"
        raise _problem(what, "name each once, in that order")
    parts = _parts(name, whole, graph, [*places, _before_classifier(name, whole, graph)])
    blocks, heads = parts[:-1], []
    with torch.no_grad():
        given = raw
        for block in blocks[:-1]:
            given = _first_run(name, block, given)
            heads.append(exit_head(tuple(given.shape[1:]), classes, _has_class_token(whole)))
    return MultiExitNetwork(name, blocks, [*heads, parts[-1]], shape, classes, tuple(cuts))


def _first_run(name: str, block: nn.Module, given: Tensor) -> Tensor:
    try:
        result: Tensor = block(given)
    except Exception as failure:  # user code may raise anything
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        what = f"{name} failed on an item {tuple(given.shape[1:])}: {type(failure).__name__}"
        remedy = "choose a data set that fits; a network of your own takes raw uint8"
        raise UserError(Problem(f"{what}: {first}", "model.name", remedy)) from failure
    return result


# --- heads ---------------------------------------------------------------------------------------


class TokenHead(nn.Module):
    """Exit head for tokens ``[N, T, C]`` or ``[N, H, W, C]``: class token or mean, classified."""

    def __init__(self, channels: int, classes: int, class_token: bool) -> None:
        super().__init__()
        self.class_token = class_token
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[N, classes]``."""
        chosen = tokens[:, 0] if self.class_token else tokens.flatten(1, -2).mean(1)
        logits: Tensor = self.linear(self.norm(chosen))
        return logits


def exit_head(shape: tuple[int, ...], classes: int, class_token: bool = False) -> nn.Module:
    """A head for feature maps ``shape``: ``(C, H, W)``, ``(T, C)`` tokens, or ``(C,)``.

    ``(H, W, C)``, as some transformers give it, is a map of tokens; of square items alone can it
    be told from ``(C, H, W)``.
    """
    if len(shape) == 3 and shape[0] == shape[1] != shape[2]:
        return TokenHead(shape[2], classes, class_token=False)
    if len(shape) == 3:
        channels, *sides = shape
        grid = next((g for g in GRIDS if not any(side % g for side in sides)), 1)
        return ConvHead(channels, classes, grid) if grid > 1 else PooledHead(channels, classes)
    if len(shape) == 2:
        return TokenHead(shape[1], classes, class_token)
    if len(shape) == 1:
        return nn.Linear(shape[0], classes)
    raise _problem(f"no exit head for feature maps {shape}", "cut elsewhere")


def _has_class_token(whole: nn.Module) -> bool:
    names = {name.rpartition(".")[2] for name, _ in whole.named_parameters()}
    return not names.isdisjoint({"cls_token", "class_token"})


# --- tracing -------------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    """Traces into the modules around the cuts; into containers where there are none."""

    def __init__(self, cuts: Sequence[str] | None) -> None:
        super().__init__()
        self.cuts = cuts

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module stays whole."""
        if self.cuts is None:
            return not isinstance(m, CONTAINERS)
        return not any(cut.startswith(module_qualified_name + ".") for cut in self.cuts)


def _traced(name: str, whole: nn.Module, cuts: Sequence[str] | None) -> fx.Graph:
    try:
        graph = _Tracer(cuts).trace(whole, _defaults(whole))
    except Exception as failure:  # user code may raise anything
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        what = f"{name} cannot be traced: {type(failure).__name__}: {first}"
        remedy = "cut outside of what its forward decides by the data, or return (blocks, heads)"
        raise _problem(what, remedy) from failure
    for node in graph.nodes:
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
    return graph


def _defaults(whole: nn.Module) -> dict[str, Any]:
    """The further arguments of ``forward``, which no caller gives."""
    _, *further = inspect.signature(whole.forward).parameters.values()
    return {p.name: p.default for p in further if p.kind is p.POSITIONAL_OR_KEYWORD}


def _compute_out_of_place(whole: nn.Module) -> None:
    """The same results, and no feature map that others still need is written over."""
    for module in whole.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]


def _place(name: str, whole: nn.Module, graph: fx.Graph, cut: str) -> int:
    """Index of the node that ends a block at ``cut``; UserError where there is none."""
    nodes = list(graph.nodes)
    found = [at for at, node in enumerate(nodes) if _calls(node, cut)]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise _problem(f'{name} calls "{cut}" {len(found)} times', "cut behind another module")
    modules = [known for known, _ in whole.named_modules() if known]
    if cut in modules:
        what = f'{name} cannot be cut at "{cut}": it is not called, or another cut is inside it'
        raise _problem(what, "name the last module inside it")
    near = choose(cut, modules)
    remedy = near if near.startswith("did") else f"known: {', '.join(_top_level(whole))}"
    raise _problem(f'{name} has no module "{cut}" to cut at', remedy)


def _top_level(whole: nn.Module) -> list[str]:
    return [known for known, _ in whole.named_children()]


def _calls(node: fx.Node, target: str) -> bool:
    return node.op == "call_module" and node.target == target


def _before_classifier(name: str, whole: nn.Module, graph: fx.Graph) -> int:
    """Index of the node before the classifier: the last module with weights, if it is linear."""
    nodes = list(graph.nodes)
    modules = dict(whole.named_modules())
    for node in reversed(nodes):
        if node.op != "call_module" or not any(True for _ in modules[node.target].parameters()):
            continue
        leaves = [m for m in modules[node.target].modules() if _own_parameters(m)]
        if isinstance(leaves[-1], nn.Linear | nn.Conv2d):
            return nodes.index(node.all_input_nodes[0])
        kind = type(leaves[-1]).__name__
        what = f"{name} has no classifier: its last layer with weights is {kind}"
        raise UserError(Problem(what, "model.name", "end it with a linear layer to the classes"))
    raise UserError(Problem(f"{name} has no layer with weights", "model.name", "add a classifier"))


def _own_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


# --- blocks --------------------------------------------------------------------------------------


def _parts(name: str, whole: nn.Module, graph: fx.Graph, places: Sequence[int]) -> list[nn.Module]:
    """The blocks that end at ``places``, and what comes behind the last of them."""
    nodes = list(graph.nodes)
    start = next(at for at, node in enumerate(nodes) if node.op == "placeholder")
    ends = [start, *places, len(nodes) - 1]
    return [_part(name, whole, nodes, begin, end) for begin, end in pairwise(ends)]


def _part(name: str, whole: nn.Module, nodes: Sequence[fx.Node], begin: int, end: int) -> nn.Module:
    """Nodes behind ``begin`` up to ``end`` as a module of one input and one output."""
    if end <= begin:
        what = f'{name}: nothing is left between "{nodes[begin].target}" and the classifier'
        raise _problem(what, "leave that cut out")
    part = fx.Graph()
    given = part.placeholder("features")
    if nodes[begin].op == "placeholder" and hasattr(whole, FRONT):
        given = part.call_module(FRONT, (given,))
    known = {nodes[begin]: given}
    for node in nodes[begin + 1 : end + 1]:
        if node.op == "output":
            break
        if not _is_unused_argument(node):
            known[node] = part.node_copy(node, lambda n: _value(name, part, known, nodes[begin], n))
    last = nodes[end].args[0] if nodes[end].op == "output" else nodes[end]
    if not isinstance(last, fx.Node):
        raise _problem(f"{name} returns {type(last).__name__}", "return one tensor of logits")
    part.output(_value(name, part, known, nodes[begin], last))
    return fx.GraphModule(whole, part)


def _value(
    name: str, part: fx.Graph, known: dict[fx.Node, fx.Node], cut: fx.Node, node: fx.Node
) -> fx.Node:
    """The copy of ``node`` in ``part``; parameters are copied where they are used."""
    if node in known:
        return known[node]
    if node.op == "get_attr":
        known[node] = part.node_copy(node)
        return known[node]
    what = f'{name} cannot be cut at "{cut.target}": the rest also needs {node.name} from before'
    raise _problem(what, "cut where one feature map is all that goes on")


def _is_unused_argument(node: fx.Node) -> bool:
    """Whether a node is a further argument of ``forward``, or a check of one."""
    further = [n for n in (node, *node.all_input_nodes) if n.op == "placeholder" and n.prev.op]
    return any(n.prev.op == "placeholder" for n in further)


# --- cuts by measured time -----------------------------------------------------------------------


def _measured_cuts(
    name: str, whole: nn.Module, example: Tensor, count: int | None
) -> tuple[str, ...]:
    """Names of the cuts that give ``count`` + 1 blocks of nearly equal time on this machine.

    Without a count, ``CUTS`` of them where there are so many places.

    What was measured is kept in the user's cache, so that all commands agree.
    """
    text = f"{name} {count} {tuple(example.shape)} {torch.__version__} {whole}"
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    kept = cache_folder() / "cuts" / f"{key}.json"
    found = _kept_cuts(kept)
    if found is None:
        found = _balanced_cuts(name, whole, example, count)
        write_text_cached(kept, json.dumps(found))
    return found


def _kept_cuts(path: Path) -> tuple[str, ...] | None:
    try:
        return tuple(str(cut) for cut in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _balanced_cuts(
    name: str, whole: nn.Module, example: Tensor, wanted: int | None
) -> tuple[str, ...]:
    graph = _traced(name, whole, None)
    nodes = list(graph.nodes)
    last = _before_classifier(name, whole, graph)
    places = [at for at in _single_links(nodes) if 0 < at < last]
    count = min(CUTS, len(places)) if wanted is None else wanted
    if not 1 <= count <= len(places):
        what = f"{name} has {len(places)} places to cut, not {max(count, 1)}"
        raise _problem(what, "give a lower number, or return (blocks, heads)")
    times = _seconds(name, whole, graph, example)
    edges = [0, *(at + 1 for at in places), len(nodes)]
    pieces = [sum(times[begin:end]) for begin, end in pairwise(edges)]
    ranks = count + 1
    held = partition(nx.path_graph(ranks), [pieces] * ranks)
    ends = [max(blocks) for blocks in held if blocks][:-1]
    return tuple(str(nodes[places[end - 1]].target) for end in ends)


def _single_links(nodes: Sequence[fx.Node]) -> Iterator[int]:
    """Indices of module calls, each once, whose output is all that later nodes use."""
    position = {node: at for at, node in enumerate(nodes)}
    last_use = [max((position[user] for user in node.users), default=-1) for node in nodes]
    crossing = [node.op != "get_attr" and not _is_unused_argument(node) for node in nodes]
    targets = [node.target for node in nodes if node.op == "call_module"]
    for at, node in enumerate(nodes):
        if node.op != "call_module" or targets.count(node.target) > 1:
            continue
        if not any(crossing[k] and last_use[k] > at for k in range(at)):
            yield at


def _seconds(name: str, whole: nn.Module, graph: fx.Graph, example: Tensor) -> list[float]:
    """Shortest of ``REPEATS`` times of every node, for one item: others' work only adds to them."""
    best: dict[fx.Node, float] = {}

    class Timed(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            begun_s = time.perf_counter()
            result = super().run_node(n)
            took_s = time.perf_counter() - begun_s
            best[n] = min(took_s, best.get(n, took_s))
            return result

    runner = Timed(fx.GraphModule(whole, graph))
    _first_run(name, whole, example)
    with torch.no_grad():
        for _ in range(REPEATS):
            runner.run(example)
    by_name: Mapping[str, float] = {node.name: took_s for node, took_s in best.items()}
    return [by_name.get(node.name, 0.0) for node in graph.nodes]


def _problem(what: str, remedy: str) -> UserError:
    return UserError(Problem(what, WHERE, remedy))
