"""The post office: what goes in at one rank comes out at the other, checked, timed and counted."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from mdibench.core.events import (
    Arrived,
    Cancelled,
    Delivered,
    LinkFree,
    Refused,
    Suspected,
    ThresholdsSet,
)
from mdibench.core.records import Result, State, Task
from mdibench.core.wire import HEADER_BYTES, MessageKind
from mdibench.errors import WireError
from mdibench.network.plan import Link
from mdibench.transport.links import LinkClock
from mdibench.transport.post_office import Mail, PostOffice
from tests.transport.fakes import Clock, FakeEndpoint, connect

STATE = State(3, 0.01, 2)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def offices(clock: Clock, link: Link) -> tuple[PostOffice, PostOffice]:
    """Two connected post offices."""
    here, there = connect(2)
    return (
        PostOffice(here, {1: LinkClock(link)}, lambda: 0.5, clock),
        PostOffice(there, {0: LinkClock(link)}, lambda: 0.5, clock),
    )


def a_task(payload: np.ndarray) -> Task:
    return Task(5, 2, payload, payload.nbytes, prediction=1, streak=1, path=(0,), hops=1)


def test_a_tensor_crosses_and_is_timed(clock: Clock) -> None:
    here, there = offices(clock, Link())
    features = np.random.default_rng(1).normal(size=(4, 3, 3)).astype(np.float32)
    here.send(1, STATE, a_task(features))
    (arrived,) = there.poll()
    assert isinstance(arrived, Arrived)
    assert (arrived.sender, arrived.state) == (0, STATE)
    assert isinstance(arrived.body, Task)
    assert np.array_equal(arrived.body.payload, features)
    assert arrived.body.payload_bytes == features.nbytes
    assert arrived.body.wire_bytes == HEADER_BYTES + features.nbytes
    clock.now = 0.25
    assert here.poll() == [LinkFree(1), Delivered(1, 0.25)]
    assert here.traffic.sent_bytes == there.traffic.received_bytes == HEADER_BYTES + features.nbytes


def test_an_emulated_link_frees_itself_and_delivers_later(clock: Clock) -> None:
    features = np.zeros(100, np.float32)
    size = HEADER_BYTES + 400
    here, there = offices(clock, Link(bandwidth_bps=8 * size, delay_s=0.5))  # one message a second
    here.send(1, STATE, a_task(features))
    here.send(1, STATE, a_task(features))
    clock.now = 0.99
    assert here.poll() == []
    clock.now = 1.0
    assert here.poll() == [LinkFree(1)]
    assert there.poll() == []
    clock.now = 1.5
    assert here.poll() == [Delivered(1, 1.5)]
    assert len(there.poll()) == 1
    clock.now = 2.5
    assert here.poll() == [LinkFree(1), Delivered(1, 2.5)]
    assert here.next_due() == float("inf")


def test_results_states_and_control_cross(clock: Clock) -> None:
    here, there = offices(clock, Link())
    result = Result(4, 2, 7, 0.9, 0.8, (0, 1), 1, 0)
    here.send(1, STATE, result)
    here.send(1, STATE, None)
    here.announce((0.5, 0.6))
    here.report_suspect(3, ((8, 0), (9, 1)))
    first, second, third = there.poll()
    assert isinstance(first, Arrived) and isinstance(first.body, Result)
    assert (first.body.item, first.body.wire_bytes) == (4, HEADER_BYTES)
    assert second == Arrived(0, STATE, None)
    assert third == ThresholdsSet((0.5, 0.6))
    to_self = here.poll()
    assert to_self == [Suspected(3, ((8, 0), (9, 1)))]


def test_invalid_messages_are_counted_and_refused(clock: Clock) -> None:
    here, there = offices(clock, Link())
    endpoint = there.endpoint
    assert isinstance(endpoint, FakeEndpoint)
    endpoint.inbox.append((0, np.zeros(1 << 16, np.uint8), 500))
    here.send(1, STATE, None)
    assert there.poll() == [Arrived(0, STATE, None)]
    assert there.traffic.refused == 1


def test_a_payload_that_does_not_fit_its_layout_is_refused(clock: Clock) -> None:
    here, there = offices(clock, Link())
    here.send(1, STATE, a_task(np.zeros(4, np.float32)))
    endpoint = there.endpoint
    assert isinstance(endpoint, FakeEndpoint)
    endpoint.inbox[0][1][12] = 5  # shape (4,) becomes (5,)
    (event,) = there.poll()
    assert isinstance(event, Refused)  # its sender and the source can be told
    assert there.traffic.refused == 1


def test_a_buffer_returns_to_the_pool_when_its_tensor_dies(clock: Clock) -> None:
    here, there = offices(clock, Link())
    here.send(1, STATE, a_task(np.ones(8000, np.float32)))
    (arrived,) = there.poll()
    assert isinstance(arrived, Arrived) and isinstance(arrived.body, Task)
    view = arrived.body.payload[None]
    pool = there.endpoint.pool
    free = len(pool._free)
    del arrived
    gc.collect()
    assert len(pool._free) == free
    assert view.sum() == 8000
    del view
    gc.collect()
    assert len(pool._free) == free + 1


@pytest.mark.parametrize("elements", [8, 6_000])
@pytest.mark.parametrize("strided", [False, True])
def test_a_feature_map_of_any_size_arrives(clock: Clock, elements: int, strided: bool) -> None:
    here, there = offices(clock, Link())
    values = np.random.default_rng(1).random((elements, 2), np.float32)
    features = values.T if strided else values
    here.send(1, STATE, a_task(features))
    (arrived,) = there.poll()
    assert np.array_equal(arrived.body.payload, features)
    assert arrived.body.wire_bytes == HEADER_BYTES + features.nbytes


@pytest.mark.parametrize(("elements", "codec"), [(8, "none"), (8000, "fp16"), (8000, "int8")])
def test_a_buffer_is_free_at_once_where_the_feature_map_has_its_own_memory(
    clock: Clock, elements: int, codec: str
) -> None:
    here, there = offices(clock, Link(codec=codec))
    here.send(1, STATE, a_task(np.ones(elements, np.float32)))
    (arrived,) = there.poll()
    assert len(there.endpoint.pool._free) == 1
    assert np.allclose(arrived.body.payload, 1)


def test_control_that_is_too_large_is_an_error_of_the_sender(clock: Clock) -> None:
    here, _ = offices(clock, Link())
    with pytest.raises(WireError, match="too large"):
        here.control(1, MessageKind.TELEMETRY, bytes(1 << 17))


def test_mail_is_handed_on(clock: Clock) -> None:
    here, there = offices(clock, Link())
    here.control(1, MessageKind.FAILURE, b"why", 7)
    assert there.poll() == [Mail(0, MessageKind.FAILURE, b"why", 7)]


def test_a_message_that_was_overtaken_does_not_bring_back_an_older_state(clock: Clock) -> None:
    here, there = offices(clock, Link())
    here.send(1, State(40, 0.01, 2), a_task(np.zeros(4, np.float32)))
    here.send(1, State(0, 0.01, 2), None)
    endpoint = there.endpoint
    assert isinstance(endpoint, FakeEndpoint)
    endpoint.inbox.reverse()  # the long one is complete after the short one
    states = [event.state for event in there.poll() if isinstance(event, Arrived)]
    assert states == [State(0, 0.01, 2)] * 2


def test_what_fits_neither_the_topology_nor_the_network_is_refused(clock: Clock) -> None:
    ends = connect(3)
    everyone = [
        PostOffice(end, {m: LinkClock(Link()) for m in range(3)}, lambda: 0.5, clock)
        for end in ends
    ]
    careful = PostOffice(ends[0], {1: LinkClock(Link())}, lambda: 0.5, clock, exits=3)
    far = Task(5, 4, np.zeros(2, np.float32), 8)
    everyone[1].send(0, STATE, far)  # block 4 of 3
    everyone[1].send(0, STATE, Result(5, 9, 1, 0.5, 0.5))
    everyone[1].announce((0.5, 0.5))
    everyone[2].send(0, STATE, a_task(np.zeros(2, np.float32)))  # no neighbour of 0
    everyone[2].send(0, STATE, None)
    assert careful.poll() == [Refused(1, (5, 0))]
    assert careful.traffic.refused == 5
    free = careful.endpoint.pool._free
    assert len({id(buffer) for buffer in free}) == len(free)  # none was given back twice


def test_items_are_cancelled_on_every_other_rank(clock: Clock) -> None:
    ends = connect(3)
    posts = [PostOffice(end, {}, lambda: 0.5, clock) for end in ends]
    posts[0].cancel((4, 7))
    assert [post.poll() for post in posts] == [[], [Cancelled((4, 7))], [Cancelled((4, 7))]]


def test_only_the_source_gives_and_takes_control(clock: Clock) -> None:
    ends = connect(3)
    posts = [PostOffice(end, {}, lambda: 0.5, clock) for end in ends]
    posts[1].cancel((4,))
    posts[1].announce((0.5,))
    posts[0].control(1, MessageKind.SUSPECT, bytes(16), 2)
    assert [post.poll() for post in posts] == [[], [], []]
    assert [post.traffic.refused for post in posts] == [2, 1, 2]
