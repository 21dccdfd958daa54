"""What links, engines and the source gain by prices, figure by figure."""

from __future__ import annotations

from dataclasses import replace

from mdibench.policy.pressure import (
    NEARER,
    HopView,
    HopWorth,
    block_pressure,
    hop_worth,
    result_bias,
)

HOP = HopView(
    here_s=0.010,
    there_s=0.010,
    cost_s=0.002,
    hosted_here=True,
    hosted_there=True,
    outward=True,
)
PER_S = 100.0


def test_a_hop_between_hosts_pays_for_its_time_and_the_threshold() -> None:
    assert hop_worth(HOP, PER_S, threshold=1.0).bias == -0.2 - 1.0


def test_less_work_there_makes_a_hop_worth_more() -> None:
    worth = hop_worth(HOP, PER_S, 1.0)
    assert (worth.own_work, worth.its_work) == (1, 1)
    worth = hop_worth(replace(HOP, hosted_there=False), PER_S, 1.0)
    assert (worth.own_work, worth.its_work) == (0, 0)


def test_a_hop_back_toward_the_source_costs_more_with_every_hop_before() -> None:
    assert hop_worth(HOP, PER_S, 1.0).toll == 0.0
    assert hop_worth(replace(HOP, outward=False), PER_S, 1.0).toll == 1.0


def test_a_task_that_cannot_be_computed_here_is_drawn_nearer_to_a_host() -> None:
    relayed = replace(HOP, hosted_here=False, here_s=0.012)
    assert hop_worth(relayed, PER_S, threshold=9.0) == HopWorth(NEARER, its_work=1)
    further = replace(relayed, hosted_there=False)
    assert hop_worth(further, PER_S, 9.0) == HopWorth(NEARER)


def test_a_host_gives_a_task_to_a_relay_only_at_a_high_price() -> None:
    relay = replace(HOP, hosted_there=False)
    assert hop_worth(relay, PER_S, 0.0).bias == -0.2 - NEARER


def test_there_and_back_never_gains_twice() -> None:
    """With equal prices, what a hop gains its reverse loses: tasks do not go round in circles."""
    for hosted_here, hosted_there in ((True, True), (True, False), (False, True)):
        here_s, there_s = (0.010 if hosted else 0.012 for hosted in (hosted_here, hosted_there))
        there = HopView(here_s, there_s, 0.002, hosted_here, hosted_there, outward=True)
        back = HopView(there_s, here_s, 0.002, hosted_there, hosted_here, outward=False)
        assert hop_worth(there, PER_S, 1.0).bias + hop_worth(back, PER_S, 1.0).bias < 0


def test_a_result_goes_home_even_where_more_of_them_wait() -> None:
    assert result_bias(nearer_s=0.002, cost_s=0.002, per_s=PER_S, threshold=1.0) == NEARER


def test_a_result_does_not_wander_between_equals() -> None:
    """One more of them here than there pays for no hop that leads no nearer."""
    assert result_bias(nearer_s=0.0, cost_s=0.002, per_s=PER_S, threshold=1.0) == -1.2


def test_computing_pays_by_the_fall_of_the_price_that_it_causes() -> None:
    assert block_pressure(10.0, 8.0, 4.0, goes_on=0.5, bias=1.0) == 10.0 - 4.0 - 2.0 + 1.0
