"""A name for everything that shapes a network's answers: its code, its weights, its data set.

Of a user's network, its answers on some items count as well: its code may be anywhere. Caches of
graphs and answers use the name, so that none outlives a change of what it was made from. For
networks of the package it is made without loading torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

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
        from mdibench.models.inspection import users_digest

        digest.update(users_digest(model).encode())
    elif (weights := weights_file(model.name, model.weights)) is not None and weights.is_file():
        files.append(weights)
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]
