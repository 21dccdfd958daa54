"""What ``run.json`` says: the facts of a run before it starts, and what became of it."""

from __future__ import annotations

import os
import secrets
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from mdibench.assembly.state_machines import ExitRule
from mdibench.config.reading import resolved
from mdibench.config.schema import RunConfig
from mdibench.core.node import Node
from mdibench.network.plan import ModelInfo, Plan
from mdibench.record import run_folder
from mdibench.record.run_folder import RunWriter

RunKind = Literal["hardware", "emulated", "shaped link", "simulated"]


@dataclass(frozen=True, slots=True)
class RunPreamble:
    """All that is known before the first item. ``ranks`` holds each rank's host facts."""

    config: RunConfig
    text: str
    kind: RunKind
    plan: Plan
    model: ModelInfo
    judging: ExitRule
    engine: Mapping[str, str] | None = None
    """Name of the engine, and why it was chosen; none for the null block and in a simulation."""
    ranks: Sequence[dict[str, Any]] = ()
    clock_offsets_s: Sequence[float] = ()
    clock_error_s: float = 0.0
    probe: Sequence[dict[str, Any]] = ()
    """Latency and bandwidth of every pair of ranks, below any emulation."""


def run_kind(config: RunConfig, plan: Plan) -> RunKind:
    """How the run's figures must be labelled."""
    emulated = any(plan.devices) or any(link.emulated for link in plan.links.values())
    return "emulated" if emulated else config.run.measured_on


def open_run(facts: RunPreamble, started: datetime | None = None, token: str = "") -> RunWriter:
    """Make the run's folder and its first files; raises ``UserError`` where that cannot be."""
    started = started or datetime.now(timezone.utc)
    run = facts.config.run
    folder = run_folder.create(Path(run.results), run.name, started, token or secrets.token_hex(2))
    (folder / "config.toml").write_text(facts.text, encoding="utf-8")
    return RunWriter(folder, _manifest(facts, folder.name, started))


def _manifest(facts: RunPreamble, name: str, started: datetime) -> dict[str, Any]:
    from mdibench.network.planning import plan_facts

    config = facts.config
    start_s, end_s = config.run.measured_window_s
    return {
        "id": name,
        "name": config.run.name,
        "started_utc": started.isoformat(),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "kind": facts.kind,
        "config": resolved(config),
        "scheme": config.scheme.name,
        "label": config.run.label,
        "seed": config.run.seed,
        "thresholds": list(facts.judging.thresholds),
        "temperatures": list(facts.judging.temperatures),
        "calibration": facts.judging.calibration,
        "plan": plan_facts(facts.plan) | {"hosts": [rank["host"] for rank in facts.ranks]},
        "model": asdict(facts.model),
        "engine": facts.engine,
        "ranks": list(facts.ranks),
        "clock_offsets_s": list(facts.clock_offsets_s),
        "clock_error_s": facts.clock_error_s,
        "probe": list(facts.probe),
        "window": {"start_s": start_s, "end_s": end_s if isfinite(end_s) else None},
        "warnings": warnings_before(facts),
    }


def warnings_before(facts: RunPreamble) -> list[str]:
    """What a reader of the run's figures must know, as far as it shows before the run."""
    found = []
    for host, count in Counter(rank["host"] for rank in facts.ranks).items():
        cores = next(rank["cores"] for rank in facts.ranks if rank["host"] == host)
        threads = sum(rank["threads"] for rank in facts.ranks if rank["host"] == host)
        if threads > cores and facts.kind != "emulated":
            found.append(
                f"{host}: {count} ranks with {threads} compute threads share {cores} cores; "
                "times are not those of one device per rank (use [emulation], or fewer ranks)"
            )
    if facts.config.events and facts.kind != "simulated":
        found.append(
            "the config's [[events]] did not happen: only mdibench simulate lets them happen"
        )
    return found


def outcome(node: Node) -> dict[str, Any]:
    """The manifest's fields that only the end of a run can tell: totals and measured window."""
    source = node.source
    assert source is not None
    start_s, end_s = source.window_s
    return {
        "totals": asdict(source.totals) | {"in_flight": source.in_flight},
        "window": {"start_s": start_s, "end_s": end_s},
    }
