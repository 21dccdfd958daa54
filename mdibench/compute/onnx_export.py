"""A network's blocks as ONNX graphs: exported once by rank 0, kept in the user's cache, checked.

``exported`` gives one graph per block, each with the block's exit head in it; ``cut`` joins and
trims them to the calls of one rank, and adds confidence and class behind each head. An export
counts as faithful only if it answers like the network itself on real items. The cache is keyed by
the content of everything that shapes the graphs of ``exported``: the weights, the code of the
network, and the versions of the exporter. What ``cut`` adds is not kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mdibench.compute.confidence import Measure
from mdibench.compute.engine import Engine, Hosted
from mdibench.compute.onnx_engine import FEATURES, INPUT, OnnxEngine
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.errors import MdibenchError
from mdibench.models.packaged import network_key
from mdibench.network.plan import ModelInfo
from mdibench.record.files import cache_folder, made_once, write_text_whole, write_whole

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from mdibench.models.network import MultiExitNetwork

LOGITS = "logits"
"""The second output of an exported block."""
ITEMS = 64
"""Real items that an export is checked on."""
TOLERANCE = 1e-4
"""Largest difference of a confidence."""
_FORMAT = "1"
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime")
_FILE = "export.json"
log = logging.getLogger(__name__)


class NotExported(MdibenchError):
    """The network has no faithful export here; the message says why."""


@dataclass(frozen=True, slots=True)
class Export:
    """``graphs[k-1]`` is block k with its head; ``worst`` the largest difference of a confidence
    on the items that it was checked on.
    """

    info: ModelInfo
    graphs: tuple[bytes, ...]
    worst: float


def exported(model: ModelSection) -> Export:
    """The graphs of the configured network, from the cache where they are there.

    Raises NotExported where a library is missing, the exporter fails, or answers differ.
    """
    known = kept(model)
    if known is None:
        for library in _LIBRARIES[1:]:
            if _version(library) is None:
                raise NotExported(f"{library} is not installed")
        folder = _folder(model)

        def made() -> Export:
            export = _export(model)
            _write(folder, export)
            return export

        known = made_once(folder, lambda: _read(folder), made)
        kept.cache_clear()  # it has said that there is none
    return known


@cache
def kept(model: ModelSection) -> Export | None:
    """The export of the configured network in the cache, if there is one."""
    return _read(_folder(model))


def _folder(model: ModelSection) -> Path:
    libraries = " ".join(f"{library} {_version(library)}" for library in _LIBRARIES)
    key = network_key(model, f"{_FORMAT} {libraries}", Path(__file__))
    return cache_folder() / "engines" / key


# --- exporting -----------------------------------------------------------------------------------


def _export(model: ModelSection) -> Export:
    import torch

    from mdibench.models.registry import load_model, network_info

    network = load_model(model)
    log.info("exporting %s to ONNX, once for these weights", network.name)
    graphs = []
    given = torch.zeros((2, *network.input_shape), dtype=torch.uint8)
    for block, head in zip(network.blocks, network.heads, strict=True):
        graphs.append(_graph(torch.nn.ModuleList([block, head]), given))
        with torch.no_grad():
            given = block(given)
    export = Export(network_info(model), tuple(graphs), 0.0)
    return replace(export, worst=_checked(export, network, model))


def _graph(parts: Any, given: Any) -> bytes:
    """One block and its head as one ONNX model, for batches of any size."""
    import torch

    class WithHead(torch.nn.Module):
        """The block's feature map, and its head's logits."""

        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = parts

        def forward(self, items: Any) -> tuple[Any, Any]:
            """Both outputs of a call."""
            features = self.block(items)
            return features, self.head(features)

    try:
        with _quiet():
            program = torch.onnx.export(
                WithHead().eval(),
                (given,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                input_names=[INPUT],
                output_names=[FEATURES, LOGITS],
                verbose=False,
            )
        assert program is not None
        graph: bytes = program.model_proto.SerializeToString()
    except Exception as failure:  # whatever the exporter raises
        first = (str(failure).strip().splitlines() or [""])[0][:200]
        raise NotExported(f"the exporter failed ({type(failure).__name__}: {first})") from failure
    return graph


def _checked(export: Export, network: MultiExitNetwork, model: ModelSection) -> float:
    """The largest difference of a confidence; NotExported where the answers are not the same."""
    from mdibench.compute.torch_engine import TorchEngine
    from mdibench.data.dataset import dataset_of

    items = dataset_of(model).evaluation.inputs[:ITEMS]
    hosted = Hosted.every_block(network.exits)
    graphs = cut(export, hosted, "max-softmax")
    theirs = _answers(TorchEngine(network, "max-softmax", hosted), items, network.exits)
    ours = _answers(OnnxEngine(graphs, hosted, network.exits), items, network.exits)
    gaps = np.abs(theirs[1] - ours[1]).max(axis=1)
    for block, gap in enumerate(gaps, 1):
        if not gap <= TOLERANCE or (theirs[0][block - 1] != ours[0][block - 1]).any():
            raise NotExported(f"the export answers differently at exit {block} (by {gap:.1e})")
    return float(gaps.max())


def _answers(engine: Engine, items: NDArray[np.uint8], exits: int) -> NDArray[np.float64]:
    """Predictions and confidences of every exit, ``[2, K, N]``."""
    said = []
    payloads: list[Any] = list(items)
    for block in range(1, exits + 1):
        outcomes = engine.compute([Task(0, block, payload) for payload in payloads])
        said.append([(outcome.prediction, outcome.confidence) for outcome in outcomes])
        payloads = [outcome.payload for outcome in outcomes]
    return np.array(said, np.float64).transpose(2, 0, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter prints and logs about its own internals from the user."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --- the cache -----------------------------------------------------------------------------------


def _read(folder: Path) -> Export | None:
    """What the cache holds; nothing where a file is missing, cut or damaged."""
    try:
        facts = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        graphs = tuple((folder / name).read_bytes() for name in facts["sha256"])
        if [_digest(graph) for graph in graphs] != list(facts["sha256"].values()):
            return None
        return Export(ModelInfo.from_json(facts["info"]), graphs, float(facts["worst"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(folder: Path, export: Export) -> None:
    """Write the cache if possible: a run does not fail without it."""
    named = {f"block-{at}.onnx": graph for at, graph in enumerate(export.graphs, 1)}
    facts = {
        "worst": export.worst,
        "sha256": {name: _digest(graph) for name, graph in named.items()},
        "info": asdict(export.info),
    }
    try:
        for name, graph in named.items():
            write_whole(folder / name, lambda draft, graph=graph: draft.write_bytes(graph))  # type: ignore[misc]
        text = json.dumps(facts, indent=1)
        write_text_whole(folder / _FILE, text)
    except OSError as failure:
        log.info("ONNX graphs not kept: %s", failure)


def _digest(graph: bytes) -> str:
    return hashlib.sha256(graph).hexdigest()


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


# --- the calls of one rank -----------------------------------------------------------------------


def cut(export: Export, hosted: Hosted, measure: Measure) -> dict[int, bytes]:
    """First block of each call -> its graph: blocks joined, unused heads left out.

    A graph gives the feature map, unless it ends with block K; behind a head it also gives
    ``measure`` of the logits divided by the exit's temperature, and the class.
    """
    graphs = {}
    for first, last in hosted.last_block.items():
        model = _joined(export, first, last, hosted.heads)
        if last in hosted.heads:
            _judge(model.graph, measure, hosted.temperature(last), export.info.classes)
        graphs[first] = model.SerializeToString()
    return graphs


def _joined(export: Export, first: int, last: int, heads: frozenset[int]) -> ModelProto:
    """Blocks ``first`` to ``last`` as one model; its values have names ``BLOCK/NAME``."""
    import onnx
    from onnx import compose
    from onnx.utils import Extractor

    whole = compose.add_prefix(onnx.load_from_string(export.graphs[first - 1]), f"{first}/")
    for block in range(first + 1, last + 1):
        following = compose.add_prefix(onnx.load_from_string(export.graphs[block - 1]), f"{block}/")
        io_map = [(f"{block - 1}/{FEATURES}", f"{block}/{INPUT}")]
        whole = compose.merge_models(whole, following, io_map)
    wanted = [FEATURES] * (last < export.info.exits) + [LOGITS] * (last in heads)
    outputs = [f"{last}/{name}" for name in wanted]
    if [output.name for output in whole.graph.output] == outputs:
        return whole
    return Extractor(whole).extract_model([f"{first}/{INPUT}"], outputs)


def _judge(graph: GraphProto, measure: Measure, temperature: float, classes: int) -> None:
    """Replace the last output of ``graph``, the logits, by confidence and class, each ``[N, 1]``.

    Of equally likely classes, the first is chosen.
    """
    from onnx import parser

    scaling = _NOT_SCALED if temperature == 1.0 else _SCALED.format(temperature)
    body = _MEASURES[measure].replace("LOG_CLASSES", f"{math.log(classes):.9e}")
    judged = parser.parse_graph(_JUDGED.format(scaling=scaling, body=body))
    judged.node[0].input[0] = graph.output.pop().name
    graph.node.extend(judged.node)
    graph.output.extend(judged.output)


_JUDGED = """
judged (float[N, C] logits) => (float[N, 1] confidence, int64[N, 1] prediction) {{
    exact = Cast <to = 1> (logits)
    {scaling}
    shares = Softmax <axis = 1> (scaled)
    {body}
}}
"""
"""What ``confidence`` does in numpy, as text that ONNX can parse."""
_NOT_SCALED = "scaled = Identity (exact)"
_SCALED = """
    temperature = Constant <value_float = {:.9e}> ()
    scaled = Div (exact, temperature)
"""
_MAX_SOFTMAX = """
    one = Constant <value_ints = [1]> ()
    confidence, prediction = TopK <axis = 1> (shares, one)
"""
_MARGIN = """
    two = Constant <value_ints = [2]> ()
    difference = Constant <value = float[2, 1] {1.0, -1.0}> ()
    best, classes = TopK <axis = 1> (shares, two)
    confidence = MatMul (best, difference)
    prediction = ArgMax <axis = 1> (scaled)
"""
_ENTROPY = """
    tiny = Constant <value_float = 1.17549435e-38> ()
    bounded = Max (shares, tiny)
    logs = Log (bounded)
    terms = Mul (shares, logs)
    axis = Constant <value_ints = [1]> ()
    negative_nats = ReduceSum (terms, axis)
    log_classes = Constant <value_float = LOG_CLASSES> ()
    negative_share = Div (negative_nats, log_classes)
    zero = Constant <value_float = 0.0> ()
    unity = Constant <value_float = 1.0> ()
    certainty = Add (negative_share, unity)
    clipped = Clip (certainty, zero, unity)
    unknown = IsNaN (certainty)
    confidence = Where (unknown, certainty, clipped)
    prediction = ArgMax <axis = 1> (scaled)
"""
_MEASURES: Mapping[Measure, str] = {
    "max-softmax": _MAX_SOFTMAX,
    "entropy": _ENTROPY,
    "margin": _MARGIN,
    "patience": _MAX_SOFTMAX,
}
