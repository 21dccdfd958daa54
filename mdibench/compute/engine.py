"""The interface of engines, engines by name, and two without a network: recorded, null block.

An engine computes the blocks that its rank hosts and is used by one thread. Payloads are numpy
arrays ``[C, H, W]`` without a batch dimension, in the transport as well, so that only the torch
engine imports torch.

``auto`` takes ONNX Runtime where it is installed and the network exports faithfully, else torch.
Rank 0 chooses for all ranks and cuts the graphs of each (``graphs_for``); ``build`` makes the
engine of one rank.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mdibench.core.records import Outcome, Task
from mdibench.errors import Problem, UserError

if TYPE_CHECKING:
    import torch

    from mdibench.compute.confidence import Measure
    from mdibench.compute.onnx_export import Export
    from mdibench.config.schema import ModelSection

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's ``malloc.h``."""
_LARGEST_TENSOR = 32 * 1024**2
"""Bytes up to which memory comes from the heap: the most that glibc allows."""
_KEPT = 1024**3


def keep_freed_memory() -> bool:
    """Ask glibc's malloc to keep what is freed; whether there was one to ask.

    By default it gives large blocks back at once, and each layer of a batch then has its pages
    fetched and zeroed anew, which costs up to a third of the batch's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_TENSOR) and mallopt(_M_TRIM_THRESHOLD, _KEPT))


UNASKED = -1
"""The prediction of an outcome whose exit head was not computed."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """The blocks of an engine, and how it runs them.

    ``last_block[k]`` is the last block of the call that begins with block k: consecutive blocks
    without a decision between them are one call. ``heads`` are the blocks whose exit head is
    computed. ``flops[k-1]`` are the FLOPs of block k, with its head if that is computed.
    """

    last_block: Mapping[int, int]
    heads: frozenset[int]
    flops: Sequence[int] = field(default=())
    temperatures: tuple[float, ...] = ()
    """Divisors of the logits of each exit (calibration); empty: 1."""

    @classmethod
    def every_block(cls, exits: int, temperatures: Sequence[float] = ()) -> Hosted:
        """All K blocks, each a call of its own with its head."""
        blocks = range(1, exits + 1)
        alone = {block: block for block in blocks}
        return cls(alone, frozenset(blocks), (0,) * exits, tuple(temperatures))

    @property
    def blocks(self) -> Collection[int]:
        """All blocks that the engine holds."""
        return self.last_block.keys()

    def flops_of(self, block: int) -> int:
        """FLOPs of one task in the call that begins with ``block``."""
        return sum(self.flops[block - 1 : self.last_block[block]])

    def temperature(self, block: int) -> float:
        """The temperature of the exit of ``block``."""
        return self.temperatures[block - 1] if self.temperatures else 1.0


class Engine(Protocol):
    """Runs blocks, with the exit heads in ``Hosted.heads``."""

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block.

        A payload has memory of its own, and is ``None`` after block K. Without a head, the
        prediction is ``UNASKED`` and the confidence 0.
        """
        ...

    def flops(self, task: Task) -> int:
        """FLOPs of the call that computes ``task``; 0 where unknown."""
        ...


class RecordedEngine:
    """Returns the recorded outcomes of a real network for each sample at each exit.

    ``predictions[k-1][sample]`` and ``confidences[k-1][sample]``; ``output_bytes[k-1]`` is the
    size of the feature map behind block k. ``maps[k-1]``, if given, stands for that feature map: it
    has its shape and element type, so that messages have their true size.
    """

    def __init__(
        self,
        predictions: Sequence[Sequence[Any]],
        confidences: Sequence[Sequence[Any]],
        output_bytes: Sequence[int],
        hosted: Hosted,
        maps: Sequence[Any] = (),
        variant: Callable[[Task], int] | None = None,
    ) -> None:
        """With ``variant``, ``predictions[k-1][variant(task)][sample]``, and so the confidences."""
        self._variant = variant
        self._maps = maps or (None,) * len(output_bytes)
        self._predictions = predictions
        self._confidences = confidences
        self._output_bytes = output_bytes
        self._hosted = hosted

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The recorded outcomes; without ``maps``, payloads are empty."""
        last = self._hosted.last_block[tasks[0].block]
        size, features = self._output_bytes[last - 1], self._maps[last - 1]
        if last not in self._hosted.heads:
            return [Outcome(UNASKED, 0.0, features, size)] * len(tasks)
        predictions, confidences = self._predictions[last - 1], self._confidences[last - 1]
        if self._variant is not None:
            found = [(task.sample, self._variant(task)) for task in tasks]
            return [
                Outcome(predictions[v][sample], confidences[v][sample], features, size)
                for sample, v in found
            ]
        return [
            Outcome(predictions[task.sample], confidences[task.sample], features, size)
            for task in tasks
        ]

    def flops(self, task: Task) -> int:
        """FLOPs of ``task``."""
        return self._hosted.flops_of(task.block)


class NullEngine:
    """Passes every payload on unchanged; item d has confidence 1 from exit 1 + d mod K on.

    So each exit is taken equally often at any threshold above 0, without a network: a run shows
    the overhead of the harness.
    """

    def __init__(self, exits: int, hosted: Hosted | None = None) -> None:
        self._exits = exits
        self._last_block = (hosted or Hosted.every_block(exits)).last_block

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Class 0 for everything, with confidence 1 or 0."""
        last = self._last_block[tasks[0].block]
        return [
            Outcome(
                0,
                1.0 if last > task.item % self._exits else 0.0,
                task.payload,
                task.payload_bytes,
            )
            for task in tasks
        ]

    def flops(self, task: Task) -> int:
        """Always 0."""
        return 0


# --- engines by name -----------------------------------------------------------------------------

EngineName = Literal["torch", "onnxruntime", "recorded"]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine of a run and the reason for it; ``export`` has the graphs for ONNX Runtime."""

    name: EngineName
    why: str
    export: Export | None = None

    def graphs_for(self, hosted: Hosted, measure: Measure) -> dict[int, bytes]:
        """First block of each call -> its graph, with the confidence measure; none for torch."""
        if self.export is None:
            return {}
        from mdibench.compute.onnx_export import cut

        return cut(self.export, hosted, measure)


def has_onnxruntime() -> bool:
    """Whether this machine could run the engine ``onnxruntime``."""
    return find_spec("onnxruntime") is not None


def choose(model: ModelSection, lacking: str = "") -> EngineChoice:
    """The engine for ``model.engine``; ``lacking`` names a rank without ONNX Runtime.

    For ``recorded``, the one that a computed run would have.
    Raises UserError where the config names ONNX Runtime and it cannot run the network.
    """
    if model.engine == "torch":
        return EngineChoice("torch", "the config says so")
    reason = f"{lacking} has no onnxruntime" if lacking else ""
    if not reason:
        from mdibench.compute.onnx_export import NotExported, exported

        try:
            export = exported(model)
        except NotExported as failure:
            reason = str(failure)
        else:
            why = f"confidences within {export.worst:.0e} of torch's"
            return EngineChoice("onnxruntime", why, export)
    if model.engine == "onnxruntime":
        remedy = '"auto" falls back to torch, which runs any network'
        raise UserError(Problem(f"not with ONNX Runtime: {reason}", "model.engine", remedy))
    return EngineChoice("torch", reason)


def build(
    name: EngineName,
    model: ModelSection,
    hosted: Hosted,
    graphs: Mapping[int, bytes],
    exits: int,
    threads: int = 1,
) -> Engine:
    """The engine of a rank that hosts ``hosted``, on the device that the config wants.

    Raises UserError where this rank has no such device.
    """
    if name == "onnxruntime":
        from mdibench.compute.onnx_engine import OnnxEngine

        return OnnxEngine(graphs, hosted, exits, model.device, threads)
    import torch

    from mdibench.compute.torch_engine import TorchEngine
    from mdibench.models.registry import load_model

    torch.set_num_threads(threads)
    network = load_model(model, hosted.blocks)
    return TorchEngine(network, model.confidence, hosted, torch_device(model.device))


def pack_graphs(graphs: Mapping[int, bytes]) -> bytes:
    """Graphs as one message."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {str(block): np.frombuffer(graph, np.uint8) for block, graph in graphs.items()}
    message: bytes = save(arrays)
    return message


def unpack_graphs(message: bytes) -> dict[int, bytes]:
    """The reverse of ``pack_graphs``."""
    from safetensors.numpy import load

    return {int(block): graph.tobytes() for block, graph in load(message).items()}


def torch_device(wanted: str) -> torch.device:
    """What this rank's torch computes on; UserError where it has no device of that kind."""
    import torch

    there = torch.cuda.is_available()
    if wanted not in ("cpu", "cuda", "auto"):
        remedy = 'torch knows "cpu", "cuda" and "auto"; set model.engine = "onnxruntime"'
        raise UserError(Problem(f'torch has no device "{wanted}"', "model.device", remedy))
    if wanted == "cuda" and not there:
        what = "a rank of this run has no CUDA device"
        raise UserError(Problem(what, "model.device", '"auto" takes what each rank has'))
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")
