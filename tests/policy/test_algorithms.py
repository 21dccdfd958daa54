"""Every branch of algorithms 1 to 4, with numbers worked out by hand."""

from __future__ import annotations

import pytest

from mdibench.policy import algorithms
from mdibench.policy.algorithms import (
    Candidate,
    Gains,
    Keep,
    Offload,
    OffloadView,
    PlacingView,
    ThresholdCurve,
    Wait,
    adapt_interarrival,
    adapt_threshold,
    leaves,
)
from mdibench.policy.schemes import SCHEMES


class Dice:
    """A generator with given draws whose shuffle keeps the order."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)

    def shuffle(self, x: list[Candidate]) -> None:
        pass


def offload_view(
    *candidates: Candidate,
    hosts: bool = True,
    waiting: int = 4,
    output: int = 5,
    gamma_s: float = 0.01,
    turn: int = 0,
) -> OffloadView:
    return OffloadView(2, hosts, waiting, output, gamma_s, candidates, turn)


# --- algorithm 1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "confidence", "early", "expected"),
    [
        (1, 0.8, True, True),  # C_1 = T_e^1: as sure as asked
        (1, 0.79, True, False),
        (2, 0.79, True, True),  # the second exit asks for less
        (1, 1.0, False, False),  # no early exits
        (3, 0.0, True, True),  # k = K
        (3, 0.0, False, True),
    ],
)
def test_exit(block: int, confidence: float, early: bool, expected: bool) -> None:
    assert leaves(block, confidence, (0.8, 0.7, 0.9), early) is expected


@pytest.mark.parametrize(
    ("hosts", "waiting", "output", "expected"),
    [
        (True, 0, 0, True),  # idle
        (True, 3, 51, True),  # |O_n| > T_O
        (True, 3, 50, False),  # |O_n| = T_O
        (False, 0, 51, False),  # cannot compute it
    ],
)
def test_placing_by_algorithm_1(hosts: bool, waiting: int, output: int, expected: bool) -> None:
    view = PlacingView(2, hosts, waiting, output, output_limit=50, admitted=False)
    assert algorithms.algorithm_1(view) is expected


def test_other_placings() -> None:
    raw = PlacingView(1, True, 3, 3, 50, admitted=True)
    later = PlacingView(2, True, 3, 3, 50, admitted=False)
    elsewhere = PlacingView(2, False, 0, 0, 50, admitted=False)
    assert [algorithms.stay_if_hosted(v) for v in (raw, later, elsewhere)] == [True, True, False]
    assert [algorithms.raw_items_first(v) for v in (raw, later, elsewhere)] == [False, True, False]
    assert [algorithms.always_offer(v) for v in (raw, later, elsewhere)] == [False, False, False]


# --- algorithm 2 ---------------------------------------------------------------------------------


def test_a_shorter_wait_takes_the_task() -> None:
    # w_n = 4 * 10 ms = 40 ms; w_m = 5 ms + 3 * 10 ms = 35 ms
    view = offload_view(Candidate(7, 3, 0.01, 0.005))
    assert algorithms.algorithm_2(view, Dice()) == Offload(7, "shorter")


def test_a_longer_wait_takes_it_with_probability_of_the_ratio() -> None:
    # w_n = 40 ms; w_m = 50 ms + 3 * 10 ms = 80 ms; w_n / w_m = 0.5
    view = offload_view(Candidate(7, 3, 0.01, 0.05))
    assert algorithms.algorithm_2(view, Dice(0.49)) == Offload(7, "chance")
    assert algorithms.algorithm_2(view, Dice(0.5)) == Wait()


def test_equal_waits_always_send() -> None:
    view = offload_view(Candidate(7, 3, 0.01, 0.01))
    assert algorithms.algorithm_2(view, Dice(0.999)) == Offload(7, "chance")


def test_a_longer_input_queue_over_there_is_no_candidate() -> None:
    # |O_n| = 5 must exceed |I_m|
    assert algorithms.algorithm_2(offload_view(Candidate(7, 5, 0.0, 0.0)), Dice()) == Wait()
    view = offload_view(Candidate(7, 5, 0.0, 0.0), Candidate(8, 4, 0.001, 0.0))
    assert algorithms.algorithm_2(view, Dice()) == Offload(8, "shorter")


def test_an_idle_host_keeps_the_task() -> None:
    view = offload_view(Candidate(7, 0, 0.01, 0.0), waiting=0)
    assert algorithms.algorithm_2(view, Dice()) == Keep("idle")


def test_an_idle_worker_that_cannot_compute_it_sends_it_where_the_wait_is_least() -> None:
    # w = 80 ms and 45 ms; w_n = 0, so that no chance is left
    slow, fast = Candidate(7, 3, 0.01, 0.05), Candidate(8, 4, 0.01, 0.005)
    view = offload_view(slow, fast, hosts=False, waiting=0)
    assert algorithms.algorithm_2(view, Dice(0.0, 0.0)) == Offload(8, "least")


def test_a_busy_worker_that_cannot_compute_it_may_hold_it_back() -> None:
    view = offload_view(Candidate(7, 9, 0.01, 0.0), hosts=False)
    assert algorithms.algorithm_2(view, Dice()) == Wait()
    assert algorithms.algorithm_2(offload_view(hosts=False, waiting=0), Dice()) == Wait()


# --- alternatives ---------------------------------------------------------------------------------


A, B = Candidate(1, 3, 0.01, 0.0), Candidate(2, 2, 0.01, 0.0)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [(0.0, Offload(1, "random")), (0.34, Offload(2, "random")), (0.67, Keep("random"))],
)
def test_random(draw: float, expected: object) -> None:
    assert algorithms.uniformly_random(offload_view(A, B), Dice(draw)) == expected


def test_round_robin_takes_turns() -> None:
    taken = [algorithms.round_robin(offload_view(A, B, turn=t), Dice()) for t in range(4)]
    assert taken == [Offload(1, "turn"), Offload(2, "turn"), Keep("turn"), Offload(1, "turn")]


def test_join_shortest_queue() -> None:
    assert algorithms.join_shortest_queue(offload_view(A, B), Dice()) == Offload(2, "shortest")
    assert algorithms.join_shortest_queue(offload_view(A, B, waiting=2), Dice()) == Keep("shortest")
    remote = offload_view(A, B, waiting=0, hosts=False)
    assert algorithms.join_shortest_queue(remote, Dice()) == Offload(2, "shortest")


def test_the_pipeline_has_no_choice() -> None:
    assert algorithms.to_the_host(offload_view(A), Dice()) == Keep("host")
    assert algorithms.to_the_host(offload_view(A, hosts=False), Dice()) == Offload(1, "host")


@pytest.mark.parametrize("name", SCHEMES)
def test_no_policy_sends_without_a_candidate(name: str) -> None:
    scheme = SCHEMES[name]
    assert scheme.offload(offload_view(hosts=False), Dice(0.0)) == Wait()


# --- algorithms 3 and 4 --------------------------------------------------------------------------

GAINS = Gains(queue_low=10, queue_high=30, alpha=0.2, beta=0.1, zeta=0.2)


@pytest.mark.parametrize(
    ("queued", "expected"),
    [(0, 0.08), (9, 0.08), (10, 0.09), (29, 0.09), (30, 0.12), (100, 0.12)],
)
def test_interarrival(queued: int, expected: float) -> None:
    assert adapt_interarrival(0.1, queued, GAINS) == pytest.approx(expected)


def test_interarrival_stays_above_its_floor() -> None:
    assert adapt_interarrival(1e-6, 0, GAINS) == 1e-6


@pytest.mark.parametrize(
    ("queued", "threshold", "expected"),
    [
        (9, 0.5, 0.6),
        (9, 0.9, 1.0),  # at most 1
        (10, 0.5, 0.55),
        (29, 0.95, 1.0),
        (30, 0.5, 0.4),
        (30, 0.12, 0.1),  # at least T_e_min
    ],
)
def test_threshold(queued: int, threshold: float, expected: float) -> None:
    assert adapt_threshold(threshold, queued, GAINS, lowest=0.1) == pytest.approx(expected)


# --- one threshold per exit ----------------------------------------------------------------------


def test_a_curve_comes_back_to_what_was_calibrated() -> None:
    """To "every exit closed" and back, where algorithm 4 on each exit would make all equal."""
    given = (0.9, 0.6, 0.75, 0.0)
    curve = ThresholdCurve.through(given)
    assert curve.at(curve.start, 0.05) == pytest.approx(given)
    severity = curve.start
    for _ in range(20):
        severity = adapt_threshold(severity, 0, GAINS, 0.05)
    assert curve.at(severity, 0.05) == (1.0, 1.0, 1.0, 0.0)
    middle = curve.at(0.7, 0.05)
    assert middle[0] > middle[2] > middle[1]
    assert min(curve.at(0.05, 0.05)[:3]) == 0.05
    assert curve.at(curve.start, 0.05) == pytest.approx(given)


def test_equal_thresholds_move_as_one() -> None:
    curve = ThresholdCurve.through((0.8,) * 5)
    assert curve.at(0.8 * 1.2 * 0.8, 0.05) == (0.8 * 1.2 * 0.8,) * 5


@pytest.mark.parametrize("given", [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0)])
def test_exits_that_are_closed_or_open_stay_so(given: tuple[float, ...]) -> None:
    assert ThresholdCurve.through(given).at(0.3, 0.05) == given


def test_a_threshold_of_1_closes_an_exit() -> None:
    """A 32-bit softmax of 1.0 is not certainty."""
    assert not leaves(1, 1.0, (1.0, 0.5, 0.5), True)
    assert leaves(2, 1.0, (1.0, 0.5, 0.5), True)
    assert leaves(3, 0.0, (1.0, 1.0, 1.0), True)
