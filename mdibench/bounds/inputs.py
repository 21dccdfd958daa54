"""What the capacity bound needs: the demand of items, and a recorded run with what it measured.

The linear program itself is in ``capacity``. A run's bound takes the run's own block times and the
shares of items that went on after each exit, so that no policy could have sustained more with the
same workers, links, exits and batch sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdibench.bounds.capacity import Demand, Fleet, capacity
from mdibench.codec.codecs import USUAL_RATIO, task_bytes
from mdibench.config.schema import SchemeSection
from mdibench.core.wire import HEADER_BYTES
from mdibench.errors import UserError
from mdibench.network.placement import last_blocks
from mdibench.network.plan import BlockInfo, Link, ModelInfo
from mdibench.policy.algorithms import raw_items_first, stay_if_hosted
from mdibench.record.reader import RunReader

BlockSeconds = Sequence[Sequence[float]]
"""``[rank][block - 1]``"""
AS_FORMED = "at the batch sizes that this run formed"


def demand(
    fleet: Fleet,
    model: ModelInfo,
    block_s: BlockSeconds,
    go_on: Sequence[float],
    scheme: SchemeSection,
    raw_may_leave: bool = False,
    bottleneck: float = USUAL_RATIO,
) -> Demand:
    """The demand of items on ``fleet`` under ``scheme``; ``go_on[k-1]`` is q_k.

    ``raw_may_leave``: raw data may leave the source whatever the scheme says.
    """
    offers_raw, place = scheme.offers_raw or raw_may_leave, scheme.policies.place
    return Demand(
        block_s=block_s,
        go_on=go_on,
        task_bytes={
            codec: task_bytes(model, codec, bottleneck)
            for codec in {ln.codec for ln in fleet.links.values()}
        },
        result_bytes=HEADER_BYTES,
        raw_stays=not offers_raw or place is stay_if_hosted,
        tasks_stay=place in (stay_if_hosted, raw_items_first),
    )


def bound_of_run(run: Path | RunReader, lifted: bool = False) -> dict[str, Any]:
    """``rate_per_s`` and ``binding`` (what limits it, in words) of a recorded run.

    ``limits`` lists the binding workers and links with their shares. With ``lifted``,
    ``raw_offloaded_per_s`` says what the bound would be if raw data might leave the source. Where a
    run has no bound (no item finished, or nothing limits the rate), ``rate_per_s`` is None and
    ``binding`` says why.
    """
    reader = run if isinstance(run, RunReader) else RunReader(run)
    try:
        return _bound_of_run(reader, lifted)
    except (UserError, KeyError, TypeError, ValueError) as problem:
        why = str(problem) if isinstance(problem, UserError) else "its manifest is incomplete"
        return {"rate_per_s": None, "binding": why, "limits": []}


def _bound_of_run(reader: RunReader, lifted: bool) -> dict[str, Any]:
    manifest = reader.manifest
    plan, scheme = manifest["plan"], SchemeSection(**manifest["config"]["scheme"])
    fleet, model = _fleet(plan), model_of(manifest["model"])
    ratio = ratio_of(manifest)
    block_s = measured_block_s(reader, model, scheme)
    go_on = _go_on(reader, model.exits)
    asked = demand(fleet, model, block_s, go_on, scheme, bottleneck=ratio)
    bound = capacity(fleet, asked)
    found: dict[str, Any] = {
        "rate_per_s": bound.rate_per_s,
        "binding": bound.binding + (f", {AS_FORMED}" if batches_as_formed(manifest) else ""),
        "limits": [asdict(limit) | {"name": limit.name} for limit in bound.limits],
    }
    if lifted:
        raw = demand(fleet, model, block_s, go_on, scheme, raw_may_leave=True, bottleneck=ratio)
        found["raw_offloaded_per_s"] = capacity(fleet, raw).rate_per_s
    return found


def batches_as_formed(manifest: Mapping[str, Any]) -> bool:
    """Whether a run's bound holds only for the batch sizes that its policy formed.

    On an emulated device it holds for all: a batch takes as long as its tasks one by one.
    """
    model = (manifest.get("config") or {}).get("model") or {}
    devices = (manifest.get("plan") or {}).get("devices") or [None]
    return int(model.get("max_batch") or 1) > 1 and not all(devices)


# --- measurements of a run -----------------------------------------------------------------------


def measured_block_s(
    reader: RunReader, model: ModelInfo, scheme: SchemeSection
) -> list[list[float]]:
    """Seconds of task k at each worker, from its recorded steps.

    Without steps, the time of the emulated device; else Γ_n; else the time measured before the run.
    A call of several blocks is one step, of its first block: the others take no time of their own.
    """
    fastest, gammas = _fastest_steps(reader), _gammas(reader)
    plan = reader.manifest["plan"]
    profiles = plan.get("device_profiles") or {}
    devices = [profiles.get(name) for name in plan["devices"]]
    inside = {
        (rank, k)
        for rank, hosted in enumerate(plan["blocks"])
        for first, last in last_blocks(scheme, hosted).items()
        if (rank, first) in fastest
        for k in range(first + 1, last + 1)
        if (rank, k) not in fastest  # version 0.1 ran each block as a call of its own
    }
    return [
        [
            0.0
            if (rank, k) in inside
            else fastest.get((rank, k))
            or (device["block_s"][k - 1] if device else gammas.get(rank, 0.0))
            or block.seconds
            for k, block in enumerate(model.blocks, 1)
        ]
        for rank, device in enumerate(devices)
    ]


def _fastest_steps(reader: RunReader) -> dict[tuple[int, int], float]:
    """Seconds of one task by rank and block, at the batch size with the shortest time per task.

    The mean over the batches of that size, divided by the size: a rate is limited by the mean, and
    a median of skewed times would be too small. Sizes with few batches make the
    minimum a little too small: the bound errs upwards and stays a bound.
    """
    steps = reader.numbers("steps", ["rank", "block", "duration_s", "batch"])
    computed = np.isfinite(steps["duration_s"])
    batch = np.nan_to_num(steps["batch"], nan=1.0)
    places = np.stack([steps["rank"], steps["block"], batch], axis=1)[computed]
    seconds = (steps["duration_s"] / batch)[computed]
    fastest: dict[tuple[int, int], float] = {}
    for (rank, block, _), alike in _grouped(places, seconds):
        place = int(rank), int(block)
        fastest[place] = min(fastest.get(place, np.inf), float(np.mean(alike)))
    return fastest


def _grouped(keys: NDArray[Any], values: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Any]]:
    """``values`` by the rows of ``keys``: each distinct row with its values."""
    order = np.lexsort(keys.T[::-1])
    keys, values = keys[order], values[order]
    begins = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=np.nan), axis=1))
    yield from zip(keys[begins], np.split(values, begins[1:]), strict=False)


def _gammas(reader: RunReader) -> dict[int, float]:
    """The last Γ_n of each rank."""
    samples = reader.numbers("telemetry", ["rank", "gamma_s"])
    known = samples["gamma_s"] > 0
    return {
        int(rank): float(gamma)
        for rank, gamma in zip(samples["rank"][known], samples["gamma_s"][known], strict=True)
    }


def _go_on(reader: RunReader, exits: int) -> tuple[float, ...]:
    """q_k over the items that were admitted in the measured window and have ended.

    Those that complete in it are another sample while queues grow: items that leave early come
    first, and the bound would be too large.
    """
    items = reader.numbers("items", ["exit", "admitted_s"])
    window = reader.manifest.get("window") or {}
    start_s, end_s = window.get("start_s") or 0.0, window.get("end_s") or np.inf
    admitted = (items["admitted_s"] >= start_s) & (items["admitted_s"] < end_s)
    taken = items["exit"][admitted & np.isfinite(items["exit"])]
    if not len(taken):
        raise UserError("no item that was admitted in the measured window was completed")
    return go_on_after(taken, exits)


def go_on_after(exits: NDArray[Any], count: int) -> tuple[float, ...]:
    """q_k for k = 1 to ``count``: of the items that come to exit k, the share that goes on."""
    reached = np.array([np.count_nonzero(exits >= k) for k in range(1, count + 2)])
    return tuple((reached[1:] / np.maximum(reached[:-1], 1)).tolist())


# --- manifest ------------------------------------------------------------------------------------


def _fleet(plan: Mapping[str, Any]) -> Fleet:
    links = {
        (link["source"], link["target"]): Link(
            link["bandwidth_bps"],
            link["delay_s"],
            link["jitter_s"],
            link.get("loss", 0.0),
            link.get("codec", "none"),
        )
        for link in plan["links"]
        if link.get("tasks", True)
    }
    return Fleet([frozenset(held) for held in plan["blocks"]], links)


def ratio_of(manifest: Mapping[str, Any]) -> float:
    """Factor by which the codec ``bottleneck`` reduced the run's feature maps."""
    return float((manifest["config"].get("transport") or {}).get("bottleneck", USUAL_RATIO))


def model_of(model: Mapping[str, Any]) -> ModelInfo:
    """The network in the manifest's ``model``."""
    blocks = [
        BlockInfo(
            block["flops"],
            block["parameters"],
            tuple(block["output_shape"]),
            block["output_bytes"],
            block.get("seconds") or 0.0,
        )
        for block in model["blocks"]
    ]
    shape = tuple(model["input_shape"])
    return ModelInfo(model["name"], model["classes"], shape, model["input_bytes"], tuple(blocks))
