"""The verdict on a run: self-checks of the harness, steadiness, and amount of data.

Every finding says what was found and what to change. One ``invalid`` finding makes the run INVALID:
its figures are still shown, but they do not measure what they claim to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from mdibench.analysis.metrics import ItemColumns, RunSummary, due_in
from mdibench.analysis.series import effective_size
from mdibench.analysis.shares import Numbers, crowded_hosts
from mdibench.analysis.statistics import time_average, warm_up_length
from mdibench.analysis.steadiness import (
    CONTROLLED,
    LEAST_SAMPLES,
    CheckInput,
    Finding,
    Level,
    climbing,
    steady,
)
from mdibench.analysis.workers import telemetry
from mdibench.record.reader import RunReader

__all__ = ["Finding", "check", "verdict"]

WARM_UP_SHIFT = 0.05
LITTLE_SHARE = 0.1
LITTLE_ITEMS = 1.0
LITTLE_ERRORS = 4.0
"""Standard errors of the sampled mean that the ledger may be away from it."""
OVERRUN_SHARE = 0.01
MAX_FAILED_SHARE = 0.01
"""Of runs whose config does not say; the default of ``run.max_failed_share``."""
FEW_ITEMS = 30
NEEDED = ("items", "telemetry", "live")
"""Files without which a run's figures cannot be trusted."""


def check(reader: RunReader, summary: RunSummary, items: ItemColumns) -> tuple[Finding, ...]:
    """Every finding about a run, the ones that passed included.

    An overloaded run is not told to run longer: no length of it has steady figures.
    """
    columns = ("in_flight", "refused", "overruns", "tasks", *CONTROLLED.values())
    source = telemetry(reader, columns).get(0)
    subject = CheckInput(summary, items, reader.manifest, source, reader.problems)
    found = [finding for look in CHECKS for finding in look(subject)]
    overloaded = any(f.check in ("steady", "failed") and f.level == "invalid" for f in found)
    return tuple(f for f in found if not (overloaded and f.check == "data"))


def verdict(findings: tuple[Finding, ...]) -> str:
    """VALID or INVALID."""
    return "INVALID" if any(f.level == "invalid" for f in findings) else "VALID"


# --- is the record whole? ------------------------------------------------------------------------


def _ended(subject: CheckInput) -> Iterator[Finding]:
    identity = subject.summary.identity
    if identity.status == "complete" and identity.reason:
        text = f"the run was stopped early ({identity.reason}): its window is shorter than planned"
        yield Finding("end", "warning", text, "run it again to its end, if that matters")
        return
    if identity.status == "complete":
        yield Finding("end", "ok", "the run reached its orderly end")
        return
    reason = f" ({identity.reason})" if identity.reason else ""
    text = f"the run is {identity.status}{reason}: figures are of the part on record"
    remedy = "wait for its end" if identity.status == "running" else "run it again to its end"
    yield Finding("end", "invalid", text, remedy)


def _files(subject: CheckInput) -> Iterator[Finding]:
    for problem in subject.problems:
        needed = any(Path(problem.split(": ")[0]).stem == name for name in NEEDED)
        level: Level = "invalid" if needed else "warning"
        yield Finding("files", level, problem, "run it again, or restore the file")
    for text in subject.manifest.get("warnings") or ():
        yield Finding("recorded", "warning", str(text), "see log.txt of the run")


def _conservation(subject: CheckInput) -> Iterator[Finding]:
    if not subject.has_ledger:
        return
    ledger, items = subject.summary.ledger, subject.items
    found, times = np.unique(items["item"], return_counts=True)
    repeated = found[times > 1].astype(np.int64).tolist()
    ended = ledger.ok + ledger.dropped + ledger.lost
    sums = f"{ledger.ok} ok + {ledger.dropped} dropped + {ledger.lost} lost"
    bug = "report this: the ledger of the run contradicts itself"
    if repeated:
        text = f"{len(repeated)} items ended more than once, first item {repeated[0]}"
        yield Finding("conservation", "invalid", text, bug)
    elif subject.summary.identity.partial:
        text = f"{ledger.offered} offered = {sums} + {ledger.in_flight} not on record"
        yield Finding("conservation", "ok", text)
    elif ended != ledger.offered:
        text = f"{ledger.offered} offered, but {sums} = {ended}"
        yield Finding("conservation", "invalid", text, bug)
    else:
        yield Finding("conservation", "ok", f"{ledger.offered} offered = {sums}")


def _littles_law(subject: CheckInput) -> Iterator[Finding]:
    """Items in flight as sampled against λW from the ledger: two records of the same thing."""
    t_s, sampled = subject.sampled
    unchecked = _why_unchecked(subject, sampled)
    if unchecked:
        why, remedy = unchecked
        yield Finding("Little's law", "warning", f"could not be checked: {why}", remedy)
        return
    seen, (ledger, error) = float(sampled.mean()), _by_the_ledger(subject, t_s, sampled)
    margin = max(LITTLE_SHARE * ledger, LITTLE_ITEMS, LITTLE_ERRORS * error)
    text = f"L = {seen:.2f} items sampled, λW = {ledger:.2f} from the ledger"
    if abs(seen - ledger) <= margin:
        yield Finding("Little's law", "ok", text)
    else:
        remedy = "report this: the ledger and the telemetry of the source disagree"
        yield Finding("Little's law", "invalid", text, remedy)


def _why_unchecked(subject: CheckInput, sampled: Numbers) -> tuple[str, str] | None:
    """Why Little's law cannot be checked, and what to change."""
    (start_s, end_s), ledger = subject.summary.window, subject.summary.ledger
    if end_s <= start_s:
        return "the measured window has no length", "see the finding on the window"
    if not subject.has_ledger or subject.summary.identity.partial:
        return "the ledger of the run is not whole", "run it again to its end"
    if not subject.ends_known:
        text = f"nobody knows when the {ledger.lost} lost items left the system"
        return text, "see the finding on lost items"
    if not sampled.size:
        return "no sample of items in flight is of the measured window", "lower run.sample_s"
    return None


def _by_the_ledger(subject: CheckInput, t_s: Numbers, sampled: Numbers) -> tuple[float, float]:
    """λW, and the standard error of the sampled mean.

    A few samples may stray far from λW, and are held against the ledger at their moments.
    """
    if t_s.size < LEAST_SAMPLES:
        return float(subject.in_flight_at(t_s).mean()), 0.0
    items, admitted = subject.items, ~subject.items.dropped
    ended_s = items["completed_s"][admitted]
    mean = time_average(items["admitted_s"][admitted], ended_s, subject.summary.window)
    return mean, float(sampled.std()) / math.sqrt(effective_size(sampled))


# --- does it measure a steady system? ------------------------------------------------------------


def _window(subject: CheckInput) -> Iterator[Finding]:
    start_s, end_s = subject.summary.window
    if subject.summary.measured.rate_per_s.n or not subject.has_ledger:
        return
    text = f"no item finished in the measured window of {max(0.0, end_s - start_s):.1f} s"
    remedy = f"raise {subject.length[0]}, or lower run.warmup_s where the run is short"
    yield Finding("window", "invalid", text, remedy)


def _warm_up(subject: CheckInput) -> Iterator[Finding]:
    """MSER-5 over the latencies of the whole run, told only where it would change the mean."""
    items, (start_s, end_s) = subject.items, subject.summary.window
    early = items.ok & (items["scheduled_s"] < end_s)
    latency_s, scheduled_s = items["latency_s"][early], items["scheduled_s"][early]
    measured = latency_s[scheduled_s >= start_s]
    cut = warm_up_length(latency_s)
    if cut is None or measured.size < FEW_ITEMS:
        return
    settled_s = float(scheduled_s[cut])
    settled = latency_s[max(cut, latency_s.size - measured.size) :]
    shift = float(settled.mean() / measured.mean() - 1) if measured.mean() > 0 else 0.0
    if settled_s > start_s and abs(shift) > WARM_UP_SHIFT:
        text = f"latency settled after {settled_s:.1f} s, and warm-up ended after {start_s:.1f} s"
        remedy = f"set run.warmup_s = {math.ceil(settled_s)} (the mean would change {shift:+.0%})"
        yield Finding("warm-up", "warning", text, remedy)
    else:
        yield Finding("warm-up", "ok", f"{start_s:.1f} s of warm-up were enough")


def _failed(subject: CheckInput) -> Iterator[Finding]:
    """Items that were dropped or lost; many of them leave figures of the survivors."""
    ledger, measured = subject.summary.ledger, subject.summary.measured
    failed = measured.drop_share.value + measured.lost_share.value
    if math.isnan(failed):  # no item was due in the window
        failed = (ledger.dropped + ledger.lost) / max(1, ledger.offered)
    section = (subject.manifest.get("config") or {}).get("run") or {}
    limit = float(section.get("max_failed_share", MAX_FAILED_SHARE))
    if failed > limit:
        text = (
            f"{failed:.1%} of the window's items were dropped or lost, more than the "
            f"{limit:.1%} of run.max_failed_share: figures are of the survivors"
        )
        remedy = (
            "lower the rate or raise run.drain_s; where dropping is the point of the run, raise "
            "run.max_failed_share"
        )
        yield Finding("failed", "invalid", text, remedy)
    if ledger.lost:
        text = f"{ledger.lost} items were lost; each counts as a wrong one"
        remedy = "raise run.drain_s, lower the rate, or see the run's events for a silent worker"
        yield Finding("lost", "warning", text, remedy)


def _schedule(subject: CheckInput) -> Iterator[Finding]:
    """Open-loop arrivals must keep their schedule; what is late counts in the latency anyway."""
    items = subject.items
    admitted = due_in(items, subject.summary.window) & ~items.dropped
    late_s = (items["admitted_s"] - items["scheduled_s"])[admitted]
    p50_s = subject.summary.measured.latency_p50_s.value
    if not late_s.size or math.isnan(p50_s):
        return
    p99_s = float(np.nanquantile(late_s, 0.99))
    if p99_s > max(0.1 * p50_s, 0.005):
        text = f"the source admitted 1 % of the items {p99_s * 1e3:.1f} ms or more after schedule"
        yield Finding("schedule", "warning", text, "give the source fewer blocks or a free core")


# --- is it what it says it is? -------------------------------------------------------------------


def _oversubscribed(subject: CheckInput) -> Iterator[Finding]:
    if any(" cores" in str(text) for text in subject.manifest.get("warnings") or ()):
        return  # the run itself has said so
    for host, (ranks, cores) in crowded_hosts(subject.manifest).items():
        text = f"{ranks} ranks shared {cores} cores on {host}: they slowed each other"
        remedy = "use fewer ranks or more hosts, or emulate devices in [emulation]"
        yield Finding("cores", "warning", text, remedy)


def _overruns(subject: CheckInput) -> Iterator[Finding]:
    overruns = sum(np.nan_to_num(row.overruns) for row in subject.summary.ranks)
    tasks = sum(row.tasks for row in subject.summary.ranks)
    if not overruns:
        return
    level: Level = "invalid" if overruns > OVERRUN_SHARE * max(1, tasks) else "warning"
    text = f"{math.ceil(overruns)} of {tasks} tasks took longer than on the emulated device"
    yield Finding("emulation", level, text, "emulate a slower device, or use fewer ranks per host")


def _throttled(subject: CheckInput) -> Iterator[Finding]:
    for row in subject.summary.ranks:
        if row.throttled > 0:
            hot = "" if math.isnan(row.temperature_c) else f", at up to {row.temperature_c:.0f} °C"
            text = f"{row.host or f'rank {row.rank}'} was throttled"
            text += f" in {100 * row.throttled:.0f} % of the samples{hot}: its times are not steady"
            remedy = "cool it, give it a stronger power supply, or fix a lower clock"
            yield Finding("throttling", "warning", text, remedy)


def _messages(subject: CheckInput) -> Iterator[Finding]:
    refused = sum(np.nan_to_num(row.refused) for row in subject.summary.ranks)
    if refused:
        text = f"{refused:.0f} messages had a malformed header and were refused"
        yield Finding("messages", "warning", text, "log.txt names their senders")
    ledger = subject.summary.ledger
    if ledger.duplicates > ledger.reruns + ledger.lost:  # a lost item's result may come later
        text = (
            f"{ledger.duplicates} results came twice, though only {ledger.reruns} items were run "
            f"again, and {ledger.lost} lost"
        )
        yield Finding("messages", "warning", text, "report this with the run's files")


# --- do the data suffice? ------------------------------------------------------------------------


def _enough(subject: CheckInput) -> Iterator[Finding]:
    measured = subject.summary.measured
    n = measured.latency_p99_s.n
    if 0 < n < FEW_ITEMS:
        text = f"only {n} items were measured: too few for intervals of rate and latency"
        yield Finding("data", "warning", text, f"raise {subject.length[0]}")
        return
    short = {
        name: estimate.sufficiency
        for name, estimate in (
            ("mean latency", measured.latency_mean_s),
            ("p95", measured.latency_p95_s),
            ("p99", measured.latency_p99_s),
        )
        if estimate.sufficiency < 1
    }
    if not short:
        return
    text = f"{n} items, dependent as they are, are too few for an interval of {_listed(short)}"
    remedy = _longer(subject, min(short.values()))
    if set(short) == {"p99"}:
        yield Finding("data", "ok", f"{text}: {remedy}")
    else:
        yield Finding("data", "warning", text, remedy)


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)


def _until(subject: CheckInput) -> Iterator[Finding]:
    """What ended a run that waits until a figure is known."""
    wanted = ((subject.manifest.get("config") or {}).get("run") or {}).get("until")
    if not wanted or subject.summary.identity.partial:
        return
    share = float(str(wanted).rstrip("% ").replace("+-", "±").split("±")[-1]) / 100
    reached = subject.manifest.get("precision")
    if reached is not None and reached <= share:
        text = f"the run ended once it knew its {wanted}"
        yield Finding("until", "ok", text)
        return
    known = "not known at all" if reached is None else f"known to ± {reached:.1%}"
    text = f"time was up before the run knew its {wanted}: it was {known}"
    yield Finding("until", "warning", text, f"raise {subject.length[0]}, or repeat it")


def _longer(subject: CheckInput, sufficiency: float) -> str:
    """How long to run, or how often; the estimate itself is from a series that is too short."""
    times = math.ceil(1.2 / max(sufficiency, 1e-3))
    key, length = subject.length
    return (
        f"set {key} to {math.ceil(times * length)} or more, or repeat it {times} times "
        "with other seeds"
    )


CHECKS: tuple[Callable[[CheckInput], Iterator[Finding]], ...] = (
    _ended, _files, _conservation, _littles_law, _window, steady, climbing, _warm_up, _failed,
    _schedule, _oversubscribed, _overruns, _throttled, _messages, _enough, _until,
)  # fmt: skip
"""In the order of the report."""
