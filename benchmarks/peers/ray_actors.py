"""Ray actors, one per stage: the driver chains their methods and keeps some batches under way."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import ray
import torch

from benchmarks.peers.stages import Job, report

UNDER_WAY = 8


@ray.remote(num_cpus=0)
class Stage:
    """One stage in a process of its own."""

    def __init__(self, arguments: list[str], index: int) -> None:
        sys.argv[1:] = arguments
        self._job = Job.from_arguments()
        self._last = index + 1 == self._job.stages
        self._stage = self._job.stage(index)

    def run(self, features: Any) -> Any:
        """The feature map of the batch, or its classes."""
        with torch.inference_mode():
            results = self._stage(features)
        return results.argmax(1) if self._last else results


def main(job: Job) -> None:
    """Admit batches, ``UNDER_WAY`` at a time."""
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    actors = [Stage.remote(sys.argv[1:6], index) for index in range(job.stages)]
    batches, pending = job.batches(), deque[Any]()
    done = 0

    def admit() -> Any:
        result: Any = next(batches)
        for actor in actors:
            result = actor.run.remote(result)
        return result

    def step() -> None:
        nonlocal done
        while len(pending) < UNDER_WAY:
            pending.append(admit())
        done += len(ray.get(pending.popleft()))

    report(lambda: done, job.seconds, step)
    ray.shutdown()


main(Job.from_arguments())
