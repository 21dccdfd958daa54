"""What a worker of scheme ``pressure`` knows of its links, and how far tasks are from the finish.

Kinds count from 0: kind k - 1 are tasks of block k, the last kind are results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import inf

from mdibench.core.neighbours import smoothed
from mdibench.core.queues import BlockQueue
from mdibench.core.records import State
from mdibench.policy.pressure import (
    PROGRESS,
    WORK_LIMIT,
    HopView,
    HopWorth,
    PressureParameters,
    block_pressure,
    hop_worth,
    result_bias,
)

USUAL_BLOCK_S = 0.005
"""Stands in for block times as long as none was measured here."""
USUAL_HOP_S = 0.001
"""Stands in for a link's delay as long as none was measured."""
LONGEST_WINDOW = 256
"""Most messages that a link gets in advance, whatever was measured of it."""
TRANSIT_WEIGHT = 0.05
"""Weight of a new value in the usual number of messages on the way."""
PACE_S = 0.1
"""Time over which the messages that m counts in a second are averaged."""
NOTABLE_LENGTH = 0.05
NOTABLE_WAY = 0.1
"""Relative changes of a price and of a distance that neighbours are told of."""
GAIN_WEIGHT = 0.05
"""Weight of a new value in what a link's time usually gains."""
SHORT = 2.0
"""Messages that take up to so many times the usual time are short."""
SHORT_WEIGHT = 0.005
"""Weight of a new value in the share of a link's time that short messages take."""
SHORT_SHARE = 0.3
"""A link of which they take less has time for long ones."""
KEPT = 0.5
"""A long message must gain this part of what the link usually gains in the time that it takes."""
NO_WAY = HopWorth(-inf)


class PricedLink:
    """One neighbour m, as seen from worker n.

    ``lengths[k]`` and ``ways_s[k]`` are the messages of kind k at m and their distance to the
    finish from there, as m last told; ``unread[k]`` are those that n sent and m had not counted.
    ``prices[k]`` is what the price of kind k at n must exceed: the price at m, less what the hop
    is worth otherwise. Of ``unread``, those do not count that are always on the way, as many as the
    link's bandwidth-delay product at its rate, nor those that m usually counts in the time since it
    last told: m deals with as many in that time. What m tells may wait for long behind other
    messages. If all of them counted until then, m would look crowded after every burst.
    """

    __slots__ = (
        "_acknowledged",
        "_booked",
        "_counted_s",
        "_elapsed_s",
        "_empty_prices",
        "_freed",
        "_gain_per_s",
        "_heard_s",
        "_last_free_s",
        "_pace_per_s",
        "_short_s",
        "_shortest_s",
        "_spacing_s",
        "_transit",
        "_unread_kinds",
        "_unsent",
        "_with_link",
        "aged_from_s",
        "biases",
        "came",
        "delay_s",
        "hosts",
        "its_work",
        "lengths",
        "own_work",
        "prices",
        "told",
        "tolls",
        "transmission_s",
        "unread",
        "usual_s",
        "ways_s",
        "window",
        "work_s",
    )

    def __init__(self, hosts: frozenset[int], kinds: int, window: int) -> None:
        self.hosts = hosts
        """Kinds that m can compute."""
        self.window = window
        self.transmission_s = [0.0] * kinds
        """Seconds that the link takes for a message of each kind; 0 where nothing is known."""
        self._unsent = set(range(kinds))
        self.delay_s = 0.0
        self.came = (-inf, 0)
        """When the newest task came from m, and its kind: none goes back at that very instant.

        Distances are told when they changed enough, so that n and m may each take the other for
        nearer. Over links that take no time, a task would go to and fro for ever.
        """
        self._with_link: deque[tuple[int, float]] = deque()
        self._booked: deque[float] = deque()
        self._last_free_s = -inf
        self._shortest_s = inf
        self._spacing_s = 0.0
        self.usual_s = 0.0
        """Time that the link takes for a message, over all kinds."""
        self.aged_from_s = 0.0
        """When it may take a message out of turn again."""
        self._gain_per_s = self._short_s = self._elapsed_s = 0.0
        self._freed = False
        self.restart()

    def restart(self) -> None:
        """Forget what m told and was sent: it starts afresh. What the link carries still counts."""
        kinds = len(self.transmission_s)
        self.lengths: tuple[float, ...] = (0.0,) * kinds
        self.ways_s: tuple[float, ...] = (inf,) * kinds
        self.work_s = 0.0
        self.unread = [0] * kinds
        self._transit = [0.0] * kinds
        self._pace_per_s = [0.0] * kinds
        self._heard_s = self._counted_s = 0.0
        self.value_hops([NO_WAY] * kinds)
        self._empty_prices = self.prices = [inf] * kinds
        """``_empty_prices`` are those with nothing unread."""
        self.told: tuple[float, ...] = ()
        """What n last told m."""
        self._unread_kinds: deque[int] = deque()
        self._acknowledged = 0

    def value_hops(self, worth: Sequence[HopWorth]) -> None:
        """Take what a hop of each kind is worth beyond the fall of the price, a column a field."""
        self.biases = [hop.bias for hop in worth]
        self.own_work = [hop.own_work for hop in worth]
        self.its_work = [hop.its_work for hop in worth]
        self.tolls = [hop.toll for hop in worth]

    def hear(self, state: State, now: float) -> bool:
        """Take m's prices; whether they are news."""
        new = state.received - self._acknowledged
        if not state.prices or new < 0:
            return False
        kinds = len(self.unread)
        self.lengths = state.prices[:kinds]
        self.ways_s = state.prices[kinds:-1]
        self.work_s = state.prices[-1]
        self._acknowledged = state.received
        self._heard_s = now
        if new:
            self._note_counted(min(new, len(self._unread_kinds)), now)
        return True

    def _note_counted(self, messages: int, now: float) -> None:
        """m has counted the oldest ``messages`` of those that were sent."""
        unread, kinds_sent = self.unread, self._unread_kinds
        counted = [0] * len(unread)
        for _ in range(messages):
            kind = kinds_sent.popleft()
            unread[kind] -= 1
            counted[kind] += 1
        self._transit = [
            usual + TRANSIT_WEIGHT * (count - usual)
            for usual, count in zip(self._transit, unread)  # noqa: B905 - costs 0.1 µs
        ]
        elapsed_s = now - self._counted_s
        if elapsed_s > 0.0:
            weight = min(elapsed_s / PACE_S, 1.0)
            self._pace_per_s = [
                per_s + weight * (count / elapsed_s - per_s)
                for per_s, count in zip(self._pace_per_s, counted)  # noqa: B905 - costs 0.1 µs
            ]
            self._counted_s = now

    def reprice(self, per_s: float, now: float) -> None:
        """Work out ``prices`` after m was heard; ``per_s`` are the tasks of a second's work."""
        work = per_s * self.work_s
        self._empty_prices = [
            length - bias + its_work * work
            for length, bias, its_work in zip(self.lengths, self.biases, self.its_work)  # noqa: B905
        ]
        self.count_unread(now)

    def count_unread(self, now: float) -> None:
        """Add to the prices what is unread and not usual: less, the older m's last word is."""
        age_s = now - self._heard_s
        self.prices = [
            price + max(count - usual - pace * age_s, 0.0) if count else price
            for price, count, usual, pace in zip(  # noqa: B905
                self._empty_prices, self.unread, self._transit, self._pace_per_s
            )
        ]

    def note_sent(self, kind: int, now: float) -> None:
        """A message of ``kind`` is handed to the link."""
        self.unread[kind] += 1
        usual = self._transit[kind] + self._pace_per_s[kind] * (now - self._heard_s)
        self.prices[kind] = self._empty_prices[kind] + max(self.unread[kind] - usual, 0.0)
        self._unread_kinds.append(kind)
        self._with_link.append((kind, now))

    def note_free(self, now: float, weight: float, usual_window: int) -> None:
        """The link took its oldest message in full: how long that took, and what fits in it."""
        kind, handed_s = self._with_link.popleft()
        taken_s = now - max(handed_s, self._last_free_s)
        if kind in self._unsent:
            self._unsent.remove(kind)
            self.transmission_s[kind] = 0.0
        self.transmission_s[kind] = smoothed(self.transmission_s[kind], taken_s, weight)
        self._booked.append(now - handed_s)
        if self._last_free_s > handed_s:
            self._spacing_s = smoothed(self._spacing_s, taken_s, weight)
        self.usual_s = smoothed(self.usual_s, taken_s, GAIN_WEIGHT)
        if self._last_free_s > -inf:
            short_s = taken_s if taken_s <= SHORT * self.usual_s else 0.0
            self._short_s += SHORT_WEIGHT * (short_s - self._short_s)
            self._elapsed_s += SHORT_WEIGHT * (now - self._last_free_s - self._elapsed_s)
        self._last_free_s, self._freed = now, True
        if now - handed_s < self._shortest_s:
            self._shortest_s = now - handed_s
        if self._spacing_s:
            fits = int(2 * self._shortest_s / self._spacing_s)
            self.window = min(max(usual_window, fits), LONGEST_WINDOW)

    def note_offer(self, gain_per_s: float) -> None:
        """The most that a second of the link's time can gain by what waits now."""
        if self._freed:
            self._freed = False
            self._gain_per_s += GAIN_WEIGHT * (gain_per_s - self._gain_per_s)

    def keeps_free(self, kind: int, gain: float, now: float) -> bool:
        """Whether the link had better wait for more than a message of ``kind`` gains.

        While a long message is on it, the link gains nothing by short ones: one that is sent in the
        instant that no short one waits costs more than it gains where short ones need the link's
        time. The link waits no longer than the message would take.
        """
        if self._short_s < SHORT_SHARE * self._elapsed_s:
            return False
        seconds = self.transmission_s[kind]
        lost = KEPT * self._gain_per_s * (seconds - self.usual_s)
        return gain < lost and now - self._last_free_s < seconds

    def estimate(self, sizes: Sequence[int]) -> None:
        """Take the times of kinds never sent from their bytes and the largest message sent."""
        unsent, times_s = self._unsent, self.transmission_s
        if not unsent:
            return
        sent = [(sizes[kind], second) for kind, second in enumerate(times_s) if kind not in unsent]
        if sent:
            largest, seconds = max(sent)
            for kind in unsent:
                times_s[kind] = seconds * sizes[kind] / largest if largest else 0.0

    def note_delivered(self, seconds: float, weight: float) -> None:
        """The oldest message that left reached m, ``seconds`` after it was handed over."""
        if self._booked:
            travelled_s = max(seconds - self._booked.popleft(), 1e-6)
            self.delay_s = smoothed(self.delay_s, travelled_s, weight)

    def outdated(self, prices: Sequence[float], here_s: Sequence[float]) -> bool:
        """Whether m, which was told before, believes other prices or distances of n."""
        for now, then in zip(prices, self.told, strict=False):
            if now != then and abs(now - then) > NOTABLE_LENGTH * then:
                return True
        for now_s, then_s in zip(here_s, self.told[len(prices) :], strict=False):
            if now_s != then_s and _moved(now_s, then_s):
                return True
        return False

    def hop_s(self, kind: int) -> float:
        """Time of a hop, unloaded: the link is busy with the message, which then travels.

        Before any message was sent, the link counts as fast.
        """
        return (self.delay_s or USUAL_HOP_S) + self.transmission_s[kind]


def cheapest(links: Iterable[PricedLink], kind: int) -> float:
    """What a message of ``kind`` costs over the cheapest of ``links``; 0 without any."""
    least = min([link.prices[kind] for link in links], default=inf)
    return least if 0.0 < least < inf else 0.0


class Distances:
    """Distances of each kind to the finish, in seconds without waiting, and what they come from.

    ``here_s`` are told to neighbours. ``following[k]`` is the kind that a call which begins with
    kind k leaves behind.
    """

    def __init__(self, hosted: Sequence[bool], following: Sequence[int], at_source: bool) -> None:
        kinds = len(hosted)
        self.results = kinds
        self._hosted, self.following, self._at_source = hosted, following, at_source
        self.kinds = [kind for kind, here in enumerate(hosted) if here]
        """Kinds that are computed here."""
        self.here_s = [inf] * (kinds + 1)
        self.block_s = [0.0] * kinds
        """Mean time of one task; 0 where none was computed."""
        self.per_s = 1 / USUAL_BLOCK_S
        """η: tasks that this worker computes in a second."""
        self._computed = [0] * kinds
        self._gone_on = [0] * kinds
        self._own_s = [inf] * kinds
        self._via_s = [inf] * (kinds + 1)
        self.measure(())

    def note_computed(self, kind: int, tasks: int, one_s: float, weight: float) -> None:
        """``tasks`` of a kind were computed, each in ``one_s``."""
        self.block_s[kind] = smoothed(self.block_s[kind], one_s, weight)
        self._computed[kind] += tasks

    def note_gone_on(self, kind: int) -> None:
        """A task of a kind did not leave."""
        self._gone_on[kind] += 1

    def goes_on(self, kind: int) -> float:
        """q_k: the share of tasks that go on after the call; 1 where none was computed."""
        last = self.following[kind]
        if last == self.results:
            return 0.0
        return (self._gone_on[last - 1] + 1) / (self._computed[kind] + 1)

    def work_s(self, lengths: Sequence[int]) -> float:
        """Compute time of what is here, as far as it counts."""
        work_s, most_s = 0.0, WORK_LIMIT / self.per_s
        for kind in self.kinds:
            if lengths[kind]:
                work_s += lengths[kind] * self.block_s[kind]
                if work_s >= most_s:
                    return most_s
        return work_s

    def gain_of(self, kind: int, prices: Sequence[float], seconds: float) -> float:
        """How much ``prices`` fall when a task is computed in ``seconds``."""
        price, next_price = prices[kind], prices[self.following[kind]]
        bias = self.per_s * seconds + PROGRESS * kind
        return block_pressure(price, next_price, prices[self.results], self.goes_on(kind), bias)

    def best_block(self, queue: BlockQueue, prices: Sequence[float]) -> tuple[int | None, float]:
        """The waiting kind with most to gain per second of the engine, if any, and its gain."""
        best, most, fall = None, 0.0, 0.0
        for kind in self.kinds:
            if queue.lines[kind] or queue.staying[kind]:
                seconds = self.block_s[kind] or USUAL_BLOCK_S
                gain = self.gain_of(kind, prices, seconds)
                if gain / seconds > most:
                    best, most, fall = kind, gain / seconds, gain
        return best, fall

    def oldest_block(
        self, queue: BlockQueue, prices: Sequence[float], before_s: float
    ) -> tuple[int | None, float]:
        """The kind that waits longest, since before ``before_s``, with its gain, if it has one."""
        oldest, fall = None, 0.0
        for kind in self.kinds:
            if (since_s := queue.oldest_s(kind)) < before_s:
                gain = self.gain_of(kind, prices, self.block_s[kind] or USUAL_BLOCK_S)
                if gain > 0.0:
                    oldest, fall, before_s = kind, gain, since_s
        return oldest, fall

    def measure(self, links: Iterable[PricedLink]) -> None:
        """Distances from own block times and what neighbours told (Bellman-Ford)."""
        known = [seconds for seconds in self.block_s if seconds]
        if known:
            self.per_s = len(known) / sum(known, 0.0)
        via_s = [inf] * (self.results + 1)
        for link in links:
            for kind, there_s in enumerate(link.ways_s):
                if (way_s := there_s + link.hop_s(kind)) < via_s[kind]:
                    via_s[kind] = way_s
        self._via_s, last = via_s, self.results
        self.here_s[last] = 0.0 if self._at_source else via_s[last]
        for kind in reversed(range(last)):
            self.here_s[kind] = via_s[kind]
            if self._hosted[kind]:
                self._own_s[kind] = self._own_way_s(kind)
                self.here_s[kind] = min(via_s[kind], self._own_s[kind])

    def _own_way_s(self, kind: int) -> float:
        goes_on, home_s = self.goes_on(kind), self.here_s[self.results]
        after_s = (1 - goes_on) * home_s if goes_on < 1 else 0.0
        if goes_on:
            after_s += goes_on * self.here_s[self.following[kind]]
        return self.block_s[kind] + after_s

    def worth_of(self, link: PricedLink, parameters: PressureParameters) -> list[HopWorth]:
        """What a hop of each kind over ``link`` is worth beyond the fall of its price."""
        results, ways_s, hosts = self.results, link.ways_s, link.hosts
        per_s, threshold = self.per_s, parameters.threshold
        most, delay = parameters.longest_hop, parameters.longest_delay
        outward = ways_s[results] > self.here_s[results]
        hop_s = link.delay_s or USUAL_HOP_S
        worth = []
        for kind, hosted in enumerate(self._hosted):
            there_s = ways_s[kind]
            if there_s == inf:
                worth.append(NO_WAY)
                continue
            here_s = self._own_s[kind] if hosted else self._via_s[kind]
            busy_s = link.transmission_s[kind]
            hop = HopView(here_s, there_s, hop_s + busy_s, hosted, kind in hosts, outward)
            longest = delay + per_s * busy_s
            worth.append(hop_worth(hop, per_s, threshold, longest if longest < most else most))
        if ways_s[results] == inf:
            return [*worth, NO_WAY]
        nearer_s = self._via_s[results] - ways_s[results]
        return [*worth, HopWorth(result_bias(nearer_s, hop_s, per_s, threshold, delay))]


def _moved(now_s: float, told_s: float) -> bool:
    """Whether a distance that has changed is another one than a neighbour was told."""
    if told_s == inf:
        return now_s < inf
    return abs(now_s - told_s) > NOTABLE_WAY * told_s
