"""What a run's manifest must look like to be read: types, finite numbers, and lists that fit.

A manifest is data from a disk. One whose parts are of another kind than readers expect is refused
here, with the place, so that one damaged run cannot end the report of a whole folder. Parts that a
manifest lacks, and parts that this version does not know, are nobody's fault.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from mdibench.config.network_keys import ConfigSection
from mdibench.config.schema import RunConfig

LONGEST_INTEGER = 18
"""Digits: more do not fit a column."""

Number: TypeAlias = Annotated[float, Field(ge=-1e18, le=1e18)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=10**15)]
Rank: TypeAlias = Annotated[int, Field(ge=0, le=10**6)]
Size: TypeAlias = Annotated[float, Field(ge=0, le=1e18)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """Null says no more than a missing key."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class _Link(_Part):
    source: Rank
    target: Rank
    bandwidth_bps: Size | None = None
    delay_s: Size = 0.0
    jitter_s: Size = 0.0
    loss: Annotated[float, Field(ge=0, le=1)] = 0.0
    codec: str = "none"
    tasks: bool = True


class _DeviceProfile(_Part):
    name: str = ""
    block_s: list[Size] = []
    memory_bytes: Count | None = None
    basis: str = ""


class _Plan(_Part):
    ranks: Annotated[int, Field(ge=1, le=10**6)]
    exits: Annotated[int, Field(ge=1, le=10**4)] = 1
    topology: str = ""
    placement: str = ""
    blocks: list[list[Rank]] = []
    neighbours: list[list[Rank]] = []
    links: list[_Link] = []
    devices: list[str | None] = []
    device_profiles: dict[str, _DeviceProfile] = {}
    hosts: list[str | None] = []

    @model_validator(mode="after")
    def _fits(self) -> _Plan:
        for name in ("blocks", "neighbours", "devices", "hosts"):
            entries = getattr(self, name)
            if name in self.model_fields_set and len(entries) not in (0, self.ranks):
                raise ValueError(f"{len(entries)} {name} for {self.ranks} ranks")
        everyone = [rank for link in self.links for rank in (link.source, link.target)]
        everyone += [rank for near in self.neighbours for rank in near]
        if any(rank >= self.ranks for rank in everyone):
            raise ValueError(f"a link to a rank beyond the {self.ranks} ranks")
        if any(not 1 <= block <= self.exits for blocks in self.blocks for block in blocks):
            raise ValueError(f"a block beyond the {self.exits} exits")
        return self


class _Block(_Part):
    flops: Count
    parameters: Count = 0
    output_bytes: Count
    output_shape: list[Count] = []
    seconds: Size = 0.0


class _Model(_Part):
    name: str
    classes: Count = 0
    input_bytes: Count = 0
    input_shape: list[Count] = []
    blocks: list[_Block] = []


class _RankFacts(_Part):
    rank: Rank | None = None
    host: str = ""
    pid: Count | None = None
    cores: Count | None = None
    threads: Count | None = None
    torch_threads: Count | None = None
    memory_bytes: Count | None = None
    load_1min: Size | None = None
    cpu: str | None = None
    governor: str | None = None
    compiled: bool | None = None


class _Window(_Part):
    start_s: Number | None = None
    end_s: Number | None = None


class _Probe(_Part):
    source: Rank
    target: Rank
    latency_s: Size
    bandwidth_bps: Size | None = None


class _Calibration(_Part):
    target: Number | None = None


class _Manifest(_Part):
    status: str = ""
    reason: str | None = None
    id: str = ""
    name: str = ""
    started_utc: str = ""
    pid: Count | None = None
    host: str | None = None
    boot_id: str = ""
    pid_namespace: str = ""
    process_started_s: Size | None = None
    kind: str = ""
    scheme: str = ""
    label: str | None = ""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    thresholds: list[Number] = []
    temperatures: list[Number] = []
    calibration: _Calibration | None = None
    plan: _Plan | None = None
    model: _Model | None = None
    ranks: list[_RankFacts] = []
    clock_offsets_s: list[Number] = []
    clock_error_s: Number | None = None
    probe: list[_Probe] = []
    window: _Window | None = None
    warnings: list[str] = []
    totals: dict[str, Count] | None = None
    config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fits(self) -> _Manifest:
        if self.plan is not None:
            if len(self.ranks) not in (0, self.plan.ranks):
                raise ValueError(f"facts of {len(self.ranks)} ranks of {self.plan.ranks}")
            if self.model is not None and len(self.model.blocks) not in (0, self.plan.exits):
                raise ValueError(f"{len(self.model.blocks)} blocks for {self.plan.exits} exits")
        return self


def parse(text: bytes) -> dict[str, Any]:
    """A manifest as its readers take it; ``ValueError`` says where it is damaged."""
    manifest = json.loads(text, parse_constant=_refuse, parse_int=_integer)
    if not isinstance(manifest, dict):
        raise ValueError("it is no table")  # noqa: TRY004 - one kind of damage
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as failure:
        raise ValueError(_first(failure)) from None
    _check_config(manifest.get("config") or {})
    return manifest


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER + 1:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _first(failure: ValidationError, *above: str) -> str:
    """The first complaint with its place."""
    one = failure.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, (*above, *one["loc"])))
    return f"{place}: {one['msg']}" if place else str(one["msg"])


# --- the config inside ---------------------------------------------------------------------------
# Keys that this version knows must hold what it would accept; other keys may be there.


def _check_config(config: Mapping[str, Any]) -> None:
    for name, value in config.items():
        field = RunConfig.model_fields.get(name)
        kind = _section(field.annotation) if field is not None else None
        if kind is None or value is None:
            continue
        if not isinstance(value, dict):
            if name == "events" and isinstance(value, list):
                continue
            raise ValueError(f"config.{name}: it is no table")
        for key, below in value.items():
            _check_key(kind, name, key, below)


def _check_key(kind: type[ConfigSection], name: str, key: str, value: Any) -> None:
    adapter = _adapters(kind).get(key)
    if adapter is None or value is None:
        return
    try:
        adapter.validate_python(value)
    except ValidationError as failure:
        raise ValueError(_first(failure, "config", name, key)) from None


def _section(annotation: Any) -> type[ConfigSection] | None:
    """The section that an annotation is, or that it may be."""
    kinds = (annotation, *getattr(annotation, "__args__", ()))
    return next(
        (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, ConfigSection)), None
    )


@cache
def _adapters(kind: type[ConfigSection]) -> dict[str, TypeAdapter[Any]]:
    """What each key of a section takes."""
    return {
        key: TypeAdapter(Annotated[(field.annotation, "", *field.metadata)])  # type: ignore[arg-type]
        for key, field in kind.model_fields.items()
    }
