"""Engines by name: which one runs the configured network here, and why.

``auto`` takes ONNX Runtime where it is installed and the network exports faithfully, else torch.
Rank 0 chooses for all ranks and cuts the graphs of each (``graphs_for``); ``build`` makes the
engine of one rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np
from safetensors.numpy import load, save

from mdibench.compute.engine import Engine, Hosted
from mdibench.config.schema import ModelSection
from mdibench.errors import Problem, UserError

if TYPE_CHECKING:
    import torch

    from mdibench.compute.onnx_export import Export

EngineName = Literal["torch", "onnxruntime", "recorded"]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine of a run and the reason for it; ``export`` has the graphs for ONNX Runtime."""

    name: EngineName
    why: str
    export: Export | None = None

    def graphs_for(self, hosted: Hosted) -> dict[int, bytes]:
        """First block of each call -> its graph; none for torch."""
        if self.export is None:
            return {}
        from mdibench.compute.onnx_export import cut

        return cut(self.export, hosted)


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

        return OnnxEngine(graphs, model.confidence, hosted, exits, model.device, threads)
    import torch

    from mdibench.compute.torch_engine import TorchEngine
    from mdibench.models.registry import load_model

    torch.set_num_threads(threads)
    network = load_model(model, hosted.blocks)
    return TorchEngine(network, model.confidence, hosted, torch_device(model.device))


def pack_graphs(graphs: Mapping[int, bytes]) -> bytes:
    """Graphs as one message."""
    arrays = {str(block): np.frombuffer(graph, np.uint8) for block, graph in graphs.items()}
    message: bytes = save(arrays)
    return message


def unpack_graphs(message: bytes) -> dict[int, bytes]:
    """The reverse of ``pack_graphs``."""
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
