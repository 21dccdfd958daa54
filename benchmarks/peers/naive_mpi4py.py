"""The pipeline that a first page on mpi4py gives: each rank receives, computes and sends on.

Lower-case ``send`` and ``recv`` pickle the tensors. Run under ``mpirun -n STAGES``.
"""

from __future__ import annotations

import torch
from mpi4py import MPI

from benchmarks.peers.stages import Job, report

comm = MPI.COMM_WORLD
STOP = None


def source(job: Job) -> None:
    """The first stage: as fast as the next one takes."""
    stage, batches, last = job.stage(0), job.batches(), comm.Get_size() - 1
    comm.Barrier()
    sent = 0

    def step() -> None:
        nonlocal sent
        comm.send(stage(next(batches)), 1)
        sent += job.batch

    report(lambda: sent, job.seconds, step)
    comm.send(STOP, 1)
    assert comm.recv(source=last) > 0


def worker(job: Job) -> None:
    """A later stage, until there is nothing more."""
    rank, last = comm.Get_rank(), comm.Get_size() - 1
    stage = job.stage(rank)
    comm.Barrier()
    done = 0
    while (features := comm.recv(source=rank - 1)) is not STOP:
        results = stage(features)
        if rank < last:
            comm.send(results, rank + 1)
        else:
            done += len(results.argmax(1))
    comm.send(STOP if rank < last else done, rank + 1 if rank < last else 0)


with torch.inference_mode():
    arguments = Job.from_arguments()
    (source if comm.Get_rank() == 0 else worker)(arguments)
