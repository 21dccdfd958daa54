"""Rank 0 waits until it has all rows of every rank."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mdibench.core.rows import EventRow, Row
from mdibench.core.wire import HEADER_BYTES, MessageKind, pack_rows
from mdibench.rank.hooks import BackgroundErrors, SourceHooks, WorkerHooks
from mdibench.transport.post_office import Mail

ROW = EventRow(t_s=1.0, rank=1, level="info", kind="phase", text="a word")


class FakePost:
    """Keeps the messages that it is asked to send."""

    def __init__(self) -> None:
        pool = SimpleNamespace(size=HEADER_BYTES + 100)
        self.endpoint = SimpleNamespace(size=2, pool=pool, failed=set())
        self.sent: list[tuple[MessageKind, bytes, int]] = []

    def control(self, target: int, kind: MessageKind, payload: bytes = b"", rank: int = 0) -> None:
        self.sent.append((kind, payload, rank))


class FakeWriter:
    """Keeps rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[Row] = []

    def append(self, row: Row) -> None:
        self.rows.append(row)


@pytest.fixture
def background(monkeypatch: pytest.MonkeyPatch) -> BackgroundErrors:
    monkeypatch.setattr("threading.excepthook", None)
    return BackgroundErrors(0, lambda: 0.0)


def test_a_final_message_that_overtakes_telemetry_does_not_end_the_wait(
    tmp_path: Path, background: BackgroundErrors
) -> None:
    writer = FakeWriter(tmp_path)
    hooks = SourceHooks(FakePost(), None, writer, background, None)  # type: ignore[arg-type]
    hooks.ended("")
    assert not hooks.wants_sample
    hooks.mail(Mail(1, MessageKind.FINAL, b"", 1), 0.0)
    assert not hooks.wants_sample
    hooks.mail(Mail(1, MessageKind.TELEMETRY, pack_rows([ROW]), 0), 0.0)
    assert hooks.wants_sample
    assert writer.rows == [ROW]


def test_a_worker_reports_the_number_of_its_messages(background: BackgroundErrors) -> None:
    post = FakePost()
    hooks = WorkerHooks(post, background)  # type: ignore[arg-type]
    hooks.record([ROW] * 3, 0.0)
    hooks.mail(Mail(0, MessageKind.STOP, b"", 0), 0.0)
    hooks.record([ROW], 0.0)
    telemetry = sum(kind is MessageKind.TELEMETRY for kind, _, _ in post.sent)
    assert telemetry > 2  # the three did not fit into one message
    assert post.sent[-1] == (MessageKind.FINAL, b"", telemetry)
    assert hooks.finished


def test_rows_of_a_run_that_fails_are_kept(tmp_path: Path, background: BackgroundErrors) -> None:
    writer = FakeWriter(tmp_path)
    hooks = SourceHooks(FakePost(), None, writer, background, None)  # type: ignore[arg-type]
    hooks.keep([ROW])
    assert writer.rows == [ROW]
