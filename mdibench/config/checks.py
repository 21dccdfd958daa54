"""Checks between the keys of a config that need neither the number of ranks nor the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mdibench.config.messages import Mistake, choose
from mdibench.config.origins import KeyPath, dotted
from mdibench.config.schema import ALTERNATIVES, CLOCKED_MODES, RunConfig
from mdibench.core.records import SOURCE
from mdibench.policy.schemes import SCHEMES


def contradictions(config: RunConfig) -> list[Mistake]:
    """All contradictions between keys of ``config``."""
    checks = (
        _alternatives,
        _scheme,
        _admission,
        _until,
        _window,
        _trace,
        _placement,
        _devices,
        _recorded,
        _events,
    )
    return [finding for check in checks for finding in check(config)]


def _alternatives(config: RunConfig) -> Iterator[Mistake]:
    for group in ALTERNATIVES:
        given = [path for path in group if _is_given(config, path)]
        if len(given) > 1:
            names = [dotted(path[1:]) for path in given]
            what = f"{' and '.join(names)} exclude each other"
            yield Mistake(given[-1], what, "keep one of them", tuple(given[:-1]))


def _is_given(config: RunConfig, path: KeyPath) -> bool:
    section, key = (str(part) for part in path)
    return getattr(getattr(config, section), key, None) not in (None, False)


def _scheme(config: RunConfig) -> Iterator[Mistake]:
    name = config.scheme.name
    if name not in SCHEMES:
        yield Mistake(("scheme", "name"), f'unknown scheme "{name}"', choose(name, SCHEMES))
    if config.scheme.threshold == []:
        yield Mistake(
            ("scheme", "threshold"), "the list is empty", "give one threshold, or one per exit"
        )


def _admission(config: RunConfig) -> Iterator[Mistake]:
    admission = config.admission
    if admission.queue_low > admission.queue_high:
        yield Mistake(
            ("admission", "queue_low"),
            f"queue_low = {admission.queue_low} is above queue_high = {admission.queue_high}",
            "give queue_low <= queue_high",
            (("admission", "queue_high"),),
        )
    if admission.beta > admission.alpha:
        yield Mistake(
            ("admission", "beta"),
            f"beta = {admission.beta} is above alpha = {admission.alpha}",
            "give beta <= alpha: alpha is the step while the queues are short",
            (("admission", "alpha"),),
        )
    given = config.scheme.threshold
    thresholds = given[: max(1, len(given) - 1)] if isinstance(given, list) else [given]
    lowest = min((t for t in thresholds if t is not None), default=1.0)  # all leave at the last
    if admission.mode == "adapt-threshold" and lowest < admission.threshold_min:
        yield Mistake(
            ("admission", "threshold_min"),
            f"threshold_min = {admission.threshold_min} is above the threshold, {lowest}",
            "the threshold starts at scheme.threshold and never falls below threshold_min",
            (("scheme", "threshold"), ("admission", "mode")),
        )


def _until(config: RunConfig) -> Iterator[Mistake]:
    for name, section in (("run", config.run), ("sweep", config.sweep)):
        if section is not None and section.until is not None and section.precision is None:
            what = f'cannot read "{section.until}"'
            yield Mistake((name, "until"), what, 'write e.g. "rate ± 2 %", "latency ± 5 %"')
    sweep = config.sweep
    if sweep is not None and sweep.until is not None and sweep.max_repeats < sweep.repeats:
        what = f"{sweep.max_repeats} runs of a cell at most, and {sweep.repeats} at least"
        yield Mistake(("sweep", "max_repeats"), what, "raise it, or lower sweep.repeats")


def _window(config: RunConfig) -> Iterator[Mistake]:
    """A run whose items have all arrived before the warm-up is over measures nothing."""
    run, admission = config.run, config.admission
    clocked = admission.mode in CLOCKED_MODES and admission.arrivals != "trace"
    if run.items is None or not clocked:
        return
    last_s = run.items * admission.interarrival_s
    if last_s <= run.warmup_s:
        yield Mistake(
            ("run", "items"),
            f"{run.items} items arrive in {last_s:g} s, within the {run.warmup_s:g} s of warm-up: "
            "nothing would be measured",
            "raise run.items, or lower run.warmup_s",
            (("run", "warmup_s"), ("admission", "interarrival_s")),
        )


def _trace(config: RunConfig) -> Iterator[Mistake]:
    admission = config.admission
    arrivals: KeyPath = ("admission", "arrivals")
    trace_file: KeyPath = ("admission", "trace_file")
    if admission.arrivals == "trace" and admission.trace_file is None:
        yield Mistake(
            arrivals, '"trace" needs a trace_file', "give admission.trace_file", (trace_file,)
        )
    if admission.arrivals != "trace" and admission.trace_file is not None:
        yield Mistake(
            trace_file, "nothing reads this file", 'give arrivals = "trace" as well', (arrivals,)
        )
    if admission.arrivals == "trace" and not admission.clocked:
        yield Mistake(
            arrivals,
            f'mode "{admission.mode}" does not follow a schedule and cannot use a trace',
            f"give mode = {' or '.join(CLOCKED_MODES)}",
            (("admission", "mode"),),
        )


def _placement(config: RunConfig) -> Iterator[Mistake]:
    table = config.placement.blocks or {}
    times = Counter(int(rank) for rank in table if _is_rank(rank))
    for rank, blocks in table.items():
        path: KeyPath = ("placement", "blocks", rank)
        if not _is_rank(rank):
            yield Mistake(path, f'"{rank}" is not a rank', "ranks are whole numbers from 0")
        elif times[int(rank)] > 1:
            yield Mistake(path, f"rank {int(rank)} is given twice", "give each rank once")
        if len(set(blocks)) < len(blocks):
            yield Mistake(path, "a block is listed twice", "list each block once")


def _is_rank(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _devices(config: RunConfig) -> Iterator[Mistake]:
    for name, device in (config.emulation.devices if config.emulation else {}).items():
        if device.gflops is None and device.block_ms is None:
            yield Mistake(
                ("emulation", "devices", name),
                "neither gflops nor block_ms is given",
                "give one: the sustained rate, or a measured time for each block",
            )


def _recorded(config: RunConfig) -> Iterator[Mistake]:
    """Recorded answers take no time of their own: every rank needs an emulated device."""
    path: KeyPath = ("model", "engine")
    if not config.model.recorded:
        return
    if config.model.name == "null":
        yield Mistake(path, "the null block has no answers to record", "leave out model.engine")
    elif config.emulation is None:
        what = '"recorded" computes nothing, and so needs the times of emulated devices'
        yield Mistake(path, what, "give emulation.device, or another engine")


EVENT_KEYS = {
    "join": ("rank",),
    "leave": ("rank",),
    "fail": ("rank",),
    "slow": ("rank", "factor"),
    "link": ("between",),
    "load": ("factor",),
}
"""The keys that each kind of event needs; ``link`` also needs one of ``LINK_CHANGES``."""
LINK_CHANGES = ("bandwidth_mbps", "delay_ms")


def _events(config: RunConfig) -> Iterator[Mistake]:
    end_s = config.run.latest_end_s
    for index, event in enumerate(config.events):
        path: KeyPath = ("events", index)
        needed = EVENT_KEYS[event.kind]
        allowed = {"at_s", "kind", *needed, *(LINK_CHANGES if event.kind == "link" else ())}
        given = {key for key, value in event if value is not None}
        what = f'an event of kind "{event.kind}"'
        for key in needed:
            if key not in given:
                yield Mistake(path, f"{what} needs {key}", f"give {key}")
        for key in sorted(given - allowed):
            yield Mistake((*path, key), f"{what} has no {key}", "leave it out")
        if event.kind == "link" and not given & set(LINK_CHANGES):
            yield Mistake(path, f"{what} changes nothing", "give bandwidth_mbps or delay_ms")
        if event.at_s > end_s:
            what = f"{what} at {event.at_s:g} s never happens: the run ends by {end_s:g} s"
            yield Mistake((*path, "at_s"), what, "give an earlier time, or a longer run.duration_s")
        if event.kind in ("join", "leave", "fail") and event.rank == SOURCE:
            yield Mistake((*path, "rank"), f"the source cannot {event.kind}", "name a worker")
        if event.kind == "load" and not config.admission.clocked:
            remedy = f"give admission.mode = {' or '.join(CLOCKED_MODES)}"
            mode = f'mode "{config.admission.mode}"'
            yield Mistake(
                path,
                f"{mode} does not follow a schedule of arrivals",
                remedy,
                (("admission", "mode"),),
            )
