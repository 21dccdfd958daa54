"""How long a failed rank waits for rank 0 to end the job."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from mdibench.rank import ending, guard
from mdibench.rank.ending import CLOSE_TIMEOUT_S, REPORT_TIMEOUT_S, Ending


class FakeGroup:
    """Rank 1; notes the status that it ends all ranks with."""

    rank = 1

    def __init__(self) -> None:
        self.status: int | None = None

    def abort(self, status: int) -> None:
        self.status = status


class FakeEndpoint:
    """No rank has failed by itself."""

    failed: frozenset[int] = frozenset()


class FakePost:
    """Rank 0 ``hears`` of the failure, or not."""

    def __init__(self, hears: bool) -> None:
        self.hears = hears
        self.endpoint = FakeEndpoint()

    def fail(self, text: bytes, status: int, patience_s: float) -> bool:
        return self.hears


def interrupted_import() -> ImportError:
    """What pybind11 makes of a signal during a module's import."""
    failure = ImportError("initialization failed")
    failure.__cause__ = KeyboardInterrupt()
    return failure


@pytest.mark.parametrize(
    ("error", "hears", "slept_s", "told"),
    [
        (RuntimeError("no"), None, 0.0, True),  # before the run: no files are being written
        (RuntimeError("no"), True, CLOSE_TIMEOUT_S, False),
        (RuntimeError("no"), False, CLOSE_TIMEOUT_S, True),
        (KeyboardInterrupt(), None, REPORT_TIMEOUT_S, False),
        (KeyboardInterrupt(), False, CLOSE_TIMEOUT_S, False),
        (interrupted_import(), None, REPORT_TIMEOUT_S, False),
    ],
)
def test_a_failing_worker(
    error: BaseException,
    hears: bool | None,
    slept_s: float,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(ending.time, "sleep", slept.append)
    group: Any = FakeGroup()
    end = Ending(group)
    if hears is not None:
        end.report_through(FakePost(hears))  # type: ignore[arg-type]
    end.__exit__(type(error), error, None)
    assert slept == [slept_s]
    assert group.status in (1, 130)
    assert ("rank 1: " in capsys.readouterr().err) is told


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (signal.default_int_handler, guard.BY_INTERRUPT),
        (ending._terminated, guard.BY_SIGTERM),
    ],
)
def test_the_reason_tells_ctrl_c_from_a_launcher_that_ends_its_ranks(
    handler: Callable[[int, FrameType | None], Any], told: str
) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        handler(signal.SIGINT, None)
    assert ending._verdict(caught.value) == (130, told)
