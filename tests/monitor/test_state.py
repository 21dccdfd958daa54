import pytest

from mdibench.core.rows import EventRow
from mdibench.monitor.snapshot import STALLED_AFTER_S, Signs, phase_at, state_of


def phase(text: str) -> EventRow:
    return EventRow(t_s=1.0, rank=0, level="info", kind="phase", text=text)


@pytest.mark.parametrize(
    ("signs", "newest_s", "word"),
    [
        (Signs(), 0.0, "starting"),
        (Signs(), 5.0, "running"),
        (Signs(silence_s=STALLED_AFTER_S + 0.1), 5.0, "stalled"),
        (Signs(silence_s=4.0, sample_s=1.0), 5.0, "running"),
        (Signs(status="aborted"), 5.0, "aborted"),
        (Signs(status="failed", reason="rank 2: out of memory"), 5.0, "failed"),
        (Signs(status="running", ended=("complete", "")), 5.0, "complete"),
        (Signs(status="complete", silence_s=1e6), 5.0, "complete"),
        (Signs(status="something newer"), 5.0, "aborted"),
    ],
)
def test_the_strongest_sign_wins(signs: Signs, newest_s: float, word: str) -> None:
    assert state_of(signs, "running", newest_s).word == word


def test_a_dead_writer_is_named_as_the_reason() -> None:
    assert state_of(Signs(status="aborted"), "running", 1.0).reason == (
        "the run died: its writer is gone"
    )
    assert state_of(Signs(status="aborted", reason="Ctrl-C"), "running", 1.0).reason == "Ctrl-C"


def test_phases() -> None:
    assert phase_at(1.0, 2.0, []) == "warm-up"
    assert phase_at(2.1, 2.0, []) == "running"
    assert phase_at(1.0, 2.0, [phase("warm-up over")]) == "running"
    assert phase_at(9.0, 2.0, [phase("warm-up over"), phase("draining 3 items")]) == "draining"
