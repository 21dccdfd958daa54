"""Do the intervals that a report prints cover, and do its tests stay quiet where nothing differs?

``python -m benchmarks.coverage [--sets 1000]`` draws sets with known truth and puts them through
the functions of the report: M/M/1 and M/D/1 queues in their stationary state, AR(1) series and
bursts of drops. It prints two tables in Markdown (docs/report.md has them). Of intervals: how many
of those that sets got cover the truth; where not all sets got one, how many did, and how many of
all sets got a false one; ``?`` where hardly a set got one. A count of sets is a draw itself: a cell
is away from ``WANTED`` only where its own binomial interval (Wilson's) is. A † marks cells whose
truth is the least latency that there is (half of the items of an M/D/1 queue at ρ = 0.5 do not
wait at all, so that the median is the service time): there 97.5 % is nominal. Of tests: how often
they see a difference where there is none, and how often a true one; ``--only growth`` prints a part
of these, ``--only intervals`` the first table.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtri

from mdibench.analysis import series, statistics
from mdibench.analysis.shares import UNKNOWN, Estimate, wilson_interval
from mdibench.analysis.steadiness import MOMENTS, Backlog, counted

LOADS = (0.5, 0.8, 0.9, 0.95)
SIZES = (250, 1000, 5000)
SETS = 1000
CHANGE = 1.05
"""Factor of the true change whose power is stated."""
BURST, DROPPED = 20, 0.1
"""Mean items of a burst of drops, and the share of all items that are dropped."""

ALPHA = 0.05
ROUNDING = 1e-9
"""Below which a wait is none."""
CHUNK = 200
"""Sets that are drawn at once."""
EARLIER = 400
"""Items before a window of a backlog; an overloaded queue begins empty with them."""
OVERLOADS = (1.05, 1.1, 1.2, 1.5)
REPEATS = 5
TAILS = (0.95, 0.99)
"""Percentiles over several runs."""

Numbers = NDArray[np.float64]


# --- sets of known truth, [sets, items] ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queue:
    """A first come first served queue: when items arrive, and how long they stay."""

    arrived: Numbers
    latency: Numbers


def queue(draw: np.random.Generator, load: float, shape: tuple[int, int], fixed: bool) -> Queue:
    """M/M/1, or M/D/1 where service is ``fixed``, of mean service 1; by Lindley's recursion."""
    arrived, (latency,) = queues(draw, load, shape, fixed, 1)
    return Queue(arrived, latency)


def queues(
    draw: np.random.Generator, load: float, shape: tuple[int, int], fixed: bool, servers: int
) -> tuple[Numbers, list[Numbers]]:
    """The arrivals of ``queue``, and the latencies at several servers with these same arrivals."""
    before = settling(load)
    arrived, latency = np.empty(shape), [np.empty(shape) for _ in range(servers)]
    for at in range(0, shape[0], CHUNK):
        here = slice(at, min(at + CHUNK, shape[0]))
        gaps = draw.exponential(1 / load, (here.stop - at, shape[1] + before))
        arrived[here] = np.cumsum(gaps, axis=1)[:, before:]
        for server in latency:
            service = np.ones_like(gaps) if fixed else draw.exponential(1, gaps.shape)
            server[here] = _latency(gaps, service)[:, before:]
    return arrived, latency


def _latency(gaps: Numbers, service: Numbers) -> Numbers:
    moved = np.pad(np.cumsum(service[:, :-1] - gaps[:, 1:], axis=1), ((0, 0), (1, 0)))
    waited: Numbers = moved - np.minimum.accumulate(moved, axis=1)
    waited[waited < ROUNDING] = 0.0
    return waited + service


def settling(load: float) -> int:
    """Items after which a queue that began empty has forgotten it."""
    return round(40 / (1 - load) ** 2) if load < 1 else 0


def autoregressive(draw: np.random.Generator, phi: float, shape: tuple[int, int]) -> Numbers:
    """AR(1) around 10."""
    noise = draw.normal(size=(shape[0], shape[1] + 400))
    return np.asarray(10 + lfilter([1], [1, -phi], noise, axis=1)[:, 400:])


def bursts(draw: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    """Drops in bursts: a chain of two states, a share ``DROPPED`` of the time in the bad one."""
    ends, begins = 1 / BURST, DROPPED / (1 - DROPPED) / BURST
    uniform = draw.random(shape)
    state = uniform[:, 0] < DROPPED
    out = np.empty(shape)
    for at in range(shape[1]):
        out[:, at] = state
        state = np.where(state, uniform[:, at] >= ends, uniform[:, at] < begins)
    return out


# --- intervals -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cover:
    """Of one interval over many sets: shares of the sets that got one, and of those that cover."""

    figure: str
    system: str
    items: int
    told: float
    covered: float
    sets: int
    edge: bool = False
    """Whether the truth is the least value that there is: no interval can lie below it."""

    @property
    def judged(self) -> str:
        """Where the coverage is: see ``JUDGEMENTS``."""
        if self.told < SELDOM:
            return "seldom"
        least, most = AT_EDGE if self.edge else WANTED
        if least <= self.covered <= most:
            return "edge" if self.edge else "inside"
        number = self.told * self.sets
        low, high = wilson_interval(self.covered * number, number)
        return "chance" if low <= most and high >= least else "outside"

    @property
    def false(self) -> float:
        """Share of all sets whose interval leaves the truth out."""
        return self.told * (1 - self.covered) if self.told else 0.0


def cover(
    figure: str,
    system: str,
    items: int,
    found: Sequence[Estimate],
    truth: float,
    edge: bool = False,
) -> Cover:
    """How often ``found`` has two finite bounds, and how often these enclose ``truth``."""
    told = [e for e in found if math.isfinite(e.low) and math.isfinite(e.high)]
    right = sum(e.low <= truth <= e.high for e in told)
    share = right / len(told) if told else math.nan
    return Cover(figure, system, items, len(told) / len(found), share, len(found), edge)


def of_queues(draw: np.random.Generator, sets: int) -> Iterator[Cover]:
    """Latencies and departures of queues."""
    for name, fixed in (("M/M/1", False), ("M/D/1", True)):
        for load in LOADS:
            truth = load / (1 - load) / (2 if fixed else 1) + 1
            most = queue(draw, load, (sets, SIZES[-1]), fixed)
            quantiles = {p: true_quantile(load, p, fixed) for p in PERCENTILES}
            for items in SIZES:
                latency, arrived = most.latency[:, :items], most.arrived[:, :items]
                system = f"{name}, ρ = {load}"
                means = [series.mean_of_series(x, skewed=True) for x in latency]
                yield cover("latency mean", system, items, means, truth)
                found = [series.quantiles(x, tuple(quantiles), skewed=True) for x in latency]
                for each, (p, quantile) in zip(
                    zip(*found, strict=True), quantiles.items(), strict=True
                ):
                    edge = fixed and quantile == 1.0
                    yield cover(f"latency p{p * 100:.0f}", system, items, each, quantile, edge)
                ended, end_s = arrived + latency, arrived[:, -1]
                rates = [
                    series.event_rate(e, a[0], end, a)
                    for e, a, end in zip(ended, arrived, end_s, strict=True)
                ]
                yield cover("rate", system, items, rates, load)


PERCENTILES = (0.5, 0.95, 0.99)
DIGITS = 80
"""Of the decimals of an alternating sum, whose terms reach 10^30."""


def true_quantile(load: float, p: float, fixed: bool) -> float:
    """The least latency that a share ``p`` of the items does not exceed."""
    if not fixed:
        return -math.log(1 - p) / (1 - load)
    low, high = 0.0, 200.0
    if waits_at_most(low, load) >= p:
        return 1.0
    while high - low > ROUNDING:
        middle = (low + high) / 2
        low, high = (low, middle) if waits_at_most(middle, load) >= p else (middle, high)
    return 1.0 + high


def waits_at_most(t: float, load: float) -> float:
    """Distribution of the wait in M/D/1, in services (Erlang 1909)."""
    with localcontext() as context:
        context.prec = DIGITS
        rate, total = Decimal(load), Decimal(0)
        for k in range(int(t) + 1):
            power = rate * (k - Decimal(t))
            total += (power**k if k else 1) / Decimal(math.factorial(k)) * (-power).exp()
        return float((1 - rate) * total)


def of_series(draw: np.random.Generator, sets: int) -> Iterator[Cover]:
    """AR(1) series."""
    for phi in LOADS:
        most = autoregressive(draw, phi, (sets, SIZES[-1]))
        for items in SIZES:
            means = [series.mean_of_series(x[:items]) for x in most]
            yield cover("mean", f"AR(1), φ = {phi}", items, means, 10.0)
            upper = 10 + float(ndtri(0.95)) / math.sqrt(1 - phi * phi)
            found = [series.quantile(x[:items], 0.95) for x in most]
            yield cover("p95", f"AR(1), φ = {phi}", items, found, upper)


def of_repeats_means(draw: np.random.Generator, sets: int) -> Iterator[Cover]:
    """Mean latency, p95 and p99 over five runs each."""
    for load in LOADS:
        most = queue(draw, load, (sets * REPEATS, SIZES[-1]), False).latency
        tails = {f"latency p{p * 100:.0f}": -math.log(1 - p) / (1 - load) for p in TAILS}
        truths = {"latency mean": 1 / (1 - load), **tails}
        for items in SIZES:
            each = [(_mean(x[:items]), *_tails(x[:items])) for x in most]
            runs = [each[at : at + REPEATS] for at in range(0, len(each), REPEATS)]
            for place, (figure, truth) in enumerate(truths.items()):
                low_by = statistics.low_by((0.0, *TAILS)[place])
                found = [
                    statistics.mean_of_skewed([run[place] for run in of], low_by) for of in runs
                ]
                yield cover(figure, f"5 runs of M/M/1, ρ = {load}", items, found, truth)


def _tails(x: Numbers) -> list[Estimate]:
    return series.quantiles(x, TAILS, skewed=True)


def of_drops(draw: np.random.Generator, sets: int) -> Iterator[Cover]:
    """Shares of items dropped in bursts."""
    most = bursts(draw, (sets, SIZES[-1]))
    for items in SIZES:
        found = [series.share_of_series(x[:items]) for x in most]
        yield cover("dropped share", f"bursts of {BURST}", items, found, DROPPED)


# --- tests ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one test over many sets: shares of them that are below 5 % without and with a change."""

    test: str
    system: str
    items: int
    size: float
    power: float
    change: str
    undecided: float
    """Share of the sets without a change that are too short to tell."""
    sets: int

    @property
    def above(self) -> bool:
        """Whether its size is above 5 % by more than chance."""
        return wilson_interval(self.size * self.sets, self.sets)[0] > ALPHA


def seen(test: str, system: str, items: int, same: Numbers, other: Numbers, change: str) -> Seen:
    """How often the p-values ``same`` and ``other`` are below 5 %."""
    size, power = (float(np.mean(p < ALPHA)) for p in (same, other))
    undecided = float(np.mean(np.isnan(same)))
    return Seen(test, system, items, size, power, change, undecided, len(same))


def of_growth(draw: np.random.Generator, sets: int) -> Iterator[Seen]:
    """Backlogs that do not grow, and those of a queue that is offered more than it serves.

    By the line through the items in flight, by admissions against completions, and as a run is
    judged by both: INVALID for growth, or a warning that completions fall short.
    """
    for fixed in (False, True):
        for items in SIZES:
            loads = (*LOADS, *OVERLOADS)
            over = {load: _backlogs(draw, load, sets, items, fixed) for load in loads}
            name = "M/D/1" if fixed else "M/M/1"
            for load in LOADS:
                near = load == LOADS[-1]
                for overload in OVERLOADS[:-1] if near else OVERLOADS[-1:]:
                    for test, judged in BACKLOG_TESTS.items():
                        if not near and test != JUDGED:
                            continue
                        same, other = (
                            np.array([judged(each) for each in over[at]]) for at in (load, overload)
                        )
                        system = f"{name}, ρ = {load}"
                        yield seen(test, system, items, same, other, f"ρ = {overload}")


JUDGED = "warned of balance, or INVALID"
BACKLOG_TESTS: dict[str, Callable[[Backlog], float]] = {
    "steady, line": lambda backlog: backlog.line.p_value,
    "steady, ends": lambda backlog: backlog.balance.p_value,
    "INVALID for growth": lambda backlog: 0.0 if backlog.grew else 1.0,
    JUDGED: lambda backlog: 0.0 if backlog.grew or backlog.balance.short else 1.0,
}
"""Each as a p-value; of a verdict 0 or 1."""


def _backlogs(
    draw: np.random.Generator, load: float, sets: int, items: int, fixed: bool
) -> list[Backlog]:
    made = queue(draw, load, (sets, EARLIER + items), fixed)
    return [backlog(a, latency) for a, latency in zip(made.arrived, made.latency, strict=True)]


def backlog(arrived: Numbers, latency: Numbers) -> Backlog:
    """As a run is judged: items in flight at equally spaced moments, and counts of the window.

    The window begins after ``EARLIER`` items, some of which are still in flight.
    """
    start_s, end_s, ended = arrived[EARLIER], arrived[-1], np.sort(arrived + latency)
    t_s = np.linspace(start_s, end_s, MOMENTS)
    flight = np.searchsorted(arrived, t_s, "right") - np.searchsorted(ended, t_s, "right")
    line = series.growth(t_s, flight.astype(float))
    completed = int(((ended > start_s) & (ended <= end_s)).sum())
    balance = counted(arrived[EARLIER + 1 :], completed)
    return Backlog(
        line, balance, None, False, UNKNOWN, ("run.items", float(arrived.size - EARLIER))
    )


def of_pairs(draw: np.random.Generator, sets: int) -> Iterator[Seen]:
    """Two systems with the same arrivals, their latencies paired item by item."""
    for load in LOADS:
        for items in SIZES:
            _, (a, b) = queues(draw, load, (sets, items), False, 2)
            same, other = (_paired(a, factor * b) for factor in (1.0, CHANGE))
            yield seen("paired items", f"M/M/1, ρ = {load}", items, same, other, "5 % slower")


def _paired(a: Numbers, b: Numbers) -> Numbers:
    found = [series.paired_series_ratio(x, y).p_value for x, y in zip(a, b, strict=True)]
    return np.array(found)


def of_single_runs(draw: np.random.Generator, sets: int) -> Iterator[Seen]:
    """One run on each side, without pairs: mean latency, and p95."""
    for load in LOADS:
        for items in SIZES:
            a, b = (queue(draw, load, (sets, items), False).latency for _ in "ab")
            for name, of in (("mean of one run each", _mean), ("p95 of one run each", _p95)):
                same, other = (
                    np.array([_combined(of(x), of(f * y)) for x, y in zip(a, b, strict=True)])
                    for f in (1.0, CHANGE)
                )
                yield seen(name, f"M/M/1, ρ = {load}", items, same, other, "5 % slower")


def _mean(x: Numbers) -> Estimate:
    return series.mean_of_series(x, skewed=True)


def _p95(x: Numbers) -> Estimate:
    return series.quantile(x, 0.95, skewed=True)


def _combined(a: Estimate, b: Estimate) -> float:
    if not (a.low > 0 and b.low > 0):
        return math.nan
    logs = [Estimate(math.log(e.value), math.log(e.low), math.log(e.high)) for e in (a, b)]
    return statistics.combined_effect(*logs).p_value


def of_repeats(draw: np.random.Generator, sets: int) -> Iterator[Seen]:
    """Five runs on each side: by Welch, and by pairs with the same arrivals."""
    for load in LOADS:
        for items in SIZES:
            _, latency = queues(draw, load, (sets * REPEATS, items), False, 2)
            a, b = (each.mean(axis=1).reshape(sets, REPEATS) for each in latency)
            other = np.roll(b, 1, axis=0)  # of other arrivals
            for name, right, effect in (
                ("5 runs each, paired", b, statistics.paired_effect),
                ("5 runs each, unpaired", other, statistics.unpaired_effect),
            ):
                same, changed = (
                    np.array(
                        [
                            effect(np.log(x), np.log(f * y)).p_value
                            for x, y in zip(a, right, strict=True)
                        ]
                    )
                    for f in (1.0, CHANGE)
                )
                yield seen(name, f"M/M/1, ρ = {load}", items, same, changed, "5 % slower")


# --- tables --------------------------------------------------------------------------------------


INTERVALS = (of_queues, of_series, of_drops, of_repeats_means)
TESTS = {"growth": of_growth, "pairs": of_pairs, "single": of_single_runs, "repeats": of_repeats}


def main() -> None:
    """Print both tables, or a part of them."""
    parser = argparse.ArgumentParser(description="Coverage of intervals and size of tests.")
    parser.add_argument("--sets", type=int, default=SETS, help="sets of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("intervals", *TESTS), help="a part alone")
    given = parser.parse_args()
    if given.only in (None, "intervals"):
        draw = np.random.default_rng(given.seed)
        covers = [row for make in INTERVALS for row in make(draw, given.sets)]
        print_table("interval of", {(c.figure, c.system, c.items): _covered(c) for c in covers})
        print_judgement(covers)
    lines = [
        row
        for place, (name, make) in enumerate(TESTS.items())
        if given.only in (None, name)
        for row in make(np.random.default_rng([given.seed, place]), given.sets)
    ]
    if not lines:
        return
    print_table("test", {(t.test, f"{t.system}; {t.change}", t.items): _rejected(t) for t in lines})
    above = sum(row.above for row in lines)
    print(
        f"The largest size is {max(row.size for row in lines):.1%}; {above} of {len(lines)} are "
        "above 5 % by more than chance."
    )


def print_table(what: str, cells: dict[tuple[str, str, int], str]) -> None:
    """One line for each figure and system, one column for each number of items."""
    print(f"| {what} | system | {' | '.join(f'{n:,} items' for n in SIZES)} |")
    print(f"| --- | --- |{' ---: |' * len(SIZES)}")
    for name, system in dict.fromkeys((name, system) for name, system, _ in cells):
        row = " | ".join(cells[name, system, items] for items in SIZES)
        print(f"| {name} | {system} | {row} |")
    print(flush=True)


def print_judgement(covers: Sequence[Cover]) -> None:
    """How many cells are where."""
    judged = Counter(row.judged for row in covers)
    texts = (f"{judged[name]} {meaning}" for name, meaning in JUDGEMENTS.items())
    print(f"Of {len(covers)} cells {', '.join(texts)}.\n", flush=True)


def _covered(row: Cover) -> str:
    """``95.3%``; with the share of the sets that have an interval, where it is not all of them."""
    if row.judged == "seldom":
        return f"? ({row.told:.1%}, false {row.false:.1%})" if row.told else "?"
    text = MARKS.get(row.judged, "{}").format(f"{row.covered:.1%}")
    return text if row.told > 1 - HARDLY else f"{text} of {row.told:.0%} (false {row.false:.1%})"


WANTED = (0.93, 0.97)
AT_EDGE = (0.955, 0.995)
"""Where an interval can miss the truth on one side only: as far from the nominal 97.5 %."""
JUDGEMENTS = {
    "seldom": "count as ?",
    "inside": "are within 93 to 97 %",
    "edge": "(with a †) within 95.5 to 99.5 % at the least latency there is",
    "chance": "(with a ~) are beside that by no more than chance",
    "outside": "(bold) are outside",
}
MARKS = {"edge": "{}†", "chance": "~{}", "outside": "**{}**"}


SELDOM = 0.02
"""Share of the sets below which a cell counts as without an interval."""
HARDLY = 0.005
"""Share of the sets that is as good as none."""


def _rejected(row: Seen) -> str:
    """Size and power, and how often it cannot tell."""
    if row.undecided > 1 - HARDLY:
        return "cannot tell"
    text = f"{row.size:.1%} / {row.power:.0%}"
    return f"{text} ({row.undecided:.0%} cannot tell)" if row.undecided > HARDLY else text


if __name__ == "__main__":
    main()
