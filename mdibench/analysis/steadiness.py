"""Input and findings of checks; whether a run measured a steady system; the source's controller.

A backlog (items in flight) may grow, or swing with a controller; ``STEADINESS`` is the whole rule.
Whatever moved it, a window in which clearly less was completed than admitted gets a warning.
``control`` gives settling time and overshoot of what algorithms 3 and 4 adapt. Called by ``checks``
and by the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import ndtr

from mdibench.analysis.metrics import ItemColumns, RunSummary
from mdibench.analysis.series import Growth, growth
from mdibench.analysis.shares import Estimate, Numbers
from mdibench.analysis.workers import Series

Level = Literal["ok", "warning", "invalid"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of a check. ``remedy`` says what to change; empty where the check passed."""

    check: str
    level: Level
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class CheckInput:
    """The data of a run that the checks use."""

    summary: RunSummary
    items: ItemColumns
    manifest: dict[str, Any]
    source: Series | None
    """Telemetry of rank 0."""
    problems: list[str]

    @property
    def has_ledger(self) -> bool:
        """Whether the items could be read; if not, checks of the ledger report nothing."""
        return all(Path(problem.split(": ")[0]).stem != "items" for problem in self.problems)

    @property
    def ends_known(self) -> bool:
        """Whether the ledger has the end time of every admitted item.

        The time at which an item counts as lost is not recorded.
        """
        whole = self.has_ledger and not self.summary.identity.partial
        return whole and bool(self.items.ok[~self.items.dropped].all())

    @property
    def length(self) -> tuple[str, float]:
        """The key that says how long the run is, and how long it was: in items, or in seconds."""
        items = ((self.manifest.get("config") or {}).get("run") or {}).get("items")
        start_s, end_s = self.summary.window
        return ("run.items", float(items)) if items else ("run.duration_s", end_s - start_s)

    @property
    def sampled(self) -> tuple[Numbers, Numbers]:
        """Sample times in the window, and the items in flight that rank 0 reported."""
        if self.source is None:
            return np.empty(0), np.empty(0)
        (start_s, end_s), t_s = self.summary.window, self.source.t_s
        flight = self.source.columns["in_flight"]
        inside = (t_s >= start_s) & (t_s <= end_s) & np.isfinite(flight)
        return t_s[inside], flight[inside]

    def in_flight_at(self, t_s: Numbers) -> Numbers:
        """Items in flight at each of ``t_s``, by the ledger."""
        admitted, ended = self.items["admitted_s"], self.items["completed_s"]
        begun = np.searchsorted(np.sort(admitted[~self.items.dropped]), t_s, "right")
        return (begun - np.searchsorted(np.sort(ended[self.items.ok]), t_s, "right")).astype(float)


# --- a backlog that grows or swings --------------------------------------------------------------

Swung = Literal["uncontrolled", "never", "few", "enough"]

GROWTH_P = 0.01
GROWTH_SHARE = 0.2
"""A backlog grows when the test says so and it gained this share of its mean, and 5 items."""
GROWTH_ITEMS = 5.0
MOMENTS = 200
"""At which the ledger is asked for the items in flight."""
LEAST_SAMPLES = 20
SWING_ITEMS = 10
FEW_SWINGS = 3
"""Swings of a controlled backlog, larger than ``SWING_ITEMS``, that a window should hold."""
SHORTFALL_P = 0.05
SHORTFALL_SHARE = 0.05
"""Completions fall short when the test says so, by this share of the admissions."""
SPANS = 16
"""In which admissions are counted, to see whether they come in bursts."""
STEADY_RATE = 0.1
"""Half the interval of a steady rate, as a share of the rate."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Admissions and completions of the measured window.

    ``dispersion`` of the admissions: the variance of their counts over that of a Poisson process,
    1 at least.
    """

    admitted: int
    completed: int
    dispersion: float = 1.0

    @property
    def gained(self) -> int:
        """By how much the items in flight grew."""
        return self.admitted - self.completed

    @property
    def share(self) -> float:
        """By how much completions fall short, as a share of the admissions."""
        return self.gained / self.admitted if self.admitted else 0.0

    @property
    def p_value(self) -> float:
        """Of "as many are completed as admitted in the long run".

        Without a drift, the difference has at most the variance of two independent counts: visits
        to an empty queue only make it smaller. Of a random walk's drift, its ends say all.
        """
        variance = self.dispersion * self.admitted + self.completed
        return float(ndtr(-self.gained / np.sqrt(variance))) if variance > 0 else 1.0

    @property
    def short(self) -> bool:
        """Whether completions fall short by an amount that matters."""
        return self.p_value < SHORTFALL_P and self.share > SHORTFALL_SHARE


@dataclass(frozen=True, slots=True)
class Backlog:
    """How items in flight moved in the measured window."""

    line: Growth
    balance: Balance
    swings: int | None
    """Whole swings; None where no controller moves it, or hardly."""
    scripted: bool
    """Whether a simulated run's load or workers changed on purpose meanwhile."""
    rate: Estimate
    length: tuple[str, float]
    """``CheckInput.length``."""

    @property
    def grew(self) -> bool:
        """Whether its line or its ends say so, by an amount that matters."""
        much = max(GROWTH_SHARE * self.line.mean, GROWTH_ITEMS)
        line, ends = self.line, self.balance
        along = line.p_value < GROWTH_P and line.growth > much
        return along or (ends.p_value < GROWTH_P and ends.gained > much)

    @property
    def swung(self) -> Swung:
        """Its row in ``STEADINESS``."""
        if self.swings is None:
            return "uncontrolled"
        return "enough" if self.swings >= FEW_SWINGS else "few" if self.swings else "never"


def steady(subject: CheckInput) -> Iterator[Finding]:
    """A backlog that grows; what a controller moves up and down is judged by its swings."""
    if not subject.summary.measured.rate_per_s.n:
        return
    t_s, flight = _in_flight(subject)
    key, _ = subject.length
    if flight.size < LEAST_SAMPLES:
        text = f"could not be checked: {flight.size} samples, {LEAST_SAMPLES} are needed"
        yield Finding("steady", "warning", text, f"lower run.sample_s, or raise {key}")
        return
    controlled = subject.summary.identity.mode in CONTROLLED and np.ptp(flight) >= SWING_ITEMS
    backlog = Backlog(
        growth(t_s, flight),
        _balance(subject),
        swings(flight) if controlled else None,
        _scripted(subject),
        subject.summary.measured.rate_per_s,
        subject.length,
    )
    where_grown, elsewhere = STEADINESS[backlog.swung]
    found = where_grown(backlog) if backlog.grew else elsewhere(backlog)
    yield found
    if backlog.balance.short and found.level != "invalid":
        yield _short(backlog, flight)


def _balance(subject: CheckInput) -> Balance:
    """What the ledger counts in the window; nothing where it lacks the end of an item."""
    if not subject.ends_known:
        return Balance(0, 0)
    (start_s, end_s), items = subject.summary.window, subject.items
    admitted_s = items["admitted_s"][~items.dropped]
    ended_s = items["completed_s"][items.ok]
    inside = admitted_s[(admitted_s > start_s) & (admitted_s <= end_s)]
    completed = int(((ended_s > start_s) & (ended_s <= end_s)).sum())
    controlled = subject.summary.identity.mode in CONTROLLED  # it spreads the counts on purpose
    return Balance(inside.size, completed) if controlled else counted(inside, completed)


def counted(admitted_s: Numbers, completed: int) -> Balance:
    """The balance of a window, with the dispersion of its admissions."""
    counts = np.histogram(admitted_s, SPANS)[0]
    spread = float(counts.var(ddof=1) / counts.mean()) if counts.any() else 1.0
    return Balance(admitted_s.size, completed, max(1.0, spread))


def _short(backlog: Backlog, flight: Numbers) -> Finding:
    balance, (key, _) = backlog.balance, backlog.length
    text = (
        f"{balance.admitted} items were admitted in the window, and {balance.share:.0%} fewer "
        f"completed: items in flight went from {flight[0]:.0f} to {flight[-1]:.0f}, so the rate of "
        "admission is not one that it sustains"
    )
    remedy = f"raise {key}, or lower the rate of admission"
    return Finding("balance", "warning", text, remedy)


def _in_flight(subject: CheckInput) -> tuple[Numbers, Numbers]:
    """Moments of the window and the items in flight: by the ledger, or else as sampled."""
    if subject.ends_known:
        t_s = np.linspace(*subject.summary.window, MOMENTS)
        return t_s, subject.in_flight_at(t_s)
    return subject.sampled


def _scripted(subject: CheckInput) -> bool:
    start_s, end_s = subject.summary.window
    events = (subject.manifest.get("config") or {}).get("events") or ()
    simulated = subject.summary.identity.kind == "simulated"
    return simulated and any(start_s < event["at_s"] < end_s for event in events)


def _grew(backlog: Backlog) -> Finding:
    if backlog.scripted:
        text = f"items in flight grew by {_slope(backlog)}, while the config's events happened"
        return Finding("steady", "warning", text, "judge the time before and after them apart")
    text = f"items in flight grew by {_slope(backlog)}: the offered rate is more than it sustains"
    return Finding("steady", "invalid", text, "raise admission.interarrival_s, or add capacity")


def _grew_without_a_swing(backlog: Backlog) -> Finding:
    if backlog.scripted:
        return _grew(backlog)
    text = f"items in flight grew by {_slope(backlog)}, and the controller did not complete a swing"
    return Finding("steady", "invalid", text, _longer(backlog))


def _did_not_grow(backlog: Backlog) -> Finding:
    return Finding("steady", "ok", f"items in flight did not grow ({_slope(backlog)})")


def _few_swings(backlog: Backlog) -> Finding:
    """A saturated system carries its rate in every phase of a swing; its latency has none."""
    found, span_s, rate = backlog.swings or 0, backlog.line.span_s, backlog.rate
    constant = rate.half_width <= STEADY_RATE * rate.value
    text = (
        f"the controller swung {found} {'time' if found == 1 else 'times'} in the {span_s:.0f} s "
        f"measured: {'latency depends' if constant else 'rate and latency depend'} on where in a "
        "swing the window begins and ends"
    )
    return Finding("steady", "warning", text, _longer(backlog))


def _longer(backlog: Backlog) -> str:
    key, length = backlog.length
    needed = round(FEW_SWINGS * length / (backlog.swings or 1))
    return f"set {key} to {needed} or more, or lower admission.alpha, beta and zeta"


def _slope(backlog: Backlog) -> str:
    return f"{backlog.line.slope:+.2f} items/s over {backlog.line.span_s:.0f} s"


STEADINESS: dict[Swung, tuple[Callable[[Backlog], Finding], Callable[[Backlog], Finding]]] = {
    # whole swings: (where items in flight grew, where they did not)
    "uncontrolled": (_grew, _did_not_grow),
    "never": (_grew_without_a_swing, _few_swings),
    "few": (_few_swings, _few_swings),
    "enough": (_grew, _did_not_grow),
}
"""What a backlog says. With a swing or two, the phases of the window's ends decide its slope."""


# --- controllers ---------------------------------------------------------------------------------

CONTROLLED = {"adapt-rate": "interarrival_s", "adapt-threshold": "threshold"}
"""Which telemetry column of rank 0 a mode of admission moves."""


CLIMB = 0.1
"""What a controller must have gained for it to count as climbing, as a share of its value."""
CLIMB_SPAN = 0.5
"""Share of the window without a step back."""


def climbing(subject: CheckInput) -> Iterator[Finding]:
    """A controller that only went one way to the window's end had not found its rate yet."""
    column = CONTROLLED.get(subject.summary.identity.mode)
    if column is None or subject.source is None:
        return
    (start_s, end_s), t_s = subject.summary.window, subject.source.t_s
    values = subject.source.columns[column]
    inside = (t_s >= start_s) & (t_s <= end_s) & np.isfinite(values)
    found = last_climb(t_s[inside], values[inside])
    if found is None or not end_s > start_s:
        return
    span_s, first, last = found
    if span_s < CLIMB_SPAN * (end_s - start_s) or abs(last - first) < CLIMB * first:
        return
    up = (last > first) == (column == "threshold")
    told = [f"{v:.2f}" if column == "threshold" else f"{1 / v:.1f} /s" for v in (first, last)]
    text = (
        f"the controller was still {'climbing' if up else 'backing off'} when the window ended: "
        f"from {told[0]} to {told[1]} in its last {span_s:.0f} s without a step back"
    )
    remedy = "raise run.warmup_s, or start nearer: "
    start = f"scheme.threshold = {last:.2f}" if column == "threshold" else None
    remedy += start or f"admission.interarrival_s = {last:.4g}"
    yield Finding("controller", "warning", text, remedy)


def last_climb(t_s: Numbers, values: Numbers) -> tuple[float, float, float] | None:
    """The last part of a series that goes one way: its length, first and last value."""
    if values.size < 2:
        return None
    steps = np.diff(values)
    moved = np.flatnonzero(steps)
    if not moved.size:
        return None
    against = np.flatnonzero(np.sign(steps) == -np.sign(steps[moved[-1]]))
    begin = int(against[-1]) + 1 if against.size else 0
    return float(t_s[-1] - t_s[begin]), float(values[begin]), float(values[-1])


@dataclass(frozen=True, slots=True)
class Control:
    """A controlled quantity over a run.

    It has settled once it enters, for good, the range that it kept in the run's second half;
    ``settled_s`` is when, NaN where it left that range to the end. ``overshoot`` is the furthest
    it went beyond that range after first reaching it, as a share of its mean there.
    """

    column: str
    start: float
    mean: float
    low: float
    high: float
    settled_s: float
    overshoot: float


def swings(values: Numbers) -> int:
    """How often a series went from one outer quarter of its range to the other and back."""
    known = values[np.isfinite(values)]
    if not known.size or known.max() == known.min():
        return 0
    height = (known - known.min()) / (known.max() - known.min())
    ends = np.where(height <= 0.25, -1, np.where(height >= 0.75, 1, 0))
    ends = ends[ends != 0]
    return int(np.sum(ends[:-1] != ends[1:])) // 2


def control(column: str, t_s: Numbers, values: Numbers) -> Control | None:
    """What became of a controlled quantity; ``None`` with fewer than ten samples."""
    known = np.isfinite(values) & np.isfinite(t_s)
    t_s, values = t_s[known], values[known]
    if values.size < 10:
        return None
    late = values[values.size // 2 :]
    mean, low, high = float(late.mean()), float(late.min()), float(late.max())
    inside = (values >= low) & (values <= high)
    first = int(inside.argmax())
    outside = np.flatnonzero(~inside)
    settled = int(outside[-1]) + 1 if outside.size else 0
    beyond = np.maximum(values[first:] - high, low - values[first:])
    overshoot = max(0.0, float(beyond.max())) / abs(mean) if mean else np.nan
    return Control(column, float(values[0]), mean, low, high, float(t_s[settled]), overshoot)
