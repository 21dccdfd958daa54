"""The compute thread: order, waiting, pacing to a device, and errors."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from mdibench.core.events import Computed
from mdibench.core.records import Outcome, Task
from mdibench.rank.computing import ComputeThread, InlineCompute


class Engine:
    """Answers with the item's number as its class; raises an error for item -13."""

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        if tasks[0].item == -13:
            raise ValueError("thirteen")
        return [Outcome(task.item, 1.0) for task in tasks]

    def flops(self, task: Task) -> int:
        return 10 * task.block


def waited(thread: ComputeThread) -> Computed:
    """The next finished batch, within a second."""
    deadline_s = time.monotonic() + 1.0
    while time.monotonic() < deadline_s:
        done = thread.wait(0.1)
        if done is not None:
            return done
    pytest.fail("no batch was finished")


def test_batches_come_back_in_order() -> None:
    thread = ComputeThread(Engine())
    for item in range(50):
        thread.submit((Task(item, 2), Task(item + 100, 2)))
    predictions = [[o.prediction for o in waited(thread).outcomes] for _ in range(50)]
    assert predictions == [[item, item + 100] for item in range(50)]
    assert thread.flops == 50 * 2 * 20
    assert thread.wait(0.0) is None
    thread.stop()


def test_a_rank_alone_computes_in_its_own_thread() -> None:
    compute = InlineCompute(Engine())
    assert compute.wait(0.0) is None
    compute.submit((Task(1, 2),))
    compute.submit((Task(2, 2),))
    answers = [compute.wait(1.0), compute.wait(0.0)]
    assert [a.outcomes[0].prediction for a in answers if a is not None] == [1, 2]
    assert compute.flops == 40


def test_waiting_for_nothing_ends_in_time() -> None:
    thread = ComputeThread(Engine())
    for _ in range(2000):
        assert thread.wait(1e-7) is None
    thread.stop()


def test_an_engine_error_is_raised_in_the_loop() -> None:
    thread = ComputeThread(Engine())
    thread.submit((Task(-13, 1),))
    with pytest.raises(ValueError, match="thirteen"):
        waited(thread)


def test_a_task_takes_the_emulated_device_s_time() -> None:
    thread = ComputeThread(Engine(), (0.001, 0.02))
    thread.submit((Task(1, 2), Task(2, 2)))
    done = waited(thread)
    assert 0.04 <= done.seconds < 0.2
    assert thread.overruns == 0
    thread.stop()


def test_a_device_faster_than_this_machine_is_an_overrun() -> None:
    thread = ComputeThread(Engine(), (1e-9,))
    thread.submit((Task(1, 1),))
    waited(thread)
    assert thread.overruns == 1
    thread.stop()
