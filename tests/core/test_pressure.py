"""Scheme ``pressure``: its messages, its admission, and how near it comes to the bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.core.events import Presence
from mdibench.core.pricing import Distances, PricedLink, cheapest
from mdibench.core.records import State, Task
from mdibench.core.rows import Row
from mdibench.core.wire import HEADER_BYTES, MAX_PRICED_EXITS, MessageKind, pack, unpack
from mdibench.errors import WireError
from mdibench.network.plan import Link
from mdibench.policy.pressure import HopWorth, PressureParameters
from mdibench.simulation.world import SILENT, World
from tests.core.test_conservation import check_conservation
from tests.worlds import Ran, Spec, build, full, run

NARROW = Link(1e6, 0.002)
"""A tenth of the links below."""
halves = st.floats(0, 65504, width=16) | st.just(float("inf"))


@given(st.integers(1, MAX_PRICED_EXITS), st.data())
def test_prices_travel_in_the_header(exits: int, data: st.DataObject) -> None:
    prices = tuple(data.draw(st.lists(halves, min_size=2 * exits + 3, max_size=2 * exits + 3)))
    task = Task(item=7, block=exits, path=tuple(range(exits)))
    state = State(3, 0.25, 9, prices)
    buffer = bytearray(HEADER_BYTES)
    pack(buffer, MessageKind.TASK, state, task)
    message = unpack(buffer, HEADER_BYTES)
    assert (message.state, message.body.path) == (state, task.path)  # type: ignore[union-attr]


def test_a_price_beyond_half_floats_is_the_largest() -> None:
    buffer = bytearray(HEADER_BYTES)
    pack(buffer, MessageKind.STATE, State(0, 0.0, 0, (1e9,)))
    assert unpack(buffer, HEADER_BYTES).state.prices == (65504.0,)


def test_a_negative_price_is_refused() -> None:
    buffer = bytearray(HEADER_BYTES)
    pack(buffer, MessageKind.STATE, State(0, 0.0, 0, (-1.0,)))
    with pytest.raises(WireError, match="price"):
        unpack(buffer, HEADER_BYTES)


def line_of_three(price: int = 20, **source: object) -> Spec:
    """0 - 1 - 2, where only the ends compute: everything for the last block is relayed."""
    return Spec(
        hosts=[frozenset({1}), frozenset(), frozenset({2, 3})],
        edges=[(0, 1), (1, 0), (1, 2), (2, 1)],
        scheme="pressure",
        link=Link(1e7, 0.002),
        source={"mode": "offline", "items": None, "warmup_s": 4.0, "duration_s": 20.0, **source},
        worker={
            "offers_raw": True,
            "trace": 0.0,
            "early_exit": False,
            "pressure": PressureParameters(admission_price=price),
        },
    )


def sustained_per_s(spec: Spec) -> float:
    """Items completed in the measured window, per second."""
    ran = run(spec)
    check_conservation(ran)
    start_s, end_s = ran.source.window_s
    done = [row["completed_s"] for row in ran.table("items") if row["completed_s"] is not None]
    return sum(start_s <= at_s < end_s for at_s in done) / (end_s - start_s)  # type: ignore[operator]


def bound_per_s(spec: Spec, changed: Mapping[tuple[int, int], Link] | None = None) -> float:
    pytest.importorskip("scipy", reason="the bound is a linear program of scipy")
    from mdibench.bounds.capacity import Demand, Fleet, capacity

    sizes = [192.0, 4192.0, 4192.0]
    fleet = Fleet(spec.hosts, dict.fromkeys(spec.edges, spec.link) | dict(changed or {}))
    times = [[spec.block_s] * 3 for _ in spec.hosts]
    return capacity(fleet, Demand(times, [1.0, 1.0, 0.0], {"none": sizes}, 192.0, False)).rate_per_s


def test_steps_tell_the_prices_that_decided() -> None:
    """A lone item's price is 1, and 0 elsewhere; biases lower what it is compared with.

    A block's time is worth 1 as long as none was measured, each block before it 4, and so is a hop
    to the only host.
    """
    base = line_of_three(items=1, warmup_s=0.0)
    spec = replace(
        base, hosts=[frozenset({1}), frozenset({2, 3})], edges=[(0, 1), (1, 0)],
        worker={**base.worker, "trace": 1.0},
    )  # fmt: skip
    steps = run(spec).table("steps")
    assert [(row["kind"], row["block"], row["price"], row["next_price"]) for row in steps] == [
        ("compute", 1, 1, -1.0),
        ("send", 2, 1, -4.0),
        ("compute", 2, 1, -5.0),
        ("compute", 3, 1, -9.0),
    ]


@pytest.mark.slow
def test_relays_carry_a_line_to_its_bound() -> None:
    spec = line_of_three()
    assert sustained_per_s(spec) >= 0.97 * bound_per_s(spec)


@pytest.mark.slow
def test_hosts_forward_what_they_could_compute() -> None:
    """A line of hosts: raw items get beyond the source's only neighbour."""
    spec = replace(line_of_three(), hosts=[frozenset({1, 2, 3})] * 3)
    bound = bound_per_s(spec)
    assert sustained_per_s(spec) >= 0.97 * bound
    assert bound == pytest.approx(100.0)


@pytest.mark.slow
def test_long_messages_do_not_take_the_source_s_links_from_short_ones() -> None:
    """A grid that its source feeds by two links: raw items are short, feature maps 22 times longer.

    The bound sends raw items alone by these links.
    """
    side = range(4)
    edges = [(4 * y + x, 4 * y + x + 1) for y in side for x in side[:-1]]
    edges += [(4 * y + x, 4 * y + x + 4) for y in side[:-1] for x in side]
    spec = replace(
        line_of_three(fetch=lambda sample: (None, 0), warmup_s=0.6, duration_s=0.6),
        hosts=[frozenset({1, 2, 3})] * 16,
        edges=[edge for n, m in edges for edge in ((n, m), (m, n))],
        link=Link(2.8e6, 0.002),
        block_s=0.001,
    )
    assert sustained_per_s(spec) >= 0.95 * bound_per_s(spec)


@pytest.mark.slow
def test_no_task_waits_long_at_a_worker_that_cannot_compute_it() -> None:
    """In a full mesh nothing needs a relay, and a few items in flight fill no line of any."""
    base = line_of_three(max_in_flight=12, duration_s=3.0, warmup_s=1.0)
    pair, relays = [frozenset({1, 2, 3})] * 2, [frozenset[int]()] * 3
    ran = run(replace(base, hosts=pair + relays, edges=full(5)))
    latencies = [row["latency_s"] for row in ran.table("items")]
    assert max(latencies) <= 0.6  # type: ignore[type-var,operator]  # four rounds of the 12 items take 0.64 s


def test_a_relay_s_price_is_that_of_the_next_hop_and_its_own_line() -> None:
    links = [PricedLink(frozenset({0}), 2, 1) for _ in range(2)]
    assert cheapest(links, 0) == 0.0  # of neither a price is known
    for link, price in zip(links, (7.0, 5.0), strict=True):
        link.prices[0] = price
    assert cheapest(links, 0) == 5.0
    links[1].prices[0] = -3.0
    assert cheapest(links, 0) == 0.0


def heard_link(every_s: float = 0.01, each: int = 4, times: int = 50) -> PricedLink:
    """Its end told ``times`` times, every ``every_s``, that it had counted ``each`` messages more.

    It told a length of 7 and no work. Nothing is on the way when it tells.
    """
    link = PricedLink(frozenset({0}), 2, 1)
    link.value_hops([HopWorth(0.0)] * 2)
    for count in range(times):
        for _ in range(each):
            link.note_sent(0, count * every_s)
        told = (7.0, 0.0, 0.0, 0.0, 0.0)
        link.hear(State(0, 0.0, each * (count + 1), told), (count + 1) * every_s)
        link.reprice(200.0, (count + 1) * every_s)
    return link


def test_messages_that_a_neighbour_deals_with_before_it_tells_do_not_raise_its_price() -> None:
    """It counted 400 a second: four in 10 ms, whatever burst they were sent in."""
    link, now = heard_link(), 0.51
    for _ in range(6):
        link.note_sent(0, now)
    assert link.prices[0] == pytest.approx(7.0 + 2, abs=0.1)
    link.count_unread(now + 0.01)
    assert link.prices[0] == 7.0


def test_a_neighbour_s_word_counts_for_more_than_its_pace() -> None:
    """It says that it has counted nothing of what was sent 10 ms ago."""
    link, now = heard_link(), 0.51
    for _ in range(6):
        link.note_sent(0, now - 0.01)
    link.hear(State(0, 0.0, 200, (7.0, 0.0, 0.0, 0.0, 0.0)), now)
    link.reprice(200.0, now)
    assert link.prices[0] == pytest.approx(7.0 + 6, abs=0.1)


def test_a_neighbour_that_starts_afresh_has_no_pace() -> None:
    link = heard_link()
    link.restart()
    link.value_hops([HopWorth(0.0)] * 2)
    link.hear(State(0, 0.0, 0, (7.0, 0.0, 0.0, 0.0, 0.0)), 1.0)
    link.note_sent(0, 1.0)
    link.reprice(200.0, 9.0)
    assert link.prices[0] == 8.0


def used_link(every_s: float = 1e-3, worth: float = 10.0) -> PricedLink:
    """It has taken 100 short messages of a millisecond, one in ``every_s``, each worth as much."""
    link = PricedLink(frozenset({0, 1}), 3, 1)
    link.transmission_s[1] = 0.02
    for count in range(100):
        link.note_sent(0, count * every_s)
        link.note_free(count * every_s + 1e-3, 0.2, 1)
        link.note_offer(worth / 1e-3)
    return link


def test_a_busy_link_waits_for_short_messages_that_gain_more() -> None:
    link = used_link()
    assert link.keeps_free(1, 50.0, 0.1)
    assert not link.keeps_free(1, 150.0, 0.1)


def test_a_busy_link_takes_any_short_message() -> None:
    assert not used_link().keeps_free(0, 0.1, 0.1)


def test_a_link_waits_no_longer_than_the_message_takes() -> None:
    assert not used_link().keeps_free(1, 50.0, 0.1201)


def test_a_link_that_short_messages_leave_idle_takes_a_long_one() -> None:
    """Whatever they gain: it will take them later."""
    assert not used_link(every_s=1e-2).keeps_free(1, 50.0, 1.0)


def test_a_link_with_time_to_spare_takes_a_long_message() -> None:
    """Nothing is left to send whenever it gets free."""
    assert not used_link(every_s=1e-2, worth=0.0).keeps_free(1, 1.0, 1.0)


@pytest.mark.parametrize(
    ("delay_s", "transmission_s", "messages"),
    [(0.02, 0.0, 5), (0.02, 0.02, 9), (0.02, 0.1, 15), (0.001, 0.0, 0.4)],
)
def test_a_slow_hop_costs_no_more_than_v_allows(
    delay_s: float, transmission_s: float, messages: float
) -> None:
    """Its delay V / 24; its time on the link, 200 tasks a second, as much as leaves it at V / 8."""
    distances = Distances([True], [1], at_source=True)
    link = PricedLink(frozenset({0}), 2, 1)
    link.delay_s, link.transmission_s[0] = delay_s, transmission_s
    link.hear(State(0, 0.0, 0, (0, 0, delay_s, delay_s, 0.0)), 0.0)
    distances.measure([link])
    parameters = PressureParameters(admission_price=120, threshold=0.0)
    assert distances.worth_of(link, parameters)[0].bias == pytest.approx(-messages)


@pytest.mark.slow
def test_the_gap_to_the_bound_shrinks_as_v_grows() -> None:
    hosts = [frozenset({1, 2, 3})] * 4
    gaps = []
    for price in (1, 2, 4, 8):
        spec = replace(line_of_three(price), hosts=hosts, edges=full(4), link=Link(1e7, 0.02))
        gaps.append(1 - sustained_per_s(spec) / bound_per_s(spec))
    for gap, less in pairwise(gaps):
        assert less <= max(gap / 2, 0.02)


@pytest.mark.slow
def test_the_source_admits_until_the_price_is_v() -> None:
    """Raw items at the source never exceed V, however many might be in flight."""
    spec = line_of_three(price=5, duration_s=2.0, warmup_s=1.0)
    ran = run(spec)
    worker = ran.world.parts.nodes[0].worker
    assert worker.input_queue.statistics().peak <= 5


@pytest.mark.slow
def test_arrivals_beyond_v_are_turned_away() -> None:
    spec = line_of_three(price=3, mode="fixed-rate", interarrival_s=0.001, duration_s=1.0)
    ran = run(spec)
    reasons = {row["reason"] for row in ran.table("items") if row["status"] == "dropped"}
    assert reasons == {"too many raw items wait"}
    check_conservation(ran)


@pytest.mark.slow
def test_a_task_that_wandered_too_far_is_computed_by_the_next_host() -> None:
    limit = PressureParameters(admission_price=50, hop_limit=1)
    base = line_of_three(duration_s=4.0)
    spec = replace(
        base, hosts=[frozenset({1, 2, 3})] * 4, edges=full(4),
        worker={**base.worker, "pressure": limit, "early_exit": True},
    )  # fmt: skip
    assert max(row["hops"] for row in run(spec).table("items")) == 1  # type: ignore[type-var]


@pytest.mark.slow
def test_queues_settle_at_the_prices_of_the_linear_program() -> None:
    """Of three equal blocks without exits, a task is worth the share of its work that is left."""
    price, samples = 60, 100
    spec = replace(line_of_three(price, duration_s=60.0), hosts=[frozenset({1, 2, 3})] * 3)
    world, _ = build(spec)
    sums = [[0.0] * 3 for _ in spec.hosts]
    for sample in range(samples):
        world.run(12.0 + 0.05 * sample)
        for own, node in zip(sums, world.parts.nodes, strict=True):
            for kind in range(3):
                own[kind] += node.worker.lengths[kind] / samples  # type: ignore[attr-defined]
    for own in sums:
        worth = [length - own[0] for length in own]
        assert worth == pytest.approx([0.0, -price / 3, -2 * price / 3], abs=price / 8)


def slow_down(world: World) -> None:
    world.slowness[2] = 4.0


def fail(world: World) -> None:
    world.replace_node(2, SILENT)


def narrow(world: World) -> None:
    for pair in ((0, 1), (1, 0)):
        world.parts.links[pair].link = NARROW


def rate_after_ten_seconds(world: World, rows: list[Row], change: Callable[[World], None]) -> float:
    """Completions per second from 10 to 14 s after the change; nothing is lost."""
    world.schedule(6.0, lambda: change(world))
    assert world.run(until_s=100.0)
    ran = Ran(world, rows)
    assert ran.source.totals.lost == 0
    done = [row["completed_s"] for row in ran.table("items") if row["status"] == "ok"]
    return sum(16.0 <= at_s < 20.0 for at_s in done) / 4.0  # type: ignore[operator]


def four_workers() -> Spec:
    """Of 30 ms an item, all neighbours."""
    hosts = [frozenset({1, 2, 3})] * 4
    return replace(line_of_three(100, duration_s=16.0), hosts=hosts, edges=full(4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "workers_left"), [(slow_down, 3.25), (fail, 3.0)], ids=["slows by four", "fails"]
)
def test_the_rate_is_near_the_new_bound_after_ten_seconds(
    change: Callable[[World], None], workers_left: float
) -> None:
    rate = rate_after_ten_seconds(*build(four_workers()), change)
    assert rate >= 0.9 * workers_left / 0.03


@pytest.mark.slow
def test_a_worker_that_joins_is_used_fully_after_ten_seconds() -> None:
    world, rows = build(four_workers())
    newcomer = world.nodes[3]
    world.replace_node(3, SILENT)
    for neighbour in range(3):
        world.post(0.0, neighbour, Presence(3, here=False))

    def join(world: World) -> None:
        world.replace_node(3, newcomer)
        for neighbour in range(3):
            world.post(world.now, neighbour, Presence(3, here=True, fresh=True))

    assert rate_after_ten_seconds(world, rows, join) >= 0.9 * 4 / 0.03
    assert sum(world.nodes[3].worker.counters.exits) > 0  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_link_that_falls_to_a_tenth_carries_what_it_can_after_ten_seconds() -> None:
    """Every task of block 2 crosses it: 50 items a second become 30."""
    spec = line_of_three(20, duration_s=16.0)
    bound = bound_per_s(spec, {(0, 1): NARROW, (1, 0): NARROW})
    assert bound == pytest.approx(29.8, abs=0.1)
    assert rate_after_ten_seconds(*build(spec), narrow) >= 0.9 * bound
