"""What our transport costs: run under ``mpirun -n 2``; prints one JSON object.

* Streaming 1 MiB feature maps from rank 0 to rank 1 through the post office, against bare mpi4py
  buffer Isend/Irecv with the same window.
* Processor time of a hop of a small task, sender and receiver together.
* Processor time of a rank that only waits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import psutil
from mpi4py import MPI

from mdibench.core.events import Arrived, LinkFree
from mdibench.core.records import State, Task
from mdibench.core.wire import HEADER_BYTES
from mdibench.network.plan import Link
from mdibench.transport.links import LinkClock
from mdibench.transport.mpi import Endpoint
from mdibench.transport.post_office import PostOffice

WINDOW = 4
MAPS = 32
"""Distinct feature maps to stream: a network never sends the same memory again at once. They are
written to first: pages that nobody has written to are all the same page of zeros, in the cache."""
MIB = 1 << 20
comm = MPI.COMM_WORLD
rank = comm.Get_rank()


def bare_stream(messages: int) -> float:
    """Seconds for ``messages`` of 1 MiB with Isend/Irecv, ``WINDOW`` at a time."""
    buffers = [np.ones(MIB, np.uint8) for _ in range(MAPS if rank == 0 else WINDOW)]
    start = comm.Isend if rank == 0 else comm.Irecv
    comm.Barrier()
    begun = time.perf_counter()
    requests = [start([buffer, MPI.BYTE], 1 - rank, 1) for buffer in buffers[:WINDOW]]
    for index in range(WINDOW, messages):
        requests[index % WINDOW].Wait()
        buffer = buffers[index % len(buffers)]
        requests[index % WINDOW] = start([buffer, MPI.BYTE], 1 - rank, 1)
    MPI.Request.Waitall(requests)
    comm.Barrier()
    return time.perf_counter() - begun


def post_office(largest: int) -> PostOffice:
    """A post office whose only link is a real one."""
    links = {1 - rank: LinkClock(Link())}
    return PostOffice(Endpoint(HEADER_BYTES + largest), links, lambda: 0.5)


def our_stream(messages: int, elements: int, pause: Callable[[], None]) -> tuple[float, float]:
    """Seconds and this rank's processor seconds for ``messages`` tasks through the post office."""
    post = post_office(4 * elements)
    tasks = [Task(1, 1, np.ones(elements, np.float32), 4 * elements) for _ in range(MAPS)]
    comm.Barrier()
    begun, processor = time.perf_counter(), time.process_time()
    sent = done = 0
    while done < messages:
        while rank == 0 and sent < messages and sent - done < WINDOW:
            post.send(1, State(0, 0.0), tasks[sent % MAPS])
            sent += 1
        events = post.poll()
        done += sum(isinstance(e, LinkFree if rank == 0 else Arrived) for e in events)
        if not events:
            pause()
    spent = time.perf_counter() - begun, time.process_time() - processor
    comm.Barrier()
    post.close()
    return spent


def main() -> None:
    """Run all, print from rank 0."""
    bare_stream(50)
    our_stream(50, MIB // 4, lambda: None)
    ratios = []
    for _ in range(5):
        bare = bare_stream(400)
        ours, _ = our_stream(400, MIB // 4, lambda: None)
        ratios.append((400 / bare, 400 / ours))
    messages = 5000
    _, processor = our_stream(messages, 64, lambda: time.sleep(50e-6))
    total = comm.allreduce(processor)
    if rank == 0:
        best_bare, best_ours = max(r[0] for r in ratios), max(r[1] for r in ratios)
        print(
            json.dumps(
                {
                    "bare_mib_per_s": best_bare,
                    "post_office_mib_per_s": best_ours,
                    "ratios": [ours / bare for bare, ours in ratios],
                    "small_task_processor_us": 1e6 * total / messages,
                    "resident_mib": psutil.Process().memory_info().rss / MIB,
                }
            )
        )


main()
