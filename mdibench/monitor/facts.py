"""Facts about a run from its manifest; what the manifest lacks gets a neutral value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mdibench.analysis.shares import crowded_hosts


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """One direction of an edge of the plan."""

    source: int
    target: int
    bandwidth_bps: float | None
    delay_s: float
    codec: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts that do not change during a run. Tuples are indexed by rank."""

    id: str
    name: str
    kind: str
    scheme: str
    label: str
    seed: int | None
    started_utc: str
    model: str
    dataset: str
    classes: int | None
    ranks: int
    exits: int
    topology: str
    placement: str
    blocks: tuple[tuple[int, ...], ...]
    neighbours: tuple[tuple[int, ...], ...]
    devices: tuple[str, ...]
    hosts: tuple[str, ...]
    links: tuple[LinkFacts, ...]
    link_name: str
    mode: str
    arrivals: str
    queue_low: int
    queue_high: int
    output_limit: int
    warmup_s: float
    duration_s: float | None
    """Length of the measured window; ``None`` when a number of items ends the run instead."""
    items: int | None
    sample_s: float
    window: tuple[float, float] | None
    warnings: tuple[str, ...]
    shared_host: bool
    """Whether real ranks share the cores of a host, so that it is not one device per rank."""

    @property
    def planned_s(self) -> float | None:
        """Planned end of admission in run time; ``None`` when a number of items ends the run."""
        return None if self.duration_s is None else self.warmup_s + self.duration_s

    @property
    def measured_window(self) -> tuple[float, float]:
        """Start and end of the measured window: as recorded, else as planned."""
        return self.window or (self.warmup_s, self.planned_s or math.inf)

    @property
    def setting(self) -> str:
        """One line: scheme, kind of run with its emulated devices, and topology."""
        device = ", ".join(dict.fromkeys(name for name in self.devices if name))
        emulated = " / ".join(part for part in (device, self.link_name) if part)
        kind = self.kind + ", shared host" if self.shared_host else self.kind
        kind = " ".join(part for part in (kind, emulated) if part)
        return " · ".join(part for part in (self.scheme, kind, self.topology) if part)


def facts_of(manifest: Mapping[str, Any]) -> RunFacts:
    """The facts in ``manifest``."""
    plan, config = _table(manifest, "plan"), _table(manifest, "config")
    run, admission = _table(config, "run"), _table(config, "admission")
    model, ranks = _table(manifest, "model"), _ranks(manifest)
    items = run.get("items")
    return RunFacts(
        id=str(manifest.get("id", "")),
        name=str(manifest.get("name", "") or run.get("name", "run")),
        kind=str(manifest.get("kind", "")),
        scheme=str(manifest.get("scheme", "") or _table(config, "scheme").get("name", "")),
        label=str(manifest.get("label", "") or ""),
        seed=_whole(manifest.get("seed")),
        started_utc=str(manifest.get("started_utc", "")),
        model=str(model.get("name", "") or _table(config, "model").get("name", "")),
        dataset=str(_table(config, "model").get("dataset", "")),
        classes=_whole(model.get("classes")),
        ranks=ranks,
        exits=_exits(manifest),
        topology=str(plan.get("topology", "")),
        placement=str(plan.get("placement", "")),
        blocks=_per_rank(plan.get("blocks"), ranks),
        neighbours=_per_rank(plan.get("neighbours"), ranks),
        devices=_names(plan.get("devices"), ranks),
        hosts=_names(plan.get("hosts"), ranks),
        links=tuple(_link(entry) for entry in plan.get("links") or () if isinstance(entry, dict)),
        link_name=str(_table(config, "emulation").get("link") or ""),
        mode=str(admission.get("mode", "")),
        arrivals=str(admission.get("arrivals", "")),
        queue_low=int(_number(admission.get("queue_low"), 0)),
        queue_high=int(_number(admission.get("queue_high"), 0)),
        output_limit=int(_number(_table(config, "scheme").get("output_queue_limit"), 50)),
        warmup_s=_number(run.get("warmup_s"), 0.0),
        duration_s=None if items else _number(run.get("duration_s"), None),
        items=_whole(items),
        sample_s=_number(run.get("sample_s"), 0.2),
        window=_window(manifest.get("window")),
        shared_host=bool(crowded_hosts(manifest)),
        warnings=tuple(str(text) for text in manifest.get("warnings") or ()),
    )


def _table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any, default: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) else default


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _ranks(manifest: Mapping[str, Any]) -> int:
    recorded = _whole(_table(manifest, "plan").get("ranks"))
    return max(1, recorded if recorded is not None else len(manifest.get("ranks") or ()))


def _exits(manifest: Mapping[str, Any]) -> int:
    recorded = _whole(_table(manifest, "plan").get("exits"))
    return max(
        1, recorded if recorded is not None else len(_table(manifest, "model").get("blocks") or ())
    )


def _per_rank(value: Any, ranks: int) -> tuple[tuple[int, ...], ...]:
    rows = [tuple(int(number) for number in row or ()) for row in value or ()]
    return tuple(rows[:ranks] + [()] * (ranks - len(rows)))


def _names(value: Any, ranks: int) -> tuple[str, ...]:
    names = [str(name or "") for name in value or ()]
    return tuple(names[:ranks] + [""] * (ranks - len(names)))


def _link(entry: Mapping[str, Any]) -> LinkFacts:
    return LinkFacts(
        source=int(_number(entry.get("source"), 0)),
        target=int(_number(entry.get("target"), 0)),
        bandwidth_bps=_number(entry.get("bandwidth_bps"), None),
        delay_s=_number(entry.get("delay_s"), 0.0),
        codec=str(entry.get("codec") or "none"),
    )


def _window(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, dict):
        return None
    start_s, end_s = _number(value.get("start_s"), None), _number(value.get("end_s"), None)
    return None if start_s is None or end_s is None else (start_s, end_s)
