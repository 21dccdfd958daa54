"""The engine ``recorded`` on a rank: nothing is computed, so that two cores emulate many devices.

Rank 0 gets the recordings (from the package, the cache, or the network) and sends them to the
others. An emulated device without a computation needs no thread: ``RecordedCompute`` has a batch
ready when the device would have finished it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mdibench.assembly.encoded_cuts import answers_under_codec
from mdibench.assembly.state_machines import ExitRule
from mdibench.compute.engine import Engine
from mdibench.config.schema import RunConfig
from mdibench.core.events import Computed
from mdibench.core.records import SOURCE, Task
from mdibench.errors import Problem, UserError
from mdibench.network.plan import Plan
from mdibench.rank.ending import together

if TYPE_CHECKING:
    from mdibench.training.recordings import Recordings
    from mdibench.transport.mpi import RankGroup


def shared_recordings(
    config: RunConfig, plan: Plan, rule: ExitRule, group: RankGroup
) -> Recordings:
    """The answers of the config's network; on ranks other than 0 without labels."""
    from mdibench.training.recordings import packed, record, unpacked

    def own() -> Recordings | None:
        if group.rank != SOURCE:
            return None
        recordings = record(config.model, rule.temperatures, config.run.seed)
        return replace(recordings, coded=answers_under_codec(config, plan, rule.temperatures))

    recordings = together(group, own)
    message = group.broadcast(packed(recordings) if recordings else None)
    return recordings or unpacked(message)


def check_devices(config: RunConfig, plan: Plan) -> None:
    """Raise UserError for a rank without an emulated device, which would answer in no time."""
    real = [rank for rank, device in enumerate(plan.devices) if device is None]
    if real:
        what = f'"recorded" computes nothing, and rank {real[0]} has no emulated device'
        remedy = "give every rank a device in [emulation], or choose another engine"
        raise UserError(Problem(what, config.where("model", "engine"), remedy))


class RecordedCompute:
    """An emulated device that computes nothing: batches are due when the device would finish them.

    A batch begins when the one before it is finished, or when it is submitted, and takes the
    device's time for its tasks; that this process wakes up a little late delays no later batch. A
    task whose answer comes later than its due time by more than the whole batch takes counts as
    an overrun: by then, the device can have run out of work that it would have had.
    """

    def __init__(
        self,
        engine: Engine,
        task_s: Sequence[float],
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``task_s``: emulated seconds of a task, by the first block of its call."""
        self.overruns = 0
        self.flops = 0
        self._engine = engine
        self._task_s = task_s
        self._clock = clock
        self._sleep = sleep
        self._batches: deque[tuple[tuple[Task, ...], float, float]] = deque()
        """Tasks, when they are due, and how long they take."""
        self._free_s = 0.0

    @property
    def supplied(self) -> bool:
        """Whether a batch waits behind the one that is being computed."""
        return len(self._batches) > 1

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""
        seconds = len(tasks) * self._task_s[tasks[0].block - 1]
        self._free_s = max(self._free_s, self._clock()) + seconds
        self._batches.append((tasks, self._free_s, seconds))

    def wait(self, seconds: float) -> Computed | None:
        """The next finished batch, or ``None`` when there is none within ``seconds``."""
        if not self._finished() and seconds > 0:
            until_due_s = self._batches[0][1] - self._clock() if self._batches else seconds
            self._sleep(max(0.0, min(seconds, until_due_s)))
        if not self._finished():
            return None
        tasks, due_s, took_s = self._batches.popleft()
        if self._clock() > due_s + took_s:
            self.overruns += len(tasks)
        self.flops += len(tasks) * self._engine.flops(tasks[0])
        return Computed(tuple(self._engine.compute(tasks)), took_s)

    def _finished(self) -> bool:
        return bool(self._batches) and self._batches[0][1] <= self._clock()

    def stop(self) -> None:
        """Nothing to stop."""
