"""The timeline: valid for the trace viewers, with nothing overlapping and every hop as an arrow."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mdibench.__main__ import run as mdibench
from mdibench.core.rows import Row
from mdibench.record.run_folder import RunWriter
from tests.rows import row_of

Event = dict[str, Any]


def exported(run: Path, target: Path) -> list[Event]:
    assert mdibench(["export", "--perfetto", str(run), "-o", str(target)]) == 0
    content = json.loads(text := target.read_text(encoding="utf-8"))
    assert "\\u" not in text  # Perfetto would show it
    assert content["otherData"]["kind"] == "simulated"
    events: list[Event] = content["traceEvents"]
    return events


@pytest.fixture(scope="module")
def events(one_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return exported(one_run, tmp_path_factory.mktemp("trace") / "trace.json")


def slices(events: list[Event]) -> dict[tuple[int, int], list[Event]]:
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    return tracks


def test_no_slices_of_a_track_overlap(events: list[Event]) -> None:
    tracks = slices(events)
    assert set(tracks) == {(0, 1), (0, 2), (0, 3), (1, 1)}
    for track in tracks.values():
        track.sort(key=lambda event: event["ts"])
        for before, after in pairwise(track):
            assert before["ts"] + before["dur"] <= after["ts"] + 1e-6


def test_every_hop_is_an_arrow_between_two_slices(events: list[Event]) -> None:
    begun = {e["id"]: e for e in events if e["ph"] == "s"}
    ended = {e["id"]: e for e in events if e["ph"] == "f"}
    sends = [e for e in events if e.get("cat") == "offload" and e["ph"] == "X"]
    assert set(begun) == set(ended)
    assert len(begun) == len(sends) > 500
    starts = {(e["pid"], e["tid"], e["ts"]) for e in events if e["ph"] == "X"}
    for number, start in begun.items():
        end = ended[number]
        assert start["ts"] <= end["ts"]
        assert (start["pid"], end["pid"]) == (0, 1)
        assert (start["pid"], start["tid"], start["ts"]) in starts
        assert (end["pid"], end["tid"], end["ts"]) in starts


def test_tracks_are_named_and_queues_counted(events: list[Event]) -> None:
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names[0, 1] == "compute" and names[0, 3] == "results"
    counters = {(e["pid"], e["name"], *e["args"]) for e in events if e["ph"] == "C"}
    queues = ("queues", "input_queue", "output_queue")
    assert {(0, *queues), (1, *queues), (0, "items", "in_flight")} <= counters
    assert any(e["ph"] == "i" and "warm-up over" in e["name"] for e in events)


def step(**values: Any) -> Row:
    return row_of("steps", {"attempt": 0} | values)


def test_a_batch_is_one_slice_and_a_relay_continues_the_arrow(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, {"kind": "simulated", "plan": {"ranks": 3}})
    for item in (4, 5):
        writer.append(step(t_s=1.0, rank=0, item=item, block=1, kind="compute", duration_s=0.4))
    writer.append(step(t_s=1.1, rank=0, item=4, block=2, kind="send", target=1))
    writer.append(step(t_s=1.2, rank=1, item=4, block=2, kind="send", target=2))
    writer.append(step(t_s=1.5, rank=2, item=4, block=2, kind="compute", duration_s=0.1))
    writer.finish("complete", "")
    events = exported(tmp_path, tmp_path / "trace.json")
    (batch,) = slices(events)[0, 1]
    assert (batch["ts"], batch["dur"], batch["args"]["items"]) == (600_000, 400_000, [4, 5])
    arrows = [(e["pid"], e["ts"]) for e in events if e["ph"] in "sf"]
    assert arrows == [(0, 1.1e6), (1, 1.2e6), (1, 1.2e6), (2, 1.4e6)]


def test_what_cannot_be_exported(
    run_set: Path, one_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert mdibench(["export", "--perfetto", str(run_set)]) == 2
    assert "holds 6 runs" in capfd.readouterr().err
    assert mdibench(["export", str(one_run)]) == 2
    assert "add --perfetto" in capfd.readouterr().err
    where = tmp_path / "nowhere" / "trace.json"
    assert mdibench(["export", "--perfetto", str(one_run), "-o", str(where)]) == 2
