"""The engine ``onnxruntime``: one session for each call, with everything but its batching in it.

A call holds no interpreter lock while it computes, and needs neither torch nor the weights: the
graphs come from rank 0 (``onnx_export``). Sessions use one thread each unless told otherwise, and
their threads never spin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mdibench.compute.confidence import MEASURES, Measure, judge
from mdibench.compute.engine import UNASKED, Hosted
from mdibench.core.records import Outcome, Task
from mdibench.errors import InvariantError, Problem, UserError

INPUT, FEATURES, LOGITS = "items", "features", "logits"
"""Names in every graph, behind the number of a block where graphs were joined."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""``model.device`` -> ONNX Runtime's execution provider."""
_QUIET = 3
"""Of ONNX Runtime's log levels: errors alone."""


@dataclass(frozen=True, slots=True)
class _Call:
    """The session of one call, the name of its input, and those of what it is asked for."""

    session: Any
    given: str
    wanted: list[str]


class OnnxEngine:
    """Runs ``graphs`` (first block of a call -> ONNX model); used by one thread only."""

    def __init__(
        self,
        graphs: Mapping[int, bytes],
        measure: Measure,
        hosted: Hosted,
        exits: int,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        """Raises UserError where ``device`` has no execution provider here."""
        self._measure = MEASURES[measure]
        self._hosted = hosted
        self._exits = exits
        provider = provider_of(device)
        self._calls = {
            block: self._call(block, graph, provider, threads) for block, graph in graphs.items()
        }

    def _call(self, block: int, graph: bytes, provider: str, threads: int) -> _Call:
        last = self._hosted.last_block[block]
        asked = [FEATURES] * (last < self._exits) + [LOGITS] * (last in self._hosted.heads)
        session = _session(graph, provider, threads)
        names = {each.name.rpartition("/")[2]: each.name for each in session.get_outputs()}
        return _Call(session, session.get_inputs()[0].name, [names[name] for name in asked])

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block."""
        first, count = tasks[0].block, len(tasks)
        try:
            call = self._calls[first]
        except KeyError:
            raise InvariantError(f"block {first} is not loaded here") from None
        given = tasks[0].payload[None] if count == 1 else np.stack([task.payload for task in tasks])
        results = call.session.run(call.wanted, {call.given: given})
        last = self._hosted.last_block[first]
        judged = self._judge(results[-1], last, count)
        if last == self._exits:
            return [Outcome(prediction, confidence) for prediction, confidence in judged]
        features = results[0]
        if count == 1:
            return [Outcome(*judged[0], features[0], features.nbytes)]
        return [
            Outcome(prediction, confidence, payload.copy(), payload.nbytes)
            for (prediction, confidence), payload in zip(judged, features, strict=True)
        ]

    def _judge(
        self, logits: NDArray[np.float32], block: int, count: int
    ) -> Sequence[tuple[int, float]]:
        """Class and confidence of each item at the exit behind ``block``."""
        if block not in self._hosted.heads:
            return [(UNASKED, 0.0)] * count
        return judge(self._measure, logits, self._hosted.temperature(block), block)

    def flops(self, task: Task) -> int:
        """FLOPs of the call that computes ``task``."""
        return self._hosted.flops_of(task.block)


def provider_of(device: str) -> str:
    """The execution provider for ``model.device``; UserError where this machine has none."""
    there = onnxruntime.get_available_providers()
    if device == "auto":
        return next(p for p in (PROVIDERS["cuda"], PROVIDERS["cpu"]) if p in there)
    if PROVIDERS[device] not in there:
        what = f'ONNX Runtime has no provider for device "{device}" on a rank of this run'
        has = ", ".join(name for name, provider in PROVIDERS.items() if provider in there)
        remedy = f"it has {has}: install the onnxruntime package for that device, or choose one"
        raise UserError(Problem(what, "model.device", remedy))
    return PROVIDERS[device]


def _session(graph: bytes, provider: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=[provider])
