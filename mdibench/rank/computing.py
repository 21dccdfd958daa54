"""The compute thread of a rank, and the inline computation of a rank without neighbours."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Protocol

from mdibench.compute.engine import Engine
from mdibench.core.events import Computed
from mdibench.core.records import Task
from mdibench.network.plan import Device


class Computing(Protocol):
    """Runs batches for the loop. ``overruns`` and ``flops`` count since the start."""

    overruns: int
    flops: int

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""

    def wait(self, seconds: float) -> Computed | None:
        """The next finished batch, or ``None`` when there is none within ``seconds``."""

    def stop(self) -> None:
        """Compute nothing more."""


class InlineCompute:
    """Runs batches in the loop's own thread: for a run of one rank.

    There are no messages to handle meanwhile, and a second thread would only compete for the
    interpreter's lock.
    """

    def __init__(self, engine: Engine) -> None:
        self.overruns = 0
        self.flops = 0
        self._engine = engine
        self._batches: deque[tuple[Task, ...]] = deque()

    def submit(self, tasks: tuple[Task, ...]) -> None:
        """Compute these next."""
        self._batches.append(tasks)

    def wait(self, seconds: float) -> Computed | None:
        """Run the next batch now; without one, sleep for ``seconds``."""
        if not self._batches:
            time.sleep(max(0.0, seconds))
            return None
        tasks = self._batches.popleft()
        self.flops += len(tasks) * self._engine.flops(tasks[0])
        begun_s = time.perf_counter()
        outcomes = tuple(self._engine.compute(tasks))
        return Computed(outcomes, time.perf_counter() - begun_s)

    def stop(self) -> None:
        """Nothing to stop."""


class ComputeThread:
    """Runs one batch after the other; ``wait`` doubles as the loop's sleep.

    With an emulated ``device`` a batch takes as long as it would take there: the thread computes
    for real, then sleeps until the deadline. A batch whose real computation is slower than that
    is an overrun. Durations are those of this thread's own clock.
    """

    def __init__(self, engine: Engine, device: Device | None = None) -> None:
        self.overruns = 0
        self.flops = 0
        self._engine = engine
        self._device = device
        self._batches: SimpleQueue[tuple[Task, ...] | None] = SimpleQueue()
        self._done: deque[Computed | BaseException] = deque()
        self._news = threading.Lock()
        self._news.acquire()
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)
        self._thread.start()

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
        self._thread.join(timeout=5.0)

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
        if self._device is not None:
            self._pace(begun_s, self._device.block_s[tasks[0].block - 1], len(tasks))
        return Computed(outcomes, time.perf_counter() - begun_s)

    def _pace(self, begun_s: float, task_s: float, tasks: int) -> None:
        rest_s = begun_s + tasks * task_s - time.perf_counter()
        if rest_s > 0:
            time.sleep(rest_s)
        else:
            self.overruns += tasks
