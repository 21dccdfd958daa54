"""One receiver that takes nothing must not keep its sender from reaching the others."""

from __future__ import annotations

import numpy as np

from mdibench.transport.mpi import Buffer, BufferPool
from mdibench.transport.outbox import MARK_EVERY, STATES, WINDOW, Outbox


class Wire:
    """An endpoint whose messages stay untaken until ``take`` is called."""

    def __init__(self) -> None:
        self.rank, self.size, self.pool = 0, 3, BufferPool(8)
        self.failed: set[int] = set()
        self.untaken: list[tuple[int, int, object]] = []
        self._tokens: list[object] = []

    @property
    def sending(self) -> int:
        return sum(token is not None for _, _, token in self.untaken)

    def send(self, target: int, buffer: Buffer, size: int, token: object = None) -> None:
        self.untaken.append((target, int(buffer[0]), token))

    def take(self, target: int) -> list[int]:
        """The target takes all that has come: what it got, in order."""
        taken = [message for message in self.untaken if message[0] == target]
        self.untaken = [message for message in self.untaken if message[0] != target]
        self._tokens += [token for _, _, token in taken if token is not None]
        return [value for _, value, _ in taken]

    def delivered(self) -> list[object]:
        tokens, self._tokens = self._tokens, []
        return tokens

    def receive(self) -> list[tuple[int, Buffer, int]]:
        return []

    def close(self) -> None: ...


def send(outbox: Outbox, target: int, values: range, is_state: bool = False) -> None:
    for value in values:
        outbox.send(target, np.full(8, value, np.uint8), 8, is_state=is_state)


def test_a_few_states_wait_at_one_that_takes_nothing_and_the_newest_wins() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    send(outbox, 1, range(100), is_state=True)
    assert len(wire.untaken) == STATES
    send(outbox, 2, range(3))
    assert wire.take(2) == [0, 1, 2]
    assert wire.take(1) == list(range(STATES))
    assert outbox.delivered() == []
    assert wire.take(1) == [99]


def test_results_wait_in_order_and_none_is_left_out() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    send(outbox, 1, range(100))
    assert len(wire.untaken) == WINDOW
    assert outbox.sending == 100 - WINDOW + WINDOW // MARK_EVERY
    got = []
    for _ in range(20):
        got += wire.take(1)
        outbox.delivered()
    assert got == list(range(100))
    assert outbox.sending == 0


def test_a_state_does_not_pass_results_and_the_next_one_replaces_it() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    send(outbox, 1, range(WINDOW + 1))
    send(outbox, 1, range(50, 53), is_state=True)
    got = wire.take(1)
    outbox.delivered()
    assert got + wire.take(1) == [*range(WINDOW + 1), 52]


def test_a_sender_s_tokens_come_back_as_they_were() -> None:
    wire = Wire()
    outbox = Outbox(wire)
    outbox.send(1, np.zeros(8, np.uint8), 8, token="task")
    send(outbox, 1, range(9))
    wire.take(1)
    assert outbox.delivered() == ["task"]
