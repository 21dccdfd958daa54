"""The post office of a rank: tasks, results and states become messages, and messages events.

Outgoing tasks are encoded by their link's codec, held back as long as an emulated link would take,
and sent; their delivery is timed on this rank's clock. Incoming messages are checked and decoded;
whatever does not follow the wire format is counted, logged with its sender and refused.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from typing import Protocol, TypeAlias

import numpy as np

from mdibench.codec.codecs import CODECS, Array, Coder, Received
from mdibench.compiled import statically_frozen
from mdibench.core.events import (
    Arrived,
    Cancelled,
    Delivered,
    Event,
    LinkFree,
    Refused,
    Suspected,
    ThresholdsSet,
)
from mdibench.core.records import SOURCE, Copy, Result, State, Task, is_paced
from mdibench.core.wire import (
    HEADER_BYTES,
    NO_LAYOUT,
    Body,
    CodecId,
    Layout,
    Message,
    MessageKind,
    pack,
    pack_numbers,
    unpack,
    unpack_numbers,
)
from mdibench.errors import WireError
from mdibench.transport.links import LinkClock, Traffic
from mdibench.transport.mpi import Buffer, BufferPool
from mdibench.transport.outbox import Outbox

log = logging.getLogger(__name__)
NO_STATE = State(0, 0.0)
SMALL_BYTES = 16 * 1024
"""A smaller feature map is copied out of its receive buffer: quicker than to watch it die."""


class BytesEndpoint(Protocol):
    """What the post office needs of a transport (``mpi.Endpoint``, or a fake in tests)."""

    rank: int
    size: int
    pool: BufferPool

    failed: set[int]

    @property
    def sending(self) -> int:
        """See ``mpi.Endpoint.sending``."""

    def send(self, target: int, buffer: Buffer, size: int, token: object = None) -> None:
        """See ``mpi.Endpoint.send``."""

    def delivered(self) -> list[object]:
        """See ``mpi.Endpoint.delivered``."""

    def receive(self) -> list[tuple[int, Buffer, int]]:
        """See ``mpi.Endpoint.receive``."""

    def close(self) -> None:
        """See ``mpi.Endpoint.close``."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that is not for the state machines: stop, telemetry, a rank's failure."""

    sender: int
    kind: MessageKind
    payload: bytes
    rank: int


@statically_frozen
class _Handed:
    """A task on its way to ``target`` since ``handed_s``; ``emulated`` links free themselves."""

    target: int
    handed_s: float
    emulated: bool


Incoming: TypeAlias = Event | Mail


class PostOffice:
    """Sends and receives for one rank; ``poll`` must be called often."""

    def __init__(
        self,
        endpoint: BytesEndpoint,
        links: Mapping[int, LinkClock],
        uniform: Callable[[], float],
        clock: Callable[[], float] = time.perf_counter,
        coder: Coder | None = None,
        exits: int | None = None,
    ) -> None:
        """``links`` to every neighbour; ``exits`` is K, to refuse what does not fit it."""
        self.endpoint = endpoint
        self.traffic = Traffic()
        self._outbox = Outbox(endpoint)
        self._links = links
        self._uniform = uniform
        self._clock = clock
        self._coder = coder or Coder()
        self._exits = exits
        self._numbers = dict.fromkeys(links, 0)
        """Of the next message of the data path, by target."""
        self._newest: dict[int, tuple[int, State]] = {}
        """By sender, the number of its newest message and the state in it."""
        self._held: list[tuple[float, int, Callable[[], Event | None]]] = []
        self._sequence = 0

    @property
    def links(self) -> Mapping[int, LinkClock]:
        """The link to each neighbour."""
        return self._links

    # --- outgoing ---------------------------------------------------------------------------

    def send(self, target: int, state: State, body: Body) -> None:
        """Send a task, a result or pure state to a neighbour."""
        if isinstance(body, Task):
            self._send_task(target, state, body)
        elif isinstance(body, Result):
            self._send_plain(target, MessageKind.RESULT, state, body)
        else:
            self._send_plain(target, MessageKind.STATE, state, None)

    def control(self, target: int, kind: MessageKind, payload: bytes = b"", rank: int = 0) -> None:
        """Send a message outside the data path: it crosses no emulated link."""
        if len(payload) > self.endpoint.pool.size - HEADER_BYTES:
            raise WireError(f"{kind.name} of {len(payload)} bytes is too large to send")
        buffer, size = self._message(kind, NO_STATE, None, payload, rank=rank)
        self._outbox.send(target, buffer, size)

    def fail(self, text: bytes, status: int, patience_s: float) -> bool:
        """Tell the source that this rank ends with ``status``; whether it was received in time."""
        token = object()
        buffer, size = self._message(MessageKind.FAILURE, NO_STATE, None, text, rank=status)
        self.endpoint.send(SOURCE, buffer, size, token)
        deadline_s = time.monotonic() + patience_s
        while token not in self.endpoint.delivered():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)
        return True

    def announce(self, thresholds: tuple[float, ...]) -> None:
        """Tell all other ranks the new thresholds."""
        self._tell_all(MessageKind.THRESHOLDS, pack_numbers(thresholds, "d"))

    def cancel(self, items: Sequence[int]) -> None:
        """Tell all other ranks that copies of ``items`` are for nothing."""
        room = (self.endpoint.pool.size - HEADER_BYTES) // 8
        for start in range(0, len(items), room):
            self._tell_all(MessageKind.CANCEL, pack_numbers(items[start : start + room], "q"))

    def _tell_all(self, kind: MessageKind, payload: bytes) -> None:
        for rank in range(self.endpoint.size):
            if rank != self.endpoint.rank:
                self.control(rank, kind, payload)

    def report_suspect(self, rank: int, copies: Sequence[Copy]) -> None:
        """Tell the source that ``rank`` is silent, in as many messages as ``copies`` need."""
        room = (self.endpoint.pool.size - HEADER_BYTES) // 16
        for start in range(0, len(copies), room):
            numbers = tuple(chain.from_iterable(copies[start : start + room]))
            self.control(SOURCE, MessageKind.SUSPECT, pack_numbers(numbers, "q"), rank)

    def _send_task(self, target: int, state: State, task: Task) -> None:
        link = self._links[target]
        begun_s = self._clock()
        codec = CODECS[link.link.codec]
        payload, layout = self._coder.encode(task.payload, codec, task.block - 1)
        number = self._next_number(target)
        buffer, size = self.endpoint.pool.take(), HEADER_BYTES + payload.nbytes
        pack(buffer.data, MessageKind.TASK, state, task, payload.nbytes, layout, number=number)
        # one copy, whatever the strides of the feature map
        np.ndarray(payload.shape, payload.dtype, buffer, HEADER_BYTES)[...] = payload
        handed_s = self._clock()
        self.traffic.encode_s += handed_s - begun_s
        self.traffic.count_sent(target, size, task)
        token = _Handed(target, handed_s, link.emulated)
        if not token.emulated:
            self._outbox.send(target, buffer, size, token)
            return
        free_s, arrival_s = link.send(size, handed_s, self._uniform)
        self._hold(free_s, lambda: LinkFree(target))
        self._hold(arrival_s, lambda: self._outbox.send(target, buffer, size, token))

    def _send_plain(
        self, target: int, kind: MessageKind, state: State, body: Result | None
    ) -> None:
        link = self._links[target]
        buffer, size = self._message(kind, state, body, number=self._next_number(target))
        self.traffic.count_sent(target, size, body)
        is_state, handed_s = body is None, self._clock()
        paced = is_paced(state, body)
        token = _Handed(target, handed_s, link.emulated) if paced else None
        if not link.emulated:
            self._outbox.send(target, buffer, size, token, is_state)
            return
        free_s, arrival_s = link.send(size, handed_s, self._uniform)
        if paced:
            self._hold(free_s, lambda: LinkFree(target))
        self._hold(arrival_s, lambda: self._outbox.send(target, buffer, size, token, is_state))

    def _message(
        self,
        kind: MessageKind,
        state: State,
        body: Result | None,
        payload: bytes = b"",
        rank: int = 0,
        number: int = 0,
    ) -> tuple[Buffer, int]:
        """A pooled buffer with header and payload, and the size of a message that is no task."""
        buffer, size = self.endpoint.pool.take(), HEADER_BYTES + len(payload)
        pack(buffer.data, kind, state, body, len(payload), NO_LAYOUT, rank, number)
        buffer.data[HEADER_BYTES:size] = payload
        return buffer, size

    def _next_number(self, target: int) -> int:
        number = self._numbers[target]
        self._numbers[target] = (number + 1) % 2**32
        return number

    def _hold(self, until_s: float, action: Callable[[], Event | None]) -> None:
        self._sequence += 1
        heappush(self._held, (until_s, self._sequence, action))

    def close(self, patience_s: float = math.inf) -> None:
        """Wait until what was sent is received, for ``patience_s`` at most; drop what comes.

        All ranks call it together, when their loops have ended.
        """
        deadline_s = self._clock() + patience_s
        while self._outbox.sending and self._clock() < deadline_s:
            for _, buffer, _ in self.endpoint.receive():
                self.endpoint.pool.give(buffer)
            self._outbox.delivered()
            time.sleep(0.001)
        self.endpoint.close()

    # --- incoming ---------------------------------------------------------------------------

    def poll(self) -> list[Incoming]:
        """The events on the links since the last call."""
        events: list[Incoming] = []
        while self._held and self._held[0][0] <= self._clock():
            event = heappop(self._held)[2]()
            if event is not None:
                events.append(event)
        received = self.endpoint.receive()  # first: its probes move what is being sent, too
        if delivered := self._outbox.delivered():
            now = self._clock()
            for token in delivered:
                assert isinstance(token, _Handed)
                if not token.emulated:
                    events.append(LinkFree(token.target))
                events.append(Delivered(token.target, now - token.handed_s))
        for sender, buffer, size in received:
            opened = self._open(sender, buffer, size)
            if opened is not None:
                events.append(opened)
        return events

    def next_due(self) -> float:
        """When the next message on an emulated link is due."""
        return self._held[0][0] if self._held else float("inf")

    def _open(self, sender: int, buffer: Buffer, size: int) -> Incoming | None:
        try:
            message = unpack(buffer.data, size, partial(self._open_tensor, buffer, sender))
            if message.kind in (MessageKind.TASK, MessageKind.RESULT, MessageKind.STATE):
                opened: Incoming | None = self._open_data(sender, message)
                self.traffic.received_bytes += size
            else:
                opened = self._open_control(sender, buffer.data[HEADER_BYTES:size], message)
            if message.kind is MessageKind.TASK:
                return opened
        except WireError as error:
            self.traffic.refused += 1
            log.warning("message from rank %d refused: %s", sender, error)
            opened = self._refused(sender, buffer, size)
        self.endpoint.pool.give(buffer)
        return opened

    def _refused(self, sender: int, buffer: Buffer, size: int) -> Refused | None:
        """Which copy of an item was in a task that cannot be read, as far as its header tells."""
        try:
            message = unpack(buffer.data, size)
        except WireError:
            return None
        task = message.body
        if not isinstance(task, Task) or sender not in self._links:
            return None
        return Refused(sender, (task.item, task.attempt))

    def _open_data(self, sender: int, message: Message) -> Arrived:
        """A message of the data path. One that was overtaken does not update its sender's state.

        MPI may complete a long message after a short one that was sent later.
        """
        self._check_sender(sender)
        if message.kind is MessageKind.RESULT:
            self._check_block(message.rank)
        number, state = self._newest.get(sender, (message.number, message.state))
        if (message.number - number) % 2**32 < 2**31:  # numbers wrap at 2**32
            state = message.state
            self._newest[sender] = message.number, state
        return Arrived(sender, state, message.body)

    def _check_sender(self, sender: int) -> None:
        if sender not in self._links:
            raise WireError("it is no neighbour")

    def _check_block(self, block: int) -> None:
        if not 1 <= block <= (self._exits or block):
            raise WireError(f"there is no block {block}")

    def _open_tensor(
        self, buffer: Buffer, sender: int, layout: Layout, size: int, block: int
    ) -> tuple[Array, int]:
        """A feature map: a small or decoded one has memory of its own.

        A large one lives in ``buffer``, which goes back to the pool when the feature map dies.
        """
        self._check_sender(sender)
        self._check_block(block)
        begun_s = self._clock()
        array = self._coder.decode(buffer[HEADER_BYTES : HEADER_BYTES + size], layout, block - 1)
        if layout.codec is not CodecId.NONE:
            self.endpoint.pool.give(buffer)
        elif size < SMALL_BYTES:
            array = array.copy()
            self.endpoint.pool.give(buffer)
        else:
            array = array.view(Received)
            weakref.finalize(array, self.endpoint.pool.give, buffer).atexit = False
        self.traffic.encode_s += self._clock() - begun_s
        return array, array.nbytes

    def _check_from_source(self, sender: int, kind: MessageKind) -> None:
        if sender != SOURCE:
            raise WireError(f"{kind.name} does not come from the source")

    def _open_control(self, sender: int, payload: memoryview, message: Message) -> Event | Mail:
        if message.kind is MessageKind.CANCEL:
            self._check_from_source(sender, message.kind)
            return Cancelled(tuple(int(item) for item in unpack_numbers(payload, "q")))
        if message.kind is MessageKind.THRESHOLDS:
            self._check_from_source(sender, message.kind)
            thresholds = unpack_numbers(payload, "d")
            if self._exits and len(thresholds) != self._exits:
                raise WireError(f"{len(thresholds)} thresholds for {self._exits} exits")
            return ThresholdsSet(thresholds)
        if message.kind is MessageKind.SUSPECT:
            if self.endpoint.rank != SOURCE:
                raise WireError("only the source takes suspicions")
            numbers = [int(number) for number in unpack_numbers(payload, "q")]
            if len(numbers) % 2:
                raise WireError(f"{len(numbers)} numbers are no pairs of item and attempt")
            return Suspected(message.rank, tuple(zip(numbers[::2], numbers[1::2], strict=True)))
        return Mail(sender, message.kind, bytes(payload), message.rank)
