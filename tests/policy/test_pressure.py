"""What links, engines and the source gain by prices, figure by figure."""

from __future__ import annotations

from mdibench.policy.pressure import NEARER, HopView, block_pressure, hop_pressure, result_pressure

HOP = HopView(
    fall=4.0,
    here_s=0.010,
    there_s=0.010,
    cost_s=0.002,
    hosted_here=True,
    hosted_there=True,
    own_work_s=0.0,
    its_work_s=0.0,
    outward=True,
    hops=0,
)
PER_S = 100.0


def test_a_hop_between_hosts_pays_for_its_time_and_the_threshold() -> None:
    assert hop_pressure(HOP, PER_S, threshold=1.0) == 4.0 - 0.2 - 1.0


def test_less_work_there_makes_a_hop_worth_more() -> None:
    busy_here = HOP._replace(own_work_s=0.03)
    assert hop_pressure(busy_here, PER_S, 1.0) - hop_pressure(HOP, PER_S, 1.0) == 3.0


def test_a_hop_back_toward_the_source_costs_more_with_every_hop_before() -> None:
    back = HOP._replace(outward=False, hops=2)
    assert hop_pressure(back, PER_S, 1.0) == 4.0 - 0.2 - 3.0


def test_a_task_that_cannot_be_computed_here_is_drawn_nearer_to_a_host() -> None:
    relayed = HOP._replace(hosted_here=False, here_s=0.012, fall=0.0)
    assert hop_pressure(relayed, PER_S, threshold=9.0) == NEARER
    busy = relayed._replace(its_work_s=0.02)
    assert hop_pressure(busy, PER_S, 9.0) == NEARER - 2.0


def test_a_host_gives_a_task_to_a_relay_only_at_a_high_price() -> None:
    relay = HOP._replace(hosted_there=False)
    assert hop_pressure(relay, PER_S, 0.0) == 4.0 - 0.2 - NEARER


def test_there_and_back_never_gains_twice() -> None:
    """With equal biases, what a hop gains its reverse loses: tasks do not go round in circles."""
    for hosted_here, hosted_there in ((True, True), (True, False), (False, True)):
        there = HOP._replace(hosted_here=hosted_here, hosted_there=hosted_there, fall=0.0)
        there = there._replace(there_s=0.010 if hosted_there else 0.012)
        there = there._replace(here_s=0.010 if hosted_here else 0.012)
        back = there._replace(
            hosted_here=hosted_there,
            hosted_there=hosted_here,
            here_s=there.there_s,
            there_s=there.here_s,
        )
        assert hop_pressure(there, PER_S, 1.0) + hop_pressure(back, PER_S, 1.0) < 0


def test_a_result_goes_home_even_where_more_of_them_wait() -> None:
    assert result_pressure(-3.0, nearer_s=0.002, cost_s=0.002, per_s=PER_S) == NEARER - 3.0
    assert result_pressure(1.0, nearer_s=0.0, cost_s=0.002, per_s=PER_S) == 1.0 - 0.2


def test_computing_pays_by_the_fall_of_the_price_that_it_causes() -> None:
    assert block_pressure(10.0, 8.0, 4.0, goes_on=0.5, bias=1.0) == 10.0 - 4.0 - 2.0 + 1.0
