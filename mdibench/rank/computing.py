"""How a rank computes: in a thread, inline without neighbours, or not at all (``recorded``).

With the engine ``recorded``, two cores emulate many devices. Rank 0 gets the recordings (from the
package, the cache, or the network) and sends them to the others. An emulated device without a
computation needs no thread: ``RecordedCompute`` has a batch ready when the device would have
finished it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from mdibench.assembly.state_machines import ExitRule
from mdibench.assembly.workload import answers_under_codec
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

LONGEST_INLINE_S = 1e-3
"""A call that takes longer runs in a thread of its own, where a core is free for it."""
LONGEST_SHARED_S = 3e-3
"""The same on a core that is shared: the kernel would let two threads take turns of this length."""
CALLS_BEFORE_JUDGING = 5
"""Of a block, before its time decides."""


class Computing(Protocol):
    """Runs batches for the loop. ``overruns`` and ``flops`` count since the start."""

    @property
    def overruns(self) -> int:
        """Tasks that took longer than the emulated device's time."""

    @property
    def flops(self) -> int:
        """FLOPs of all batches."""

    @property
    def supplied(self) -> bool:
        """Whether a batch is being computed beside the loop, and the next one is there."""

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""

    def wait(self, seconds: float) -> Computed | None:
        """The next finished batch, or ``None`` when there is none within ``seconds``."""

    def stop(self) -> None:
        """Compute nothing more."""


class InlineCompute:
    """Runs batches in the loop's own thread: for short calls, and where no core is free.

    Two threads hand the interpreter's lock to each other several times a batch, which costs more
    than a short call takes. Messages meanwhile wait for its end.
    """

    def __init__(self, engine: Engine) -> None:
        self.overruns = 0
        self.flops = 0
        self.engine = engine
        self.batches: deque[tuple[Task, ...]] = deque()

    @property
    def supplied(self) -> bool:
        """Nothing is computed beside the loop."""
        return False

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""
        self.batches.append(tasks)

    def wait(self, seconds: float) -> Computed | None:
        """Run the next batch now; without one, sleep for ``seconds``."""
        if not self.batches:
            if seconds > 0:
                time.sleep(seconds)
            return None
        tasks = self.batches.popleft()
        self.flops += len(tasks) * self.engine.flops(tasks[0])
        begun_s = time.perf_counter()
        outcomes = tuple(self.engine.compute(tasks))
        return Computed(outcomes, time.perf_counter() - begun_s)

    def stop(self) -> None:
        """Nothing to stop."""


class AdaptiveCompute:
    """Inline while every call is short, in a thread from the first block on that takes longer.

    So a message waits for ``longest_s`` at most. A block's time is its shortest so far: on a shared
    core, single calls say nothing.
    """

    def __init__(self, engine: Engine, longest_s: float) -> None:
        self._longest_s = longest_s
        self._here = InlineCompute(engine)
        self._beside: ComputeThread | None = None
        self._shortest_s: dict[int, float] = {}
        self._calls = Counter[int]()

    @property
    def _current(self) -> InlineCompute | ComputeThread:
        return self._beside or self._here

    @property
    def overruns(self) -> int:
        """None: there is no emulated device."""
        return 0

    @property
    def flops(self) -> int:
        """FLOPs of all batches so far."""
        return self._here.flops + (self._beside.flops if self._beside else 0)

    @property
    def supplied(self) -> bool:
        """Whether the thread has a batch to compute after this one."""
        return self._current.supplied

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""
        self._current.submit(tasks)

    def wait(self, seconds: float) -> Computed | None:
        """The next finished batch, or ``None`` when there is none within ``seconds``."""
        if self._beside is not None:
            return self._beside.wait(seconds)
        block = self._here.batches[0][0].block if self._here.batches else 0
        computed = self._here.wait(seconds)
        if computed is not None and self._calls[block] < CALLS_BEFORE_JUDGING:
            self._judge(block, computed.seconds)
        return computed

    def _judge(self, block: int, seconds: float) -> None:
        self._calls[block] += 1
        self._shortest_s[block] = min(seconds, self._shortest_s.get(block, seconds))
        judged = self._calls[block] == CALLS_BEFORE_JUDGING
        if judged and self._shortest_s[block] > self._longest_s:
            self._beside = ComputeThread(self._here.engine)
            for tasks in self._here.batches:
                self._beside.submit(tasks)

    def stop(self) -> None:
        """Compute nothing more."""
        self._current.stop()


def longest_inline_s(cores_per_rank: int, alone: bool) -> float:
    """How long a call may take to be computed in the loop's own thread.

    A thread beside the loop lets messages be taken meanwhile, of which a rank that is alone expects
    none. On a core that all threads of a rank share, it delays what it was to speed up.
    """
    if alone:
        return math.inf
    return LONGEST_INLINE_S if cores_per_rank > 1 else LONGEST_SHARED_S


class ComputeThread:
    """Runs one batch after the other; ``wait`` doubles as the loop's sleep.

    On an emulated device a batch takes as long as it would take there: the thread computes
    for real, then sleeps until the deadline. A batch whose real computation is slower than that
    is an overrun. Durations are those of this thread's own clock.
    """

    def __init__(self, engine: Engine, task_s: Sequence[float] | None = None) -> None:
        """``task_s``: emulated seconds of a task, by the first block of its call."""
        self.overruns = 0
        self.flops = 0
        self._engine = engine
        self._task_s = task_s
        self._batches: SimpleQueue[tuple[Task, ...] | None] = SimpleQueue()
        self._done: deque[Computed | BaseException] = deque()
        self._news = threading.Lock()
        self._news.acquire()
        self._worker = threading.Thread(target=self._work, name="compute", daemon=True)
        self._worker.start()

    @property
    def supplied(self) -> bool:
        """Whether a batch waits behind the one that is being computed."""
        return not self._batches.empty()

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""
        self._batches.put(tasks)

    def wait(self, seconds: float) -> Computed | None:
        """The next finished batch, or ``None`` when there is none within ``seconds``.

        An exception of the engine is raised here. (Not a ``SimpleQueue``: its timed ``get`` can
        wait for ever when the deadline passes between two of its attempts.)
        """
        if not self._done and seconds > 0:
            self._news.acquire(timeout=seconds)
        if not self._done:
            return None
        done = self._done.popleft()
        if isinstance(done, BaseException):
            raise done
        return done

    def stop(self) -> None:
        """End the thread after the batches that it has."""
        self._batches.put(None)
        self._worker.join(timeout=5.0)

    def _work(self) -> None:
        while (tasks := self._batches.get()) is not None:
            try:
                self._hand_over(self._run(tasks))
            except BaseException as error:  # noqa: BLE001 - it is raised again in the loop's thread
                self._hand_over(error)
                return

    def _hand_over(self, done: Computed | BaseException) -> None:
        self._done.append(done)
        if self._news.locked():
            self._news.release()

    def _run(self, tasks: Sequence[Task]) -> Computed:
        self.flops += len(tasks) * self._engine.flops(tasks[0])
        begun_s = time.perf_counter()
        outcomes = tuple(self._engine.compute(tasks))
        if self._task_s is not None:
            self._pace(begun_s, self._task_s[tasks[0].block - 1], len(tasks))
        return Computed(outcomes, time.perf_counter() - begun_s)

    def _pace(self, begun_s: float, task_s: float, tasks: int) -> None:
        rest_s = begun_s + tasks * task_s - time.perf_counter()
        if rest_s > 0:
            time.sleep(rest_s)
        else:
            self.overruns += tasks


# --- recorded answers ----------------------------------------------------------------------------


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
