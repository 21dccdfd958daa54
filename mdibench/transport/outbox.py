"""How much of what a rank sends may wait untaken at one receiver: a window for each of them.

A receiver that stands still takes nothing, and small messages to it fill buffers that all traffic
of the sender shares (MPICH's shared memory has 64 cells for each rank): the sender can then reach
nobody, and healthy ranks take each other for dead. So at most ``WINDOW`` messages to one rank are
handed to MPI before it has taken them; later ones wait here, in order. A state is held back from
``STATES`` on, and a newer one takes its place.

MPI matches the messages between two ranks in order, so that a synchronous one that has been taken
tells of all before it: every ``MARK_EVERY``th is synchronous, and each task is anyway.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mdibench.compiled import statically_frozen
from mdibench.transport.mpi import Buffer

if TYPE_CHECKING:
    from mdibench.transport.post_office import BytesEndpoint

MARK_EVERY = 4
STATES = 8
WINDOW = 16


@statically_frozen
class _Waiting:
    buffer: Buffer
    size: int
    token: Any  # ``object`` is an annotation that mypyc cannot look up
    is_state: bool


@dataclass(slots=True)
class _Lane:
    """What went to one rank: ``sent`` messages, of which it has taken ``taken`` for certain."""

    target: int
    sent: int = 0
    taken: int = 0
    waiting: deque[_Waiting] = field(default_factory=deque)

    def has_room(self, is_state: bool) -> bool:
        return self.sent - self.taken < (STATES if is_state else WINDOW)


@statically_frozen
class _Mark:
    """The endpoint's token: message ``number`` of a lane, and the sender's own token."""

    lane: _Lane
    number: int
    token: Any


class Outbox:
    """Stands before an endpoint; ``delivered`` must be called often."""

    def __init__(self, endpoint: BytesEndpoint) -> None:
        self._endpoint = endpoint
        self._lanes = [_Lane(rank) for rank in range(endpoint.size)]
        self._held = 0

    def send(
        self, target: int, buffer: Buffer, size: int, token: object = None, is_state: bool = False
    ) -> None:
        """Like ``Endpoint.send``, once ``target`` has room."""
        lane = self._lanes[target]
        if lane.waiting or not lane.has_room(is_state):
            self._hold(lane, _Waiting(buffer, size, token, is_state))
        else:
            self._launch(lane, buffer, size, token)

    def delivered(self) -> list[object]:
        """Tokens of the messages that have been taken since the last call; others move up."""
        tokens = []
        for mark in self._endpoint.delivered():
            assert isinstance(mark, _Mark)
            if mark.number > mark.lane.taken:
                mark.lane.taken = mark.number
            if mark.token is not None:
                tokens.append(mark.token)
        if self._held:
            self._move_up()
        return tokens

    @property
    def sending(self) -> int:
        """Messages that nobody has taken yet, and that MPI does not keep."""
        return self._endpoint.sending + self._held

    def _launch(self, lane: _Lane, buffer: Buffer, size: int, token: object) -> None:
        lane.sent += 1
        marked = token is not None or lane.sent % MARK_EVERY == 0
        mark = _Mark(lane, lane.sent, token) if marked else None
        self._endpoint.send(lane.target, buffer, size, mark)

    def _hold(self, lane: _Lane, message: _Waiting) -> None:
        if message.is_state and lane.waiting and lane.waiting[-1].is_state:
            self._endpoint.pool.give(lane.waiting.pop().buffer)
            self._held -= 1
        lane.waiting.append(message)
        self._held += 1

    def _move_up(self) -> None:
        for lane in self._lanes:
            while lane.waiting and lane.has_room(lane.waiting[0].is_state):
                message = lane.waiting.popleft()
                self._held -= 1
                self._launch(lane, message.buffer, message.size, message.token)
