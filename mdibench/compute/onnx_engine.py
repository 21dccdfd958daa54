"""The engine ``onnxruntime``: one session for each call, with everything but its batching in it.

A call holds no interpreter lock while it computes, and needs neither torch nor the weights: the
graphs come from rank 0 (``onnx_export``), confidence measure and temperatures included. Sessions
use one thread each unless told otherwise, and their threads never spin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mdibench.compute.confidence import check_known
from mdibench.compute.engine import UNASKED, Hosted
from mdibench.core.records import Outcome, Task
from mdibench.errors import InvariantError, Problem, UserError

INPUT, FEATURES = "items", "features"
"""Names in every graph, behind the number of a block."""
CONFIDENCE, PREDICTION = "confidence", "prediction"
"""Names in every graph that has a head."""
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
    """One call: its session's ``run``, the name of its input, and those of what it is asked for.

    ``last`` is its last block. It gives a feature map, confidence and class, or both.
    """

    run: Callable[[list[str], dict[str, Any]], list[NDArray[Any]]]
    given: str
    wanted: list[str]
    last: int
    has_map: bool
    has_head: bool
    flops: int


class OnnxEngine:
    """Runs ``graphs`` (first block of a call -> ONNX model); used by one thread only."""

    def __init__(
        self,
        graphs: Mapping[int, bytes],
        hosted: Hosted,
        exits: int,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        """Raises UserError where ``device`` has no execution provider here."""
        provider = provider_of(device)
        self._calls = {
            block: _call(_session(graph, provider, threads), block, hosted, exits)
            for block, graph in graphs.items()
        }

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes of ``tasks``, in order; all of them are of the same block."""
        try:
            call = self._calls[tasks[0].block]
        except KeyError:
            raise InvariantError(f"block {tasks[0].block} is not loaded here") from None
        if len(tasks) == 1:
            return [_outcome_of_one(call, tasks[0])]
        results = call.run(call.wanted, {call.given: np.stack([task.payload for task in tasks])})
        predictions, confidences = [UNASKED] * len(tasks), [0.0] * len(tasks)
        if call.has_head:
            confidences, predictions = (each[:, 0].tolist() for each in results[-2:])
            check_known(confidences, call.last)
        if not call.has_map:
            return list(map(Outcome, predictions, confidences))
        return [
            Outcome(prediction, confidence, payload.copy(), payload.nbytes)
            for prediction, confidence, payload in zip(
                predictions, confidences, results[0], strict=True
            )
        ]

    def flops(self, task: Task) -> int:
        """FLOPs of the call that computes ``task``."""
        return self._calls[task.block].flops


def _call(session: Any, block: int, hosted: Hosted, exits: int) -> _Call:
    last = hosted.last_block[block]
    has_map, has_head = last < exits, last in hosted.heads
    asked = [FEATURES] * has_map + [CONFIDENCE, PREDICTION] * has_head
    names = {each.name.rpartition("/")[2]: each.name for each in session.get_outputs()}
    given, wanted = session.get_inputs()[0].name, [names[name] for name in asked]
    return _Call(session.run, given, wanted, last, has_map, has_head, hosted.flops_of(block))


def _outcome_of_one(call: _Call, task: Task) -> Outcome:
    """As for a batch, by fewer calls: their code is not in the processor's cache between two calls
    of a network.
    """
    results = call.run(call.wanted, {call.given: task.payload[None]})
    prediction, confidence = UNASKED, 0.0
    if call.has_head:
        confidence, prediction = results[-2].item(), results[-1].item()
        if confidence != confidence:  # nothing else differs from itself
            check_known([confidence], call.last)
    if not call.has_map:
        return Outcome(prediction, confidence)
    features = results[0][0]
    return Outcome(prediction, confidence, features, features.nbytes)


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
