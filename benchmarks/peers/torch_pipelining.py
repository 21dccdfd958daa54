"""``torch.distributed.pipelining`` over gloo: a GPipe schedule of forward passes.

Start one process per stage with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set.
"""

from __future__ import annotations

import json
import os
import time

import torch
from torch import Tensor, distributed, nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

from benchmarks.peers.stages import WARMUP_S, Job

CHUNKS = 32
"""Micro-batches of one step of the schedule."""
RANK = int(os.environ["RANK"])


class Contiguous(nn.Module):
    """Gloo sends nothing else; ours are channels-last."""

    def forward(self, features: Tensor) -> Tensor:
        """The same values."""
        return features.contiguous()


def main(job: Job) -> None:
    """Steps of ``CHUNKS`` micro-batches; all ranks take the same number of them."""
    distributed.init_process_group("gloo", rank=RANK, world_size=job.stages)
    device = torch.device("cpu")
    stage = PipelineStage(nn.Sequential(job.stage(RANK), Contiguous()), RANK, job.stages, device)
    schedule = ScheduleGPipe(stage, CHUNKS)
    batches = job.batches()

    def step() -> None:
        if RANK == 0:
            schedule.step(torch.cat([next(batches) for _ in range(CHUNKS)]))
        else:
            schedule.step()

    def seconds_of(steps: int) -> float:
        distributed.barrier()
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        distributed.barrier()
        return time.perf_counter() - begun

    step()
    pace = torch.tensor([seconds_of(2) / 2])
    distributed.broadcast(pace, 0)
    seconds_of(max(1, round(WARMUP_S / pace.item())))
    steps = max(2, round(job.seconds / pace.item()))
    spent = seconds_of(steps)
    if RANK == 0:
        print(json.dumps({"rate": steps * CHUNKS * job.batch / spent}), flush=True)
    distributed.destroy_process_group()


with torch.no_grad():
    main(Job.from_arguments())
