"""A pipeline of remote modules by ``torch.distributed.rpc``, the way ParetoPipe builds it.

The master chains one asynchronous call per stage and keeps some items under way. Start one process
per stage with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import torch
from torch import Tensor
from torch.distributed import rpc

from benchmarks.peers.stages import Job, report

UNDER_WAY = 8
RANK = int(os.environ["RANK"])
job = Job.from_arguments()
stage = job.stage(RANK)


@torch.inference_mode()
def run_from(index: int, features: Tensor) -> Tensor:
    """Stage ``index`` here, the later ones on their ranks; only classes come back."""
    results: Tensor = stage(features)
    if index + 1 == job.stages:
        return results.argmax(1)
    later: Tensor = rpc.rpc_sync(f"stage{index + 1}", run_from, (index + 1, results))
    return later


def master() -> None:
    """Admit batches, ``UNDER_WAY`` at a time."""
    batches, pending = job.batches(), deque[Any]()
    done = 0

    def step() -> None:
        nonlocal done
        while len(pending) < UNDER_WAY:
            with torch.inference_mode():
                features = stage(next(batches))
            pending.append(rpc.rpc_async("stage1", run_from, (1, features)))
        done += len(pending.popleft().wait())

    report(lambda: done, job.seconds, step)
    for call in pending:
        call.wait()


rpc.init_rpc(f"stage{RANK}", rank=RANK, world_size=job.stages)
if RANK == 0:
    master()
rpc.shutdown()
