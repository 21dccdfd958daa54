"""A bare loop over the items that a run would classify: the engine and nothing else.

``python -m benchmarks.bare_loop MODEL DATASET ENGINE THRESHOLD SECONDS`` prints its rate as JSON.
With a threshold of ``none`` nobody leaves early: then ONNX Runtime runs the whole network as one
graph, and torch computes the last head alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from mdibench.compute.engine import Hosted, keep_freed_memory
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import load_dataset

Classify = Callable[[Any], int]


def torch_loop(model: ModelSection, threshold: float | None) -> Classify:
    """The network's modules, one after the other."""
    import torch

    from mdibench.models.registry import load_model

    torch.set_num_threads(1)
    network = load_model(model)
    parts = [(b.eval(), h.eval()) for b, h in zip(network.blocks, network.heads, strict=True)]

    def classify(item: Any) -> int:
        with torch.inference_mode():
            features = torch.from_numpy(item).unsqueeze(0)
            for block, (body, head) in enumerate(parts, 1):
                features = body(features)
                if threshold is None and block < len(parts):
                    continue
                confidence, prediction = head(features).softmax(1).max(1)
                if threshold is not None and confidence.item() >= threshold:
                    break
            return int(prediction.item())

    return classify


def onnx_loop(model: ModelSection, threshold: float | None) -> Classify:
    """Sessions, one after the other; one for everything without exits."""
    import onnxruntime

    from mdibench.compute.onnx_export import cut, exported

    export = exported(model)
    exits = export.info.exits
    hosted = Hosted.every_block(exits)
    if threshold is None:
        hosted = Hosted({1: exits}, frozenset({exits}), (0,) * exits)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(g, options)
        for g in cut(export, hosted, "max-softmax").values()
    ]
    names = [session.get_inputs()[0].name for session in sessions]

    def classify(item: Any) -> int:
        features = item[None]
        for session, name in zip(sessions, names, strict=True):
            *following, confidence, prediction = session.run(None, {name: features})
            if threshold is not None and confidence.item() >= threshold:
                break
            features = following[0] if following else None
        return int(prediction.item())

    return classify


def main(model: str, dataset: str, engine: str, threshold: str, seconds: str) -> None:
    """Classify one item after the other for some seconds, after one of warm-up."""
    keep_freed_memory()
    section = ModelSection(name=model, dataset=dataset)
    loops = {"torch": torch_loop, "onnxruntime": onnx_loop}
    classify = loops[engine](section, None if threshold == "none" else float(threshold))
    items = load_dataset(dataset).evaluation.inputs

    def rate(duration_s: float) -> float:
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < duration_s:
            classify(items[count % len(items)])
            count += 1
        return count / (time.perf_counter() - begun)

    rate(1.0)
    print(json.dumps({"rate": rate(float(seconds))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
