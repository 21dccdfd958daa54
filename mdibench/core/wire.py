"""Messages as bytes: one fixed little-endian header, and the payload right behind it.

The payload of a task is a raw (or codec-encoded) tensor, that of every other kind is empty, an
array of numbers, or JSON rows; never a pickle. ``unpack`` trusts nothing: whatever does not follow
the format raises ``WireError``, and the receiver counts it and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import IntEnum
from math import inf
from struct import Struct
from typing import Any, TypeAlias, TypeVar

from mdibench.compiled import statically_frozen
from mdibench.core.records import Result, State, Task
from mdibench.core.rows import ROWS, Row, table_of
from mdibench.errors import WireError

MAGIC = b"MDIX"
VERSION = 1
MAX_PATH = 32
"""Blocks that one item can pass: the header holds that many ranks."""
MAX_DIMENSIONS = 4
MAX_PRICED_EXITS = (MAX_PATH - 3) // 3
"""Exits for which a path of that length, and two prices of each kind and one more, fit behind."""

_HEADER = Struct(
    "<4sBBBBBBH"  # magic, version, kind, codec, dtype, dimensions, path length, hops
    "4I"  # shape
    "qiiHHHH"  # item, sample, prediction, block or exit, attempt, streak, number of prices
    "ddQQ"  # confidence, threshold, bytes on the wire so far, payload bytes of this message
    "dIIQ"  # sender's gamma_s, its input queue, message number, tasks received from the receiver
    f"{2 * MAX_PATH}s"  # ranks that computed a block; at the end, the sender's prices
    "20x"  # to a multiple of 64 bytes, so that tensors behind it are aligned
)
HEADER_BYTES = _HEADER.size
_RANKS = tuple(Struct(f"<{count}H") for count in range(MAX_PATH + 1))
_PRICES = tuple(Struct(f"<{count}e") for count in range(MAX_PATH + 1))


class MessageKind(IntEnum):
    """What a message is. The first three go between neighbours, the rest to or from rank 0."""

    TASK = 1
    RESULT = 2
    STATE = 3
    THRESHOLDS = 4
    SUSPECT = 5
    STOP = 6
    TELEMETRY = 7
    FAILURE = 8
    FINAL = 9
    """A rank's last telemetry: it sends nothing after it."""
    CANCEL = 10


class Dtype(IntEnum):
    """Element type of a payload tensor before its codec."""

    NONE = 0
    UINT8 = 1
    FLOAT32 = 2
    FLOAT16 = 3
    BFLOAT16 = 4
    INT8 = 5
    INT64 = 6
    FLOAT64 = 7


class CodecId(IntEnum):
    """How a payload tensor was encoded."""

    NONE = 0
    FP16 = 1
    INT8 = 2
    BOTTLENECK = 3


@statically_frozen
class Layout:
    """What the payload is: element type and shape before the codec, and the codec."""

    dtype: Dtype = Dtype.NONE
    shape: tuple[int, ...] = ()
    codec: CodecId = CodecId.NONE


Body: TypeAlias = Task | Result | None
NO_LAYOUT = Layout()


@statically_frozen
class Message:
    """A header in readable form. ``payload_bytes`` follow it in the same buffer."""

    kind: MessageKind
    state: State
    body: Body
    layout: Layout
    payload_bytes: int
    rank: int = 0
    """SUSPECT: the silent rank."""
    number: int = 0
    """TASK, RESULT, STATE: how many of them the sender had sent to the receiver before."""


def pack(
    buffer: bytearray | memoryview,
    kind: MessageKind,
    state: State,
    body: Body = None,
    payload_bytes: int = 0,
    layout: Layout = NO_LAYOUT,
    rank: int = 0,
    number: int = 0,
) -> None:
    """Write a header to the start of ``buffer``. A task's payload itself is not touched.

    ``wire_bytes`` of a task or result grows by this message.
    """
    item, sample, prediction, block, attempt, streak = -1, 0, -1, rank, 0, 0
    confidence = threshold = 0.0
    hops, wire_bytes = 0, 0
    path: tuple[int, ...] = ()
    if body is not None:
        item, prediction, attempt, path = body.item, body.prediction, body.attempt, body.path
        hops, wire_bytes = body.hops, body.wire_bytes + HEADER_BYTES + payload_bytes
    if isinstance(body, Task):
        sample, block, streak = body.sample, body.block, body.streak
    elif body is not None:
        block, confidence, threshold = body.exit, body.confidence, body.threshold
    shape, prices = layout.shape, state.prices
    if len(path) + len(prices) > MAX_PATH or len(shape) > MAX_DIMENSIONS:
        what = f"path {path}, {len(prices)} prices or shape {shape}"
        raise WireError(f"{what} does not fit the header")
    ranks = _RANKS[len(path)].pack(*path)
    if prices:
        ranks = ranks.ljust(2 * (MAX_PATH - len(prices)), b"\0") + _halves(prices)
    _HEADER.pack_into(
        buffer, 0,
        MAGIC, VERSION, kind, layout.codec, layout.dtype, len(shape), len(path), hops,
        *shape, *_UNUSED[len(shape)],
        item, sample, prediction, block, attempt, streak, len(prices),
        confidence, threshold, wire_bytes, payload_bytes,
        state.gamma_s, state.input_queue, number, state.received, ranks,
    )  # fmt: skip


_UNUSED = ((0, 0, 0, 0), (0, 0, 0), (0, 0), (0,), ())
LARGEST_HALF = 65504.0
"""Largest finite number of 16 bits; infinity is one more."""


def _halves(prices: tuple[float, ...]) -> bytes:
    """``prices`` as half floats (IEEE 754 binary16): three digits of each."""
    bounded = [x if x == inf else min(x, LARGEST_HALF) for x in prices]
    return _PRICES[len(prices)].pack(*bounded)


def _from_halves(ranks: bytes, count: int) -> tuple[float, ...]:
    """The last ``count`` numbers of ``ranks``; raises ``WireError`` for what is no price."""
    prices = _PRICES[count].unpack_from(ranks, 2 * (MAX_PATH - count))
    if not all(price >= 0 for price in prices):
        raise WireError("a price is negative or no number")
    return prices


Code = TypeVar("Code", bound=IntEnum)


class _Codes(dict[int, Code]):
    """The members of an enumeration by number: much cheaper than a call of the class."""

    def __init__(self, kind: type[Code]) -> None:
        super().__init__({int(member): member for member in kind})
        self._kind = kind

    def __missing__(self, number: int) -> Code:
        raise WireError(f"{number} is not a valid {self._kind.__name__}")


_KINDS, _DTYPES, _CODECS = _Codes(MessageKind), _Codes(Dtype), _Codes(CodecId)


Decode: TypeAlias = Callable[[Layout, int, int], tuple[Any, int]]
"""From a task's layout, payload bytes and block to its payload and that payload's decoded bytes."""


def unpack(
    buffer: bytes | bytearray | memoryview, size: int, decode: Decode = lambda *_: (None, 0)
) -> Message:
    """Read a message of ``size`` bytes; raises ``WireError`` for anything that is none.

    ``decode`` makes a task's payload from the bytes behind the header.
    """
    if size < HEADER_BYTES:
        raise WireError(f"{size} bytes are no message")
    (
        magic, version, kind, codec, dtype, dimensions, path_length, hops,
        s0, s1, s2, s3,
        item, sample, prediction, block, attempt, streak, price_count,
        confidence, threshold, wire_bytes, payload_bytes,
        gamma_s, input_queue, number, received, path,
    ) = _HEADER.unpack_from(buffer)  # fmt: skip
    if magic != MAGIC or version != VERSION:
        raise WireError(f"magic {magic!r} version {version}, expected {MAGIC!r} {VERSION}")
    if dimensions > MAX_DIMENSIONS or path_length + price_count > MAX_PATH:
        raise WireError(f"{dimensions} dimensions, path of {path_length}, {price_count} prices")
    if payload_bytes != size - HEADER_BYTES:
        raise WireError(f"payload of {payload_bytes} bytes in a message of {size}")
    layout = Layout(_DTYPES[dtype], (s0, s1, s2, s3)[:dimensions], _CODECS[codec])
    message_kind = _KINDS[kind]
    prices = _from_halves(path, price_count) if price_count else ()
    state = State(input_queue, gamma_s, received, prices)
    ranks = _RANKS[path_length].unpack_from(path)
    body: Body = None
    if message_kind is MessageKind.TASK:
        payload, decoded_bytes = decode(layout, payload_bytes, block)
        body = Task(
            item, block, payload, decoded_bytes,
            prediction, streak, ranks, hops, wire_bytes, attempt, sample,
        )  # fmt: skip
    elif message_kind is MessageKind.RESULT:
        body = Result(
            item, block, prediction, confidence, threshold, ranks, hops, wire_bytes, attempt
        )
    return Message(message_kind, state, body, layout, payload_bytes, block, number)


# --- payloads that are not tensors ---------------------------------------------------------------


def pack_numbers(numbers: Sequence[float] | Sequence[int], code: str) -> bytes:
    """``numbers`` as little-endian ``d`` (thresholds) or ``q`` (items and attempts)."""
    return Struct(f"<{len(numbers)}{code}").pack(*numbers)


def unpack_numbers(payload: bytes | memoryview, code: str) -> tuple[float, ...]:
    """The reverse of ``pack_numbers``."""
    if len(payload) % 8:
        raise WireError(f"{len(payload)} bytes are no array of {code}")
    return Struct(f"<{len(payload) // 8}{code}").unpack(payload)


def pack_rows(rows: Sequence[Row]) -> bytes:
    """Rows of the run's files as JSON."""
    return json.dumps([[table_of(row), *row] for row in rows], separators=(",", ":")).encode()


def unpack_rows(payload: bytes | memoryview) -> list[Row]:
    """The reverse of ``pack_rows``."""
    try:
        return [ROWS[table]._make(values) for table, *values in json.loads(bytes(payload))]
    except (ValueError, TypeError, KeyError) as error:
        raise WireError(f"telemetry that is no JSON rows: {error}") from None
