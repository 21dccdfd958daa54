"""The live stream: everything flushed is readable, wherever the writer died."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdibench.core.rows import EventRow, LinkRow, Row, table_of
from mdibench.errors import UserError
from mdibench.record.stream import LiveReader, LiveWriter
from tests.rows import row_of

LINK = LinkRow(0.5, 0, 1, 7, 5, 4096, 0.25, 0)
EVENT = EventRow(1.0, 2, "info", "phase", "draining: naïve café, 100 % «done»\n")


def reader_of(path: Path, data: bytes) -> LiveReader:
    path.write_bytes(data)
    return LiveReader(path)


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "live.jsonl"


def test_rows_come_back_by_column_name(stream: Path) -> None:
    writer = LiveWriter(stream)
    writer.append(LINK)
    writer.append(EVENT)
    writer.end("complete", "")
    writer.close()
    reader = LiveReader(stream)
    assert reader.poll() == [
        ("links", LINK._asdict()),
        ("events", EVENT._asdict()),
    ]
    assert reader.ended == ("complete", "")
    assert reader.damaged == 0


def test_nothing_is_written_before_flush_and_all_of_it_by_one_write(stream: Path) -> None:
    writer = LiveWriter(stream)
    header_bytes = stream.stat().st_size
    writer.append(LINK)
    assert stream.stat().st_size == header_bytes
    writer.flush()
    assert stream.stat().st_size > header_bytes
    writer.close()


def test_polls_follow_a_growing_stream(stream: Path) -> None:
    reader = LiveReader(stream)
    assert reader.poll() == []
    writer = LiveWriter(stream)
    assert reader.poll() == []
    for t_s in (1.0, 2.0):
        writer.append(EVENT._replace(t_s=t_s))
        writer.flush()
        assert [row["t_s"] for _, row in reader.poll()] == [t_s]
    writer.end("failed", "rank 2 died")
    writer.close()
    stream.unlink()
    assert reader.poll() == []
    assert reader.ended == ("failed", "rank 2 died")


def test_numbers_that_json_lacks_become_null(stream: Path) -> None:
    writer = LiveWriter(stream)
    strange: list[Any] = [math.nan, 0, 1, np.int64(7), 5, np.float32(2), math.inf, -math.inf]
    writer.append(LinkRow._make(strange))
    writer.append(row_of("telemetry", {"t_s": math.nan, "exits": [1, 2]}))
    writer.close()
    (_, link), (_, sample) = LiveReader(stream).poll()
    assert list(link.values()) == [None, 0, 1, 7, 5, 2.0, None, None]
    assert sample["exits"] == [1, 2]
    assert sample["t_s"] is None


def test_what_no_record_may_hold_is_refused_with_its_type(stream: Path) -> None:
    writer = LiveWriter(stream)
    writer.append(EVENT._replace(text=cast(str, object())))
    with pytest.raises(TypeError, match="object does not belong"):
        writer.flush()


def test_an_existing_stream_is_never_overwritten(stream: Path) -> None:
    stream.write_text("precious")
    with pytest.raises(FileExistsError):
        LiveWriter(stream)


def test_a_full_disk_loses_nothing_that_was_appended(
    stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LiveWriter(stream)
    writer.append(EVENT)

    class FullDisk:
        """Takes ten bytes, then none: as a disk does that fills up in the middle of a line."""

        def __init__(self, file: object) -> None:
            self.file, self.room = file, 10

        def write(self, data: bytes) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            taken, self.room = self.room, 0
            return int(self.file.write(data[:taken]))  # type: ignore[attr-defined]

    real = writer._file
    monkeypatch.setattr(writer, "_file", FullDisk(real))
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    assert LiveReader(stream).poll() == []
    monkeypatch.setattr(writer, "_file", real)
    writer.append(LINK)
    writer.close()
    reader = LiveReader(stream)
    assert [table for table, _ in reader.poll()] == ["events", "links"]
    assert reader.damaged == 0


def test_unknown_tables_columns_and_missing_ones_are_tolerated(stream: Path) -> None:
    header = {"schema": [1, 9], "tables": {"events": ["t_s", "mood"], "auras": ["hue"]}}
    lines = [header, ["events", 1.5, "calm"], ["auras", "blue"]]
    reader = reader_of(stream, "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert reader.poll() == [("events", {"t_s": 1.5, "mood": "calm"}), ("auras", {"hue": "blue"})]


def test_another_major_is_refused_with_what_to_do(stream: Path) -> None:
    reader = reader_of(stream, b'{"schema": [2, 0], "tables": {}}\n')
    with pytest.raises(UserError, match=r"schema 2 cannot be read.*mdibench that wrote it"):
        reader.poll()


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b'{"schema": "one"}', b'{"tables": {}}'])
def test_a_damaged_header_is_named(stream: Path, line: bytes) -> None:
    with pytest.raises(UserError, match="first line is damaged"):
        reader_of(stream, line + b"\n").poll()


@pytest.mark.parametrize(
    "line",
    [b"", b"\x00\x00", b"[1,2]", b'["events",1]', b'["auras",1]', b'{"end":1}', b"[[[", b"7"],
)
def test_damaged_lines_are_counted_and_skipped(stream: Path, line: bytes) -> None:
    writer = LiveWriter(stream)
    writer.append(EVENT)
    writer.close()
    reader = reader_of(stream, stream.read_bytes() + line + b"\n" + b'{"end":{"status":"x"}}\n')
    assert len(reader.poll()) == 1
    assert reader.damaged == 1
    assert reader.ended == ("x", "")


numbers = st.none() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=True)
links = st.builds(LinkRow, *[numbers] * 8)
events = st.builds(EventRow, numbers, numbers, st.text(), st.text(), st.text())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(links | events, max_size=6), cut=st.integers(0, 10_000), chunk=st.integers(1, 99)
)
def test_a_stream_cut_at_any_byte_gives_all_its_complete_rows(
    stream: Path, rows: list[Row], cut: int, chunk: int
) -> None:
    stream.unlink(missing_ok=True)
    writer = LiveWriter(stream)
    for row in rows:
        writer.append(row)
    writer.end("complete", "")
    writer.close()
    data = stream.read_bytes()
    kept = data[: len(data) - cut % (len(data) + 1)]
    reader = reader_of(stream, kept)
    got = []
    while values := reader.poll_values(chunk):
        got += values
    complete = max(0, kept.count(b"\n") - 1)
    assert [table for table, _ in got] == [table_of(row) for row in rows][:complete]
    assert [_nulled(row) for row in rows][:complete] == [row for _, row in got]
    assert (reader.ended is not None) == (len(kept) == len(data))
    assert reader.damaged == 0


def _nulled(row: Row) -> list[object]:
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in row]
