"""A name for everything that shapes a network's answers: its code, its weights, its data set.

Caches of graphs and answers use it, so that none outlives a change of what it was made from. For
networks of the package it is made without loading torch.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mdibench.config.schema import ModelSection
from mdibench.models.packaged import weights_file


def network_key(model: ModelSection, *more: str | Path) -> str:
    """32 hexadecimal digits; ``more`` are texts and source files that count as well."""
    digest = hashlib.sha256(f"{model.name} {model.dataset}".encode())
    files = sorted(Path(__file__).parent.glob("*.py"))
    for part in more:
        if isinstance(part, Path):
            files.append(part)
        else:
            digest.update(part.encode())
    if ":" in model.name:
        files += _code_and_weights(model, digest)
    elif (weights := weights_file(model.name, model.weights)) is not None and weights.is_file():
        files.append(weights)
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _code_and_weights(model: ModelSection, digest: Any) -> list[Path]:
    """The source files of a user's network; its weights go into ``digest``."""
    from mdibench.models.registry import load_model

    network = load_model(model)
    files = set()
    for part in (*network.blocks, *network.heads):
        digest.update(repr(part).encode())
        for name, value in part.state_dict().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.float().cpu().numpy()).data)
        files |= {sys.modules[type(module).__module__].__file__ for module in part.modules()}
    files.add(sys.modules[model.name.partition(":")[0]].__file__)
    return sorted(Path(file) for file in files if file and "site-packages" not in file)
