from hypothesis import given
from hypothesis import strategies as st

from mdibench.monitor.history import Playhead

HEADS = st.builds(
    Playhead, st.none() | st.floats(0, 100), st.booleans(), st.sampled_from([0.1, 1.0, 8.0])
)


@given(HEADS, st.floats(-200, 200), st.floats(0, 100))
def test_seeking_stays_within_the_run(head: Playhead, by_s: float, end_s: float) -> None:
    assert 0 <= head.shifted(by_s, end_s).moment_s(end_s) <= end_s


@given(HEADS, st.floats(0, 10), st.floats(0, 100), st.booleans())
def test_time_never_runs_backwards(
    head: Playhead, passed_s: float, end_s: float, live: bool
) -> None:
    assert head.advanced(passed_s, end_s, live).moment_s(end_s) >= head.moment_s(end_s)


@given(st.floats(0.1, 100), st.booleans())
def test_paused_means_that_nothing_moves(end_s: float, live: bool) -> None:
    head = Playhead().shifted(-0.05, end_s)
    paused = head.toggled(end_s, live)
    assert not paused.playing
    assert paused.advanced(5.0, end_s + 5.0, live) == paused


def test_a_live_run_is_paused_where_it_is_and_caught_up_with() -> None:
    head = Playhead().toggled(7.0, live=True)
    assert (head.playing, head.moment_s(9.0)) == (False, 7.0)
    head = head.toggled(9.0, live=True).faster(2).advanced(1.0, 10.0, live=True)
    assert head.following


def test_a_finished_run_plays_from_the_start_and_stops_at_the_end() -> None:
    head = Playhead().toggled(10.0, live=False)
    assert head.moment_s(10.0) == 0.0
    head = head.advanced(4.0, 10.0, live=False)
    assert head.moment_s(10.0) == 4.0
    head = head.advanced(40.0, 10.0, live=False)
    assert (head.moment_s(10.0), head.playing) == (10.0, False)
    assert head.toggled(10.0, live=False).moment_s(10.0) == 0.0
