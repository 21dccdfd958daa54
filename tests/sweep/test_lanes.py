"""A lane of a sweep gives its runs to one crew after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from mdibench.sweep import sweep


class FakeCrew:
    """Finishes all its runs between two polls; ``broken`` crews do one run and end."""

    given: ClassVar[list[list[int]]] = []
    broken = False

    def __init__(self, path: Path, assignments: Sequence[int]) -> None:
        self.given.append(list(assignments))
        self._left = len(assignments)
        self.over = False

    def poll(self) -> list[tuple[str, float]]:
        done = 1 if self.broken else self._left
        self._left -= done
        self.over = True
        return [("", 1.0)] * done

    def stop(self) -> None:
        pass


@pytest.mark.parametrize(
    ("separate", "broken", "crews"),
    [
        (False, False, [[1, 2], [3, 4], [5]]),
        (True, False, [[1], [2], [3], [4], [5]]),
        (False, True, [[1, 2], [2, 3], [3, 4], [4, 5], [5]]),
    ],
)
def test_crews_are_as_large_as_they_may_be_and_every_run_is_done_once(
    monkeypatch: pytest.MonkeyPatch, separate: bool, broken: bool, crews: list[list[int]]
) -> None:
    monkeypatch.setattr(FakeCrew, "given", [])
    monkeypatch.setattr(FakeCrew, "broken", broken)
    monkeypatch.setattr(sweep, "Crew", FakeCrew)
    monkeypatch.setattr(sweep, "CREW_RUNS", 2)
    wanted = SimpleNamespace(_separate=separate, assignment=lambda task: task)
    lane = sweep._Lane(wanted, Path("list.json"), [1, 2, 3, 4, 5])  # type: ignore[arg-type,list-item]
    done = []
    while lane.work():
        done += [task for task, _, _ in lane.poll()]
    assert FakeCrew.given == crews
    assert done == [1, 2, 3, 4, 5]
