"""Two post offices in one process: endpoints that hand buffers over directly."""

from __future__ import annotations

from mdibench.transport.mpi import Buffer, BufferPool


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeEndpoint:
    """One end of a wire without MPI; ``connect`` makes a world of them."""

    def __init__(self, rank: int, size: int, buffer_bytes: int = 1 << 16) -> None:
        self.rank = rank
        self.size = size
        self.pool = BufferPool(buffer_bytes)
        self.inbox: list[tuple[int, Buffer, int]] = []
        self.tokens: list[object] = []
        self.peers: list[FakeEndpoint] = []
        self.closed = False
        self.failed: set[int] = set()

    @property
    def sending(self) -> int:
        return 0

    def send(self, target: int, buffer: Buffer, size: int, token: object = None) -> None:
        self.peers[target].inbox.append((self.rank, buffer.copy(), size))
        self.pool.give(buffer)
        if token is not None:
            self.tokens.append(token)

    def delivered(self) -> list[object]:
        tokens, self.tokens = self.tokens, []
        return tokens

    def receive(self) -> list[tuple[int, Buffer, int]]:
        messages, self.inbox = self.inbox, []
        return messages

    def close(self) -> None:
        self.closed = True


def connect(size: int) -> list[FakeEndpoint]:
    """Endpoints of a world of ``size`` ranks."""
    endpoints = [FakeEndpoint(rank, size) for rank in range(size)]
    for endpoint in endpoints:
        endpoint.peers = endpoints
    return endpoints
