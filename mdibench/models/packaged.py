"""Where the package keeps weights, which file a config means, and how tensors are saved.

Nothing here loads torch, but for the name of a user's network.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file

from mdibench.config.schema import ModelSection
from mdibench.errors import Problem, UserError
from mdibench.record.files import write_whole

FOLDER = Path(__file__).parent / "weights"
BESIDE = Path(__file__).parents[2] / "weights"
"""Weights too large for the package, in a checkout of the repository."""


def packaged(name: str) -> Path:
    """The weights of network ``name`` in the package or beside it, whether there are any or not."""
    beside = BESIDE / f"{name}.safetensors"
    return beside if beside.is_file() else FOLDER / f"{name}.safetensors"


def packaged_answers(name: str) -> Path:
    """Where the package keeps the recorded answers of ``name``, whether there are any or not."""
    return FOLDER / f"{name}.answers.npz"


def weights_file(name: str, weights: str | None) -> Path | None:
    """The file to load: ``weights``, else the package's own; a user's network may have none.

    Raises UserError for a network of ours that the package holds no weights of.
    """
    if weights is not None:
        return Path(weights).expanduser()
    if ":" in name:
        return None
    path = packaged(name)
    if not path.exists():
        remedy = f"run `mdibench train {name}` and set model.weights"
        raise UserError(Problem(f"no trained weights for '{name}' in the package", "model", remedy))
    return path


def fingerprint(path: Path | None) -> str:
    """CRC-32 of the whole file, by which other files can name it; empty where there is none."""
    return f"{zlib.crc32(path.read_bytes()):08x}" if path is not None and path.is_file() else ""


def network_key(model: ModelSection, *more: str | Path) -> str:
    """A name for everything that shapes a network's answers: its code, its weights, its data set.

    32 hexadecimal digits; ``more`` are texts and source files that count as well. Of a user's
    network, its answers on some items do: its code may be anywhere. Caches of graphs and answers
    use the name, so that none outlives a change of what it was made from.
    """
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


def save_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> None:
    """Write a safetensors file with ``facts`` in its metadata, atomically."""

    def write(draft: Path) -> None:
        save_file(dict(tensors), draft, dict(facts))
        draft.chmod(0o644)  # safetensors makes files that only their owner can read

    write_whole(path, write)
