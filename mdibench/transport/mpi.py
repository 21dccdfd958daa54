"""Bytes over MPI: the only module that imports mpi4py.

``Endpoint`` is for the run: neither sends nor receives block, and the rank's loop polls.
``RankGroup`` has the collectives of set-up and end. All calls come from one thread. Buffers are
numpy arrays, never pickles.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

Buffer: TypeAlias = NDArray[np.uint8]
_TAG = 7
LONG_BYTES = 64 * 1024
"""A message of this length takes MPI several calls to move."""
PROBES = 4
"""Looks for a message before the loop goes on: a single one may not move anything."""
LONG_PROBES = 32
"""The same while long messages are on their way: quicker than to go round the whole loop."""
SLAB_BYTES = 4 * 1024 * 1024
"""numpy asks for huge pages from this size on."""
_ALIGNED_BYTES = 64
_QUIET_POLL_S = 0.001
_IDLE_POLL_S = 0.05


class BufferPool:
    """Byte buffers of one size, used again and again: fresh memory costs a page fault per 4 KiB."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[Buffer] = []

    def take(self) -> Buffer:
        """A buffer with undefined content."""
        if not self._free:
            self._free = _slab(self.size)
        return self._free.pop()

    def give(self, buffer: Buffer) -> None:
        """Hand a buffer back."""
        self._free.append(buffer)


def _slab(size: int) -> list[Buffer]:
    """Fresh buffers: a short one alone, several long ones in huge pages.

    MPI of the receiving process looks up the pages of a long message one by one.
    """
    if size < SLAB_BYTES // 16:
        return [np.empty(size, np.uint8)]
    stride = -(-size // _ALIGNED_BYTES) * _ALIGNED_BYTES
    slab = np.empty(max(SLAB_BYTES, stride), np.uint8)
    return [slab[start : start + size] for start in range(0, slab.size - size + 1, stride)]


class Endpoint:
    """This rank's end of the point-to-point traffic, in messages of up to ``buffer_bytes``."""

    def __init__(self, buffer_bytes: int, comm: MPI.Comm | None = None) -> None:
        self._comm = (comm or MPI.COMM_WORLD).Dup()
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self.pool = BufferPool(buffer_bytes)
        self._status = MPI.Status()
        self._sends: list[MPI.Request] = []
        self._sent: list[tuple[Buffer, int, object]] = []
        self._receives: list[MPI.Request] = []
        self._coming: list[tuple[int, Buffer, int]] = []
        """Sender, buffer and size of each message in ``_receives``."""
        self._long = 0
        """Long messages in ``_sends`` and ``_receives``."""
        self._sent_to, self._arrived = [0] * self.size, 0
        """Messages to each rank, and from all of them."""
        self.failed: set[int] = set()
        """Ranks whose processes are gone, where MPI survives that."""
        self._tests = _test_each if survives_failures() else _test_some

    def send(self, target: int, buffer: Buffer, size: int, token: object = None) -> None:
        """Send ``size`` bytes of ``buffer``, which belongs to the endpoint from now on.

        With a ``token``, ``delivered`` gives it back once ``target`` has taken the message.
        """
        start = self._comm.Isend if token is None else self._comm.Issend
        if target in self.failed:
            return
        try:
            self._sends.append(start([buffer, size, MPI.BYTE], target, _TAG))
        except MPI.Exception as failure:
            self._learn(failure)
            return
        self._sent_to[target] += 1
        self._sent.append((buffer, size, token))
        self._long += size >= LONG_BYTES

    def delivered(self) -> list[object]:
        """Tokens of the messages that have been taken since the last call."""
        if not self._sends:
            return []
        done, failed = self._finished(self._sends)
        tokens = []
        for index in reversed(done):
            del self._sends[index]
            buffer, size, token = self._sent.pop(index)
            self._long -= size >= LONG_BYTES
            self.pool.give(buffer)
            if token is not None and index not in failed:
                tokens.append(token)
        return tokens[::-1]

    def receive(self) -> list[tuple[int, Buffer, int]]:
        """Sender, buffer and size of each message that has come; buffers are the caller's now.

        Those of one rank come in the order in which it sent them, but for a long one that is still
        on its way when a short one behind it is complete.
        """
        for _ in range(LONG_PROBES if self._long else PROBES):
            if not self._accept() and (messages := self._complete()):
                return messages
        return self._complete()

    def _accept(self) -> bool:
        """Begin to receive the next message; whether there was one.

        A receive that is posted before would cost more: MPI tests each of them at every call.
        """
        status = self._status
        try:
            message = self._comm.Improbe(MPI.ANY_SOURCE, _TAG, status)
            if message is None:
                return False
            buffer, size = self.pool.take(), status.Get_count(MPI.BYTE)
            request = message.Irecv([buffer, MPI.BYTE])
        except MPI.Exception as failure:
            self._learn(failure)
            return False
        self._receives.append(request)
        self._coming.append((status.source, buffer, size))
        self._long += size >= LONG_BYTES
        return True

    def _complete(self) -> list[tuple[int, Buffer, int]]:
        """The messages that are here in full."""
        if not self._receives:
            return []
        done, failed = self._finished(self._receives)
        messages = [self._coming[index] for index in done if index not in failed]
        for index in reversed(done):
            del self._receives[index]
            self._long -= self._coming.pop(index)[2] >= LONG_BYTES
        self._arrived += len(messages)
        return messages

    def _finished(self, requests: list[MPI.Request]) -> tuple[Sequence[int], Failures]:
        """Indices, ascending, of those that have come to an end; why some of them failed."""
        done, failures = self._tests(requests)
        for failure in failures.values():
            self._learn(failure)
        return done, failures

    def _learn(self, failure: MPI.Exception) -> None:
        """Take note of processes that are gone; any other failure is raised."""
        if failure.Get_error_class() not in (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING):
            raise failure
        self._comm.Ack_failed()
        gone, all_of_us = self._comm.Get_failed(), self._comm.Get_group()
        ranks = MPI.Group.Translate_ranks(gone, list(range(gone.Get_size())), all_of_us)
        self.failed |= {int(rank) for rank in ranks}

    @property
    def sending(self) -> int:
        """Messages that have not been received yet."""
        return len(self._sends)

    def close(self) -> None:
        """Drop what is still under way, and give the communicator back. All ranks call it together.

        A message that nobody has received would reach the next communicator with this one's number,
        so each rank first hears how many were sent to it. Where ranks may be gone, nobody waits for
        them: the communicator stays.
        """
        if survives_failures():
            self._cancel()
            return
        to_here = np.zeros(self.size, np.int64)
        told = self._comm.Ialltoall(
            [np.array(self._sent_to, np.int64), MPI.INT64_T], [to_here, MPI.INT64_T]
        )
        while not told.Test() or self._sends or self._arrived < to_here.sum():
            for _, buffer, _ in self.receive():
                self.pool.give(buffer)
            self.delivered()
            time.sleep(_QUIET_POLL_S)
        self._cancel()
        self._comm.Free()

    def _cancel(self) -> None:
        for request in self._receives:
            request.Cancel()
            try:
                request.Wait()
            except MPI.Exception as failure:
                self._learn(failure)
        self._receives = []


FAULT_TOLERANCE = "OMPI_MCA_mpi_ft_enable"
"""Set by Open MPI's launcher when it was told to."""


def survives_failures() -> bool:
    """Whether this job goes on when a process dies: Open MPI under ``mpirun --with-ft ulfm``."""
    return os.environ.get(FAULT_TOLERANCE, "") in ("1", "true")


Failures: TypeAlias = Mapping[int, MPI.Exception]
_NO_FAILURES: Failures = {}


def _test_some(requests: list[MPI.Request]) -> tuple[Sequence[int], Failures]:
    """Indices, ascending, of those that have come to an end."""
    return sorted(MPI.Request.Testsome(requests) or ()), _NO_FAILURES


def _test_each(requests: list[MPI.Request]) -> tuple[Sequence[int], Failures]:
    """The same one by one, so that what fails is known."""
    done: list[int] = []
    failures: dict[int, MPI.Exception] = {}
    for index, request in enumerate(requests):
        try:
            if request.Test():
                done.append(index)
        except MPI.Exception as failure:
            failures[index] = failure
            done.append(index)
    return done, failures


# --- collectives for setup and the end -----------------------------------------------------------


class RankGroup:
    """All ranks together, at setup and at the end. Every wait sleeps between polls."""

    def __init__(self, comm: MPI.Comm | None = None) -> None:
        self.comm = self._comm = comm or MPI.COMM_WORLD
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()

    def part(self, ranks: int) -> RankGroup | None:
        """The first ``ranks`` ranks as a group of their own; ``None`` on the others."""
        inside = self.rank < ranks
        comm = self._comm.Split(0 if inside else MPI.UNDEFINED, self.rank)
        return RankGroup(comm) if inside else None

    def free(self) -> None:
        """Give the communicator of a ``part`` back. All its ranks call it, when all is received."""
        self.comm.Free()

    def meet_survivors(self) -> None:
        """``barrier`` of those that are left."""
        survivors = self.comm.Shrink()
        _quietly(survivors.Ibarrier())

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        _quietly(self._comm.Ibarrier())

    def wait_idly(self) -> None:
        """Wait until all ranks are here, however long that takes, for next to no processor time."""
        _quietly(self._comm.Ibarrier(), longest_sleep_s=_IDLE_POLL_S)

    def broadcast(self, payload: bytes | None) -> bytes:
        """Rank 0's bytes, on every rank."""
        size = np.array([len(payload) if payload is not None else 0], np.int64)
        _quietly(self._comm.Ibcast([size, MPI.INT64_T], 0))
        buffer = np.empty(int(size[0]), np.uint8)
        if payload is not None:
            buffer[:] = np.frombuffer(payload, np.uint8)
        _quietly(self._comm.Ibcast([buffer, MPI.BYTE], 0))
        return buffer.tobytes()

    def scatter(self, payloads: Sequence[bytes] | None) -> bytes:
        """Of rank 0's ``payloads``, the one of this rank."""
        if self.rank != 0:
            return self._receive_large()
        assert payloads is not None
        for rank, payload in enumerate(payloads[1:], 1):
            size = np.array([len(payload)], np.int64)
            _quietly(self._comm.Isend([size, MPI.INT64_T], rank, _TAG))
            _quietly(self._comm.Isend([np.frombuffer(payload, np.uint8), MPI.BYTE], rank, _TAG))
        return payloads[0]

    def _receive_large(self) -> bytes:
        """A message of rank 0 whose size comes before it."""
        size = np.empty(1, np.int64)
        _quietly(self._comm.Irecv([size, MPI.INT64_T], 0, _TAG))
        buffer = np.empty(int(size[0]), np.uint8)
        _quietly(self._comm.Irecv([buffer, MPI.BYTE], 0, _TAG))
        return buffer.tobytes()

    def gather(self, payload: bytes) -> list[bytes]:
        """Every rank's bytes, on every rank, by rank."""
        sizes = np.empty(self.size, np.int64)
        own = np.array([len(payload)], np.int64)
        _quietly(self._comm.Iallgather([own, MPI.INT64_T], [sizes, MPI.INT64_T]))
        everything = np.empty(int(sizes.sum()), np.uint8)
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        _quietly(
            self._comm.Iallgatherv(
                [np.frombuffer(payload, np.uint8), MPI.BYTE],
                [everything, (sizes, starts), MPI.BYTE],
            )
        )
        return [
            everything[start : start + size].tobytes()
            for start, size in zip(starts, sizes, strict=True)
        ]

    def share(self, value: Any) -> list[Any]:
        """Every rank's JSON-able value, on every rank."""
        return [json.loads(text) for text in self.gather(json.dumps(value).encode())]

    def clock_offset(self, clock: Callable[[], float], rounds: int = 30) -> tuple[float, float]:
        """This rank's clock minus rank 0's, and the bound of its error, both in seconds.

        Cristian's method: the exchange with the shortest round trip bounds the offset by half of
        it. Ranks take turns.
        """
        best = (0.0, 0.0 if self.rank == 0 else float("inf"))
        for rank in range(1, self.size):
            if rank == self.rank:
                best = self._ask_time(clock, rounds)
            elif self.rank == 0:
                self._tell_time(clock, rank, rounds)
        return best

    def _ask_time(self, clock: Callable[[], float], rounds: int) -> tuple[float, float]:
        theirs = np.empty(1)
        offset_s, error_s = 0.0, float("inf")
        for _ in range(rounds):
            asked_s = clock()
            self._comm.Send([theirs, MPI.DOUBLE], 0, _TAG)
            _quietly(self._comm.Irecv([theirs, MPI.DOUBLE], 0, _TAG), patience=200)
            answered_s = clock()
            if (answered_s - asked_s) / 2 < error_s:
                error_s = (answered_s - asked_s) / 2
                offset_s = (asked_s + answered_s) / 2 - float(theirs[0])
        return offset_s, error_s

    def _tell_time(self, clock: Callable[[], float], rank: int, rounds: int) -> None:
        ours = np.empty(1)
        for _ in range(rounds):
            _quietly(self._comm.Irecv([ours, MPI.DOUBLE], rank, _TAG), patience=200)
            ours[0] = clock()
            self._comm.Send([ours, MPI.DOUBLE], rank, _TAG)

    def abort(self, status: int) -> None:
        """End all ranks, now."""
        self._comm.Abort(status)


def _quietly(
    request: MPI.Request, patience: int = 8, longest_sleep_s: float = _QUIET_POLL_S
) -> None:
    """Wait for ``request``: ``patience`` tests in a row, then sleep, and so on."""
    sleep_s = _QUIET_POLL_S
    while not any(request.Test() for _ in range(patience)):
        time.sleep(sleep_s)
        sleep_s = min(2 * sleep_s, longest_sleep_s)


def library() -> str:
    """The MPI library's own name and version, in one line."""
    return MPI.Get_library_version().split("\n")[0].strip("\0 ")


def vendor() -> str:
    """The name of the MPI library's vendor: MPICH, Open MPI, Intel MPI, ..."""
    return str(MPI.get_vendor()[0])


def thread_level() -> int:
    """The level of thread support that the library granted."""
    return int(MPI.Query_thread())


def processor_name() -> str:
    """The host's name as MPI sees it."""
    return MPI.Get_processor_name()
