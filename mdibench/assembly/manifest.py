"""The run's manifest ``run.json``: what is known before the first item, and the outcome.

Its hosts are told apart by their kernel's boot, and clocks that differ are told.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from mdibench.assembly.state_machines import ExitRule
from mdibench.assembly.workload import lossy_codecs
from mdibench.config.reading import resolved
from mdibench.config.schema import RunConfig
from mdibench.core.node import Node
from mdibench.network.plan import ModelInfo, Plan
from mdibench.record import run_folder
from mdibench.record.run_folder import RunWriter, this_process

CLOCK_TOLERANCE_S = 1.0
"""Difference of two hosts' clocks that nobody need know of."""


def with_own_names(ranks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The facts of ``ranks``; hosts that share a name get a number, as boards of one image do."""
    boots: dict[str, list[str]] = {}
    named = []
    for facts in ranks:
        host, boot = str(facts["host"]), str(facts.get("boot_id", ""))
        known = boots.setdefault(host, [])
        if boot not in known:
            known.append(boot)
        number = known.index(boot) + 1
        named.append(dict(facts) | {"host": host if number == 1 else f"{host}#{number}"})
    return named


def clock_warnings(ranks: Sequence[Mapping[str, Any]], offsets_s: Sequence[float]) -> list[str]:
    """A line for each host whose clock differs from rank 0's.

    ``clock_s`` of a rank is its time of day minus its run clock; ``offsets_s`` are the run clocks
    minus rank 0's.
    """
    if not ranks or "clock_s" not in ranks[0]:
        return []
    first, seen, found = ranks[0], {str(ranks[0]["host"])}, []
    for facts, offset_s in zip(ranks, offsets_s, strict=True):
        host = str(facts["host"])
        ahead_s = facts["clock_s"] - first["clock_s"] + offset_s
        if host not in seen and abs(ahead_s) > CLOCK_TOLERANCE_S:
            side = "ahead of" if ahead_s > 0 else "behind"
            found.append(
                f"{host}: its clock is {abs(ahead_s):.0f} s {side} rank 0's; times of files and "
                "dates differ, measured times do not (set it by NTP: timedatectl set-ntp true)"
            )
        seen.add(host)
    return found


# --- manifest ------------------------------------------------------------------------------------

RunKind = Literal["hardware", "emulated", "emulated, recorded answers", "shaped link", "simulated"]


@dataclass(frozen=True, slots=True)
class RunPreamble:
    """What is known before the first item. ``ranks`` holds the host facts of each rank."""

    config: RunConfig
    text: str
    kind: RunKind
    plan: Plan
    model: ModelInfo
    exit_rule: ExitRule
    engine: Mapping[str, str] | None = None
    """Name of the engine, and why it was chosen; none for the null block and in a simulation."""
    ranks: Sequence[dict[str, Any]] = ()
    clock_offsets_s: Sequence[float] = ()
    clock_error_s: float = 0.0
    probe: Sequence[dict[str, Any]] = ()
    """Latency and bandwidth of every pair of ranks, below any emulation."""
    data: dict[str, Any] | None = None
    """Of the items; see ``SourceItems.data``."""
    codec_recorded: bool = False
    """Whether recorded answers are those under the codec of the links."""


def run_kind(config: RunConfig, plan: Plan) -> RunKind:
    """How the run's figures must be labelled."""
    if config.model.recorded:
        return "emulated, recorded answers"
    emulated = any(plan.devices) or any(link.emulated for link in plan.links.values())
    return "emulated" if emulated else config.run.measured_on


def open_run(preamble: RunPreamble, started: datetime | None = None, token: str = "") -> RunWriter:
    """Make the run's folder and its first files; raises UserError where that fails."""
    started = started or datetime.now(timezone.utc)
    run = preamble.config.run
    folder = run_folder.create(Path(run.results), run.name, started, token or secrets.token_hex(2))
    (folder / "config.toml").write_text(preamble.text, encoding="utf-8")
    return RunWriter(folder, _manifest(preamble, folder.name, started))


def _manifest(preamble: RunPreamble, name: str, started: datetime) -> dict[str, Any]:
    from mdibench.network.planning import plan_facts

    config = preamble.config
    start_s, end_s = config.run.measured_window_s
    return {
        "id": name,
        "name": config.run.name,
        "started_utc": started.isoformat(),
        **this_process(),
        "kind": preamble.kind,
        "config": resolved(config),
        "scheme": config.scheme.name,
        "label": config.run.label,
        "seed": config.run.seed,
        "data": preamble.data,
        "thresholds": list(preamble.exit_rule.thresholds),
        "temperatures": list(preamble.exit_rule.temperatures),
        "calibration": preamble.exit_rule.calibration,
        "plan": plan_facts(preamble.plan) | {"hosts": [rank["host"] for rank in preamble.ranks]},
        "model": asdict(preamble.model),
        "engine": preamble.engine,
        "ranks": list(preamble.ranks),
        "clock_offsets_s": list(preamble.clock_offsets_s),
        "clock_error_s": preamble.clock_error_s,
        "probe": list(preamble.probe),
        "window": {"start_s": start_s, "end_s": end_s if isfinite(end_s) else None},
        "warnings": warnings_before(preamble),
    }


def warnings_before(preamble: RunPreamble) -> list[str]:
    """What a reader of the figures must know, as far as it is known before the run."""
    warnings = []
    for host, count in Counter(rank["host"] for rank in preamble.ranks).items():
        cores = next(rank["cores"] for rank in preamble.ranks if rank["host"] == host)
        threads = sum(rank["threads"] for rank in preamble.ranks if rank["host"] == host)
        if threads > cores and not preamble.kind.startswith("emulated"):
            warnings.append(
                f"{host}: {count} ranks with {threads} compute threads share {cores} cores; "
                "times are not those of one device per rank (use [emulation], or fewer ranks)"
            )
        quota = next(rank.get("cpu_quota") for rank in preamble.ranks if rank["host"] == host)
        if quota is not None and quota < count:
            warnings.append(
                f"{host}: a CPU quota of {quota:g} cores for {count} ranks: the kernel stops them "
                "again and again; times are not those of a device (raise the container's limit)"
            )
    warnings += [
        f"rank {rank.get('rank')}: variables of another launcher are ignored ({other})"
        for rank in preamble.ranks
        for other in rank.get("ignored_launchers", ())
    ]
    warnings += clock_warnings(preamble.ranks, preamble.clock_offsets_s)
    if preamble.config.events and preamble.kind != "simulated":
        warnings.append("scripted [[events]] took place: figures are those of a disturbed run")
    return warnings + _unmodelled_codecs(preamble)


def _unmodelled_codecs(preamble: RunPreamble) -> list[str]:
    """What recorded answers leave out of the codecs of the links, where none are of the codec."""
    codecs = " and ".join(lossy_codecs(preamble.plan))
    if preamble.codec_recorded or not codecs:
        return []
    answers = "exits and predictions are those of feature maps that were not encoded"
    if preamble.kind == "emulated, recorded answers":
        return [f"codec {codecs}: its sizes and times are modelled; {answers}"]
    if preamble.kind == "simulated":
        return [
            f"codec {codecs}: only its sizes are modelled; {answers}, and encoding takes no time"
        ]
    return []


def outcome(node: Node) -> dict[str, Any]:
    """The fields that are known at the end of a run: totals and measured window."""
    source = node.source
    assert source is not None
    start_s, end_s = source.window_s
    precision = source.precision.half_share
    return {
        "totals": asdict(source.totals) | {"in_flight": source.in_flight},
        "window": {"start_s": start_s, "end_s": end_s},
        "precision": precision if isfinite(precision) else None,
    }
