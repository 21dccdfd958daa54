"""Every message survives the wire, and nothing that is no message gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.core.records import Result, State, Task
from mdibench.core.rows import EventRow, LinkRow
from mdibench.core.wire import (
    HEADER_BYTES,
    CodecId,
    Dtype,
    Layout,
    MessageKind,
    pack,
    pack_numbers,
    pack_rows,
    unpack,
    unpack_numbers,
    unpack_rows,
)
from mdibench.errors import WireError

counts = st.integers(0, 2**31 - 1)
paths = st.lists(st.integers(0, 2**16 - 1), max_size=32).map(tuple)
seconds = st.floats(0, 1e6)
states = st.builds(State, counts, seconds, counts, st.just(()))
"""Prices are in ``test_pressure``: half floats hold three digits of them."""
tasks = st.builds(
    Task,
    item=counts,
    block=st.integers(1, 32),
    prediction=st.integers(-1, 10**6),
    streak=st.integers(0, 32),
    path=paths,
    hops=st.integers(0, 1000),
    wire_bytes=st.integers(0, 2**50),
    attempt=st.integers(0, 9),
    sample=counts,
)
results = st.builds(
    Result,
    item=counts,
    exit=st.integers(1, 32),
    prediction=counts,
    confidence=st.floats(0, 1),
    threshold=st.floats(0, 1),
    path=paths,
    hops=st.integers(0, 1000),
    wire_bytes=st.integers(0, 2**50),
    attempt=st.integers(0, 9),
)
layouts = st.builds(
    Layout,
    st.sampled_from(Dtype),
    st.lists(st.integers(0, 2**20), max_size=4).map(tuple),
    st.sampled_from(CodecId),
)


@given(states, tasks, layouts, st.integers(0, 300))
def test_a_task_crosses(state: State, task: Task, layout: Layout, size: int) -> None:
    buffer = bytearray(HEADER_BYTES + size)
    pack(buffer, MessageKind.TASK, state, task, size, layout)
    message = unpack(buffer, len(buffer))
    assert (message.kind, message.state, message.layout) == (MessageKind.TASK, state, layout)
    assert isinstance(message.body, Task)
    assert message.body.wire_bytes == task.wire_bytes + len(buffer)
    assert _without_bytes(message.body) == _without_bytes(task)


@given(states, results)
def test_a_result_crosses(state: State, result: Result) -> None:
    buffer = bytearray(HEADER_BYTES)
    pack(buffer, MessageKind.RESULT, state, result)
    message = unpack(buffer, len(buffer))
    assert isinstance(message.body, Result)
    assert message.body.wire_bytes == result.wire_bytes + HEADER_BYTES
    assert _without_bytes(message.body) == _without_bytes(result)


@given(
    states,
    st.sampled_from([MessageKind.STATE, MessageKind.STOP, MessageKind.SUSPECT]),
    st.integers(0, 99),
)
def test_other_kinds_cross(state: State, kind: MessageKind, rank: int) -> None:
    buffer = bytearray(HEADER_BYTES)
    pack(buffer, kind, state, rank=rank)
    message = unpack(buffer, len(buffer))
    assert (message.kind, message.state, message.body, message.rank) == (kind, state, None, rank)


@given(st.binary(max_size=3 * HEADER_BYTES))
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(WireError):
        unpack(junk, len(junk))


@given(st.integers(0, HEADER_BYTES - 1))
def test_a_cut_header_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="bytes are no message"):
        unpack(_state_message(), size)


def test_junk_behind_a_message_is_refused() -> None:
    with pytest.raises(WireError, match="payload of 0 bytes"):
        unpack(_state_message() + b"junk", HEADER_BYTES + 4)


@pytest.mark.parametrize(
    ("position", "value", "complaint"),
    [(0, 0, "magic"), (4, 9, "version 9"), (5, 99, "99 is not a valid MessageKind"),
     (6, 9, "CodecId"), (7, 99, "Dtype"), (8, 5, "5 dimensions"), (9, 33, "path of 33")],
)  # fmt: skip
def test_a_damaged_header_is_refused(position: int, value: int, complaint: str) -> None:
    message = _state_message()
    message[position] = value
    with pytest.raises(WireError, match=complaint):
        unpack(message, len(message))


def test_a_path_that_does_not_fit_is_an_error_of_the_sender() -> None:
    with pytest.raises(WireError, match="does not fit"):
        pack(bytearray(HEADER_BYTES), MessageKind.TASK, State(0, 0.0), Task(1, 1, path=(0,) * 33))


@given(st.lists(st.floats(allow_nan=False)), st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers_cross(floats: list[float], integers: list[int]) -> None:
    assert unpack_numbers(pack_numbers(floats, "d"), "d") == tuple(floats)
    assert unpack_numbers(pack_numbers(integers, "q"), "q") == tuple(integers)


def test_half_a_number_is_refused() -> None:
    with pytest.raises(WireError, match="no array"):
        unpack_numbers(b"123", "d")


def test_rows_cross() -> None:
    link = LinkRow(0.5, 1, 2, messages=7, tasks=5, bytes=4096, hop_delay_s=None, ping_pongs=0)
    event = EventRow(0.5, 1, level="info", kind="phase", text="naïve café")
    rows = unpack_rows(pack_rows([link, event]))
    assert rows == [link, event]
    assert [type(row) for row in rows] == [LinkRow, EventRow]


@pytest.mark.parametrize(
    "junk",
    [b"{", b"7", b"[7]", b"\xff", b'["events"]', b'[["auras",1]]', b'[["events",1.5]]', b"[[[]]]"],
)
def test_rows_that_are_none_are_refused(junk: bytes) -> None:
    with pytest.raises(WireError):
        unpack_rows(junk)


def _state_message() -> bytearray:
    buffer = bytearray(HEADER_BYTES)
    pack(buffer, MessageKind.STATE, State(3, 0.01, 4))
    return buffer


def _without_bytes(body: Task | Result) -> dict[str, object]:
    return {name: getattr(body, name) for name in body.__slots__ if name != "wire_bytes"}
