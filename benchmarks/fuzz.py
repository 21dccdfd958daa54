"""Damaged input of every kind: ``python -m benchmarks.fuzz [--count N] [--seed S] [KIND ...]``.

Each kind of file that mdibench reads is changed at random places, deterministic by seed, and read
by the code that reads it. The only ways to end are a result and a ``MdibenchError`` of one line for
each problem; whatever else is raised is printed with its seed. Exit status 1 where there was any.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdibench.errors import MdibenchError

COUNT = 10_000
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**30, 1e308, -1e-308, float("inf"), float("nan"),
    "", "x", "\u03c4\n", "9" * 5000, [], {}, [[]], ["x"], {"x": {}},
)  # fmt: skip
Draw = random.Random
Attempt = Callable[[Draw], None]


def damaged(content: bytes, draw: Draw) -> bytes:
    """``content`` with a few bytes changed, cut, doubled or moved."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        action = draw.randrange(4)
        if action == 0 and at < len(data):
            data[at] = draw.randrange(256)
        elif action == 1:
            del data[at : at + draw.choice([1, 8, 1000])]
        elif action == 2:
            data[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice([1, 8])))
        else:
            data[at:at] = data[: draw.choice([1, 16, 64])]
    return bytes(data)


def changed(value: Any, draw: Draw) -> Any:
    """JSON-able data with one place replaced or left out."""
    twin = json.loads(json.dumps(value))
    place, key = twin, None
    while isinstance(place, (dict, list)) and place:
        above = place
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        place = place[key]
        if draw.random() < 0.25:
            break
    if draw.random() < 0.2:
        del above[key]
    else:
        above[key] = draw.choice(VALUES)
    return twin


# --- kinds ---------------------------------------------------------------------------------------


def configs(_: Path) -> Attempt:
    """TOML with damaged bytes, and overrides with strange values."""
    from mdibench.config.reading import parse_config

    texts = [path.read_text() for path in sorted(Path("bench_configs").glob("*.toml"))]
    keys = ["run.seed", "placement.copies", "scheme.threshold", "topology.degree", "run.nothing"]

    def attempt(draw: Draw) -> None:
        text = damaged(draw.choice(texts).encode(), draw).decode(errors="replace")
        override = f"{draw.choice(keys)}={draw.choice(VALUES)!r}"
        parse_config(text, "fuzz.toml", [override] * draw.randrange(2))

    return attempt


def headers(_: Path) -> Attempt:
    """Messages on the wire."""
    from mdibench.core import wire
    from mdibench.core.records import Result, State, Task

    bodies = [Task(1, 2, payload_bytes=8), Result(1, 2, 3, 0.5, 0.5, (0, 1)), None]
    kinds = [wire.MessageKind.TASK, wire.MessageKind.RESULT, wire.MessageKind.STATE]

    def attempt(draw: Draw) -> None:
        buffer = bytearray(wire.HEADER_BYTES + 8)
        body, kind = draw.choice(list(zip(bodies, kinds, strict=True)))
        wire.pack(memoryview(buffer), kind, State(1, 0.5), body, 8)
        content = damaged(bytes(buffer), draw)
        wire.unpack(content, len(content))

    return attempt


def streams(folder: Path) -> Attempt:
    """Live streams."""
    from mdibench.record.tables import read_stream
    from tests.synthetic_runs import LOCAL, write_run

    run = write_run(folder / "stream", LOCAL, finish=False)
    content = (run / "live.jsonl").read_bytes()
    lines = content.splitlines(keepends=True)
    short = b"".join([lines[0], *lines[1:20], *lines[-20:]])

    def attempt(draw: Draw) -> None:
        path = folder / "damaged.jsonl"
        path.write_bytes(damaged(short, draw))
        read_stream(path)

    return attempt


def run_folders(folder: Path) -> Attempt:
    """Manifests with a wrong value somewhere, studied as a report does it."""
    from mdibench.analysis.run_groups import evaluate_run
    from mdibench.record.reader import RunReader
    from tests.synthetic_runs import PAIR, write_run

    run = write_run(folder / "run", PAIR)
    manifest = json.loads((run / "run.json").read_bytes())

    def attempt(draw: Draw) -> None:
        (run / "run.json").write_text(json.dumps(changed(manifest, draw)))
        reader = RunReader(run)
        if draw.random() < 0.05:  # costly
            evaluate_run(reader)

    return attempt


def parquet(folder: Path) -> Attempt:
    """Tables of a run."""
    from mdibench.record.reader import RunReader
    from tests.synthetic_runs import LOCAL, write_run

    run = write_run(folder / "tables", LOCAL)
    path = run / "items.parquet"
    content = path.read_bytes()

    def attempt(draw: Draw) -> None:
        path.write_bytes(damaged(content, draw))
        RunReader(run).table("items")

    return attempt


def safetensors(folder: Path) -> Attempt:
    """Weights: the header's JSON, and bytes anywhere."""
    from mdibench.models.packaged import packaged
    from mdibench.models.registry import build_network
    from mdibench.models.weights import load_weights

    content = packaged("digits-cnn").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    network = build_network("digits-cnn", "digits")
    path = folder / "weights.safetensors"

    def attempt(draw: Draw) -> None:
        if draw.random() < 0.5:
            written = json.dumps(changed(header, draw)).encode()
            path.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + size :])
        else:
            path.write_bytes(damaged(content, draw))
        load_weights(path, network)

    return attempt


KINDS: dict[str, Callable[[Path], Attempt]] = {
    "configs": configs,
    "headers": headers,
    "streams": streams,
    "run-folders": run_folders,
    "parquet": parquet,
    "safetensors": safetensors,
}

# --- running them --------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What became of the attempts of one kind."""

    read: int = 0
    refused: int = 0
    faults: int = 0


def fuzz(kind: str, count: int, seed: int) -> Tally:
    """``count`` attempts; every fault is printed with what repeats it."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        attempt = KINDS[kind](Path(place))
        for number in range(count):
            try:
                attempt(random.Random(f"{seed}/{kind}/{number}"))
                tally.read += 1
            except MdibenchError as failure:
                tally.refused += 1
                if "\n" in str(failure) and len(getattr(failure, "problems", ())) < 2:
                    tally.faults += 1
                    print(f"{kind} {seed}/{number}: more than one line: {failure}")
            except Exception:  # noqa: BLE001 - these are what it looks for
                tally.faults += 1
                print(f"{kind} {seed}/{number}: {traceback.format_exc()}")
    return tally


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=list(KINDS), help=str(KINDS))
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    faults = 0
    for kind in given.kinds:
        tally = fuzz(kind, given.count, given.seed)
        faults += tally.faults
        print(f"{kind}: {given.count} tried, {tally.read} read, {tally.refused} refused, "
              f"{tally.faults} faults")  # fmt: skip
    return min(1, faults)


if __name__ == "__main__":
    sys.exit(main())
