"""An emulated device without a computation: when batches are due, and what counts as late."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mdibench.core.records import Outcome, Task
from mdibench.rank.computing import RecordedCompute


class Engine:
    """Answers with the item's number as its class."""

    def compute(self, tasks: Sequence[Task]) -> list[Outcome]:
        return [Outcome(task.item, 1.0) for task in tasks]

    def flops(self, task: Task) -> int:
        return 10 * task.block


class Clock:
    """Time that only sleep moves, by ``late_s`` more than was asked for."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.late_s = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.late_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def device(clock: Clock) -> RecordedCompute:
    """One second for block 1, two for block 2."""
    return RecordedCompute(Engine(), [1.0, 2.0], lambda: clock.now_s, clock.sleep)


def test_a_batch_takes_its_tasks_times_and_waits_for_the_one_before(device, clock) -> None:
    device.submit((Task(1, 1), Task(2, 1)))
    assert not device.supplied
    device.submit((Task(3, 2),))
    assert device.supplied
    assert device.wait(0.0) is None
    assert device.wait(1.5) is None
    assert clock.now_s == 101.5
    first = device.wait(5.0)
    assert clock.now_s == 102.0
    assert [outcome.prediction for outcome in first.outcomes] == [1, 2]
    assert first.seconds == 2.0
    assert device.wait(5.0).seconds == 2.0
    assert clock.now_s == 104.0
    assert device.flops == 2 * 10 + 20
    assert device.overruns == 0


def test_waking_up_late_delays_no_later_batch(device, clock) -> None:
    clock.late_s = 0.25
    for item in range(4):
        device.submit((Task(item, 1),))
    for due_s in (101.0, 102.0, 103.0, 104.0):
        device.wait(5.0)
        assert clock.now_s == due_s + 0.25
    assert device.overruns == 0


def test_an_answer_later_than_a_whole_batch_is_an_overrun(device, clock) -> None:
    device.submit((Task(1, 1), Task(2, 1)))
    clock.now_s = 104.5
    assert device.wait(0.0) is not None
    assert device.overruns == 2
    device.submit((Task(3, 1),))
    device.wait(5.0)
    assert clock.now_s == 105.5
    assert device.overruns == 2


def test_nothing_to_wait_for(device, clock) -> None:
    assert device.wait(0.5) is None
    assert clock.now_s == 100.5
