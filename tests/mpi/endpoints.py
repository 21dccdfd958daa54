"""For ``test_endpoints``: in what order bursts come in."""

import time
from itertools import pairwise

import numpy as np
from mpi4py import MPI

from mdibench.transport.mpi import Endpoint

BURSTS, LENGTH, SIZE = 200, 3, 8
endpoint = Endpoint(SIZE)
seen: list[int] = []
for burst in range(BURSTS):
    if endpoint.rank == 0:
        for number in range(burst * LENGTH, (burst + 1) * LENGTH):
            buffer = endpoint.pool.take()
            buffer.view(np.int64)[0] = number
            endpoint.send(1, buffer, SIZE)
        while endpoint.sending:
            endpoint.delivered()
    MPI.COMM_WORLD.Barrier()
    if endpoint.rank == 1:
        time.sleep(0.0005)  # all of the burst are there before anybody looks
        while len(seen) < (burst + 1) * LENGTH:
            seen += [int(buffer.view(np.int64)[0]) for _, buffer, _ in endpoint.receive()]
if endpoint.rank == 1:
    inverted = sum(one > other for one, other in pairwise(seen))
    print(f"{inverted} of {len(seen)} out of order")
endpoint.close()
