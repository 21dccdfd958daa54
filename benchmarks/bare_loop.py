"""A bare torch loop over the items that a run with scheme ``local`` would classify.

``python -m benchmarks.bare_loop MODEL THRESHOLD SECONDS`` prints its rate as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from mdibench.assembly.workload import load_items
from mdibench.compute.torch_engine import keep_freed_memory
from mdibench.config.schema import ModelSection
from mdibench.models.registry import load_network


def main(model: str, threshold: float, seconds: float) -> None:
    """Classify one item after the other, leaving at the first confident head."""
    keep_freed_memory()
    torch.set_num_threads(1)
    network = load_network(model)
    items = load_items(ModelSection(name=model, dataset="digits"))
    parts = [(b.eval(), h.eval()) for b, h in zip(network.blocks, network.heads, strict=True)]

    def classify(item: int) -> int:
        features = items.fetch(item % len(items.labels))[0].unsqueeze(0)
        for block, (body, head) in enumerate(parts, 1):
            features = body(features)
            confidence, prediction = head(features).softmax(1).max(1)
            if block == len(parts) or confidence.item() >= threshold:
                break
        return int(prediction.item())

    def rate(duration_s: float) -> float:
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < duration_s:
            classify(count)
            count += 1
        return count / (time.perf_counter() - begun)

    with torch.inference_mode():
        rate(1.0)
        print(json.dumps({"rate": rate(seconds)}))


main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
