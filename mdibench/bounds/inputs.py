"""What the capacity bound needs: the demand of items, and a recorded run with what it measured.

The linear program itself is in ``capacity``. A run's bound takes the run's own block times and the
shares of items that went on after each exit, so that no policy could have sustained more with the
same workers, links, exits and batch sizes. Scripted events cut a run's window into pieces, with a
fleet and a demand each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mdibench.bounds.capacity import (
    RATE,
    Bound,
    Demand,
    Fleet,
    Program,
    RankPair,
    Resource,
    SparseRows,
    bound_at,
    capacity,
    optimum,
)
from mdibench.codec.codecs import USUAL_RATIO, task_bytes
from mdibench.config.schema import EventEntry, SchemeSection
from mdibench.core.wire import HEADER_BYTES
from mdibench.errors import UserError
from mdibench.network.placement import last_blocks
from mdibench.network.plan import BlockInfo, Link, ModelInfo
from mdibench.network.planning import FleetState, fleet_states
from mdibench.policy.algorithms import raw_items_first, stay_if_hosted
from mdibench.record.reader import RunReader

Ranks: TypeAlias = tuple[int, ...]
Numbers: TypeAlias = NDArray[np.float64]
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


def bound_of_run(run: Path | RunReader) -> dict[str, Any]:
    """``rate_per_s`` and ``binding`` (what limits it, in words) of a recorded run.

    ``limits`` lists the binding workers and links with their shares, ``pieces`` the bounds between
    scripted events, each with its ``end_s``. Where a run has no bound (no item finished, or nothing
    limits the rate), ``rate_per_s`` is None and ``binding`` says why.
    """
    reader = run if isinstance(run, RunReader) else RunReader(run)
    try:
        return _bound_of_run(reader)
    except (UserError, KeyError, TypeError, ValueError) as problem:
        why = str(problem) if isinstance(problem, UserError) else "its manifest is incomplete"
        return {"rate_per_s": None, "binding": why, "limits": [], "pieces": []}


def _bound_of_run(reader: RunReader) -> dict[str, Any]:
    manifest = reader.manifest
    scheme = SchemeSection(**manifest["config"]["scheme"])
    model, ratio = model_of(manifest["model"]), ratio_of(manifest)
    block_s = measured_block_s(reader, model, scheme)
    go_on = _go_on(reader, model.exits)
    pieces = [
        Piece(start_s, end_s, fleet, demand(fleet, model, slowed, go_on, scheme, bottleneck=ratio))
        for start_s, end_s, state in _states_in(reader)
        for fleet, slowed in [_in_state(manifest, state, block_s)]
    ]
    bound = capacity_in_pieces(pieces)
    alone = [capacity(p.fleet, p.demand) for p in pieces] if len(pieces) > 1 else [bound]
    return {
        "rate_per_s": bound.rate_per_s,
        "binding": bound.binding + (f", {AS_FORMED}" if batches_as_formed(manifest) else ""),
        "limits": [asdict(limit) | {"name": limit.name} for limit in bound.limits],
        "pieces": [
            {"end_s": piece.end_s, "rate_per_s": own.rate_per_s}
            for piece, own in zip(pieces, alone, strict=True)
        ],
    }


def batches_as_formed(manifest: Mapping[str, Any]) -> bool:
    """Whether a run's bound holds only for the batch sizes that its policy formed.

    An emulated device takes as long for a batch as for its tasks one by one.
    """
    model = (manifest.get("config") or {}).get("model") or {}
    devices = (manifest.get("plan") or {}).get("devices") or [None]
    return int(model.get("max_batch") or 1) > 1 and not all(devices)


# --- scripted events -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a window without a scripted event inside."""

    start_s: float
    end_s: float
    fleet: Fleet
    demand: Demand


def capacity_in_pieces(pieces: Sequence[Piece]) -> Bound:
    """The highest mean rate over pieces that follow each other, all exits the same.

    Tasks may wait from one piece to the next, and are computed by the end: the mean of the pieces'
    own bounds, or more where one is limited by other resources than the one before. Raises
    UserError where nothing limits the rate.
    """
    if len(pieces) == 1:
        return capacity(pieces[0].fleet, pieces[0].demand)
    programs = [Program(piece.fleet, piece.demand) for piece in pieces]
    spans_s = [piece.end_s - piece.start_s for piece in pieces]
    limits, equalities, width = _joined(programs, spans_s)
    costs, begins = np.zeros(width), np.cumsum([0, *(len(one.columns) for one in programs)])
    costs[begins[:-1] + [one.columns[RATE] for one in programs]] = -1.0
    best = optimum(costs, limits, equalities)
    return _mean_bound(programs, spans_s, np.split(best.values, begins[1:-1]), best.limit_gains)


def _joined(
    programs: Sequence[Program], spans_s: Sequence[float]
) -> tuple[SparseRows, SparseRows, int]:
    """Limits, equalities and number of variables: numbers of tasks, those of each piece in turn.

    After the limits of all pieces: until the end of each, nothing goes on that has not come. At the
    end of the last, nothing waits.
    """
    limits, waits, begin = SparseRows(), SparseRows(), 0
    came: list[list[tuple[int, float]]] = [[] for _ in programs[0].equalities.rows]
    for program, span_s in zip(programs, spans_s, strict=True):
        for row, right in zip(program.limits.rows, program.limits.right, strict=True):
            limits.add([(begin + column, value) for column, value in row], right * span_s)
        for sums, row in zip(came, program.equalities.rows, strict=True):
            sums += [(begin + column, value) for column, value in row]
            waits.add([(column, -value) for column, value in sums], 0.0)
        begin += len(program.columns)
    last, equalities = len(came), SparseRows()
    equalities.rows, equalities.right = waits.rows[-last:], waits.right[-last:]
    limits.rows, limits.right = limits.rows + waits.rows[:-last], limits.right + waits.right[:-last]
    return limits, equalities, begin


def _mean_bound(
    programs: Sequence[Program],
    spans_s: Sequence[float],
    numbers: Sequence[NDArray[np.float64]],
    gains: NDArray[np.float64],
) -> Bound:
    """Rates, uses and shares over all pieces, of numbers of tasks by piece and variable."""
    parts = defaultdict[Ranks, list[tuple[float, float, float]]](list)
    totals, row = defaultdict[Hashable, float](float), 0
    for program, span_s, found in zip(programs, spans_s, numbers, strict=True):
        used_s = (program.limits.matrix(len(found)) @ found).tolist()
        for at, ranks in enumerate(program.resources):
            parts[ranks].append((span_s, used_s[at], float(gains[row + at]) * span_s))
        for variable, column in program.columns.items():
            totals[variable] += float(found[column])
        row += len(program.limits.rows)
    items, whole_s, resources = totals[RATE], sum(spans_s), []
    for ranks, part in parts.items():
        there_s, used, gained = map(sum, zip(*part, strict=True))
        resources.append(Resource(ranks, used / there_s, gained / items if items else 0.0))
    rates = {variable: number / whole_s for variable, number in totals.items() if number > 0}
    return bound_at(items / whole_s, resources, rates)


def _states(reader: RunReader) -> list[tuple[float, FleetState]]:
    events = reader.manifest["config"].get("events") or ()
    return fleet_states([EventEntry(**event) for event in events])


def _states_in(reader: RunReader) -> Iterator[tuple[float, float, FleetState]]:
    """The parts of the window with one state each: start, end, state. At least one."""
    begin_s, end_s = _window(reader)
    states = _states(reader)
    for (_, state), (until_s, following) in pairwise(states):
        if begin_s < until_s < end_s and following != state:
            yield begin_s, until_s, state
            begin_s = until_s
    yield begin_s, end_s, [state for from_s, state in states if from_s < end_s][-1]


def _in_state(
    manifest: Mapping[str, Any], state: FleetState, block_s: BlockSeconds
) -> tuple[Fleet, BlockSeconds]:
    """The fleet of a run's plan in ``state``, and the times of its blocks."""
    hosted = state.blocks([frozenset(held) for held in manifest["plan"]["blocks"]])
    slowed = [
        [seconds * _slowdown(manifest, state, rank) for seconds in own]
        for rank, own in enumerate(block_s)
    ]
    return Fleet(hosted, state.links(_links(manifest["plan"])), state.left), slowed


def _slowdown(manifest: Mapping[str, Any], state: FleetState, rank: int) -> float:
    """How many times as long as at the start blocks take; no event makes a real device faster."""
    factor = state.slowness.get(rank, 1.0)
    real = manifest.get("kind") != "simulated" and manifest["plan"]["devices"][rank] is None
    return max(1.0, factor) if real else factor


# --- measurements of a run -----------------------------------------------------------------------


def measured_block_s(
    reader: RunReader, model: ModelInfo, scheme: SchemeSection
) -> list[list[float]]:
    """Seconds of task k at each worker, from its recorded steps; undisturbed by scripted events.

    Without steps, the time of the emulated device; else the mean of all that the rank computed in
    the window; else the time measured before the run. A call of several blocks is one step, of its
    first block: the others take no time of their own.
    """
    plan = reader.manifest["plan"]
    profiles = plan.get("device_profiles") or {}
    devices = [profiles.get(name) for name in plan["devices"]]
    means = {} if all(devices) else _mean_seconds(reader, len(model.blocks))
    seconds = {place: mean for place, mean in means.items() if devices[place[0]] is None}
    seconds |= _fastest_steps(reader)
    inside = {
        (rank, k)
        for rank, hosted in enumerate(plan["blocks"])
        for first, last in last_blocks(scheme, hosted).items()
        if (rank, first) in seconds
        for k in range(first + 1, last + 1)
        if (rank, k) not in seconds  # version 0.1 ran each block as a call of its own
    }
    return [
        [
            0.0
            if (rank, k) in inside
            else seconds.get((rank, k))
            or (device["block_s"][k - 1] if device else 0.0)
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
    steps = reader.numbers("steps", ["t_s", "rank", "block", "duration_s", "batch"])
    computed = np.isfinite(steps["duration_s"])
    steps = {name: np.nan_to_num(values[computed], nan=1.0) for name, values in steps.items()}
    factor = _slowdowns(reader, steps["rank"], steps["t_s"], steps["duration_s"])
    known = np.isfinite(factor)
    places = np.stack([steps["rank"], steps["block"], steps["batch"]], axis=1)[known]
    seconds = (steps["duration_s"] / steps["batch"] / factor)[known]
    fastest: dict[tuple[int, int], float] = {}
    for (rank, block, _), alike in _grouped(places, seconds):
        place = int(rank), int(block)
        fastest[place] = min(fastest.get(place, np.inf), float(np.mean(alike)))
    return fastest


def _slowdowns(
    reader: RunReader, ranks: Numbers, ended_s: Numbers, duration_s: Numbers | None = None
) -> Numbers:
    """By what factor each step was slowed; NaN where it may be one of before the event that did.

    An engine has up to two batches then, which take the time of three of the longest at most.
    """
    factors = np.ones(len(ranks))
    for (_, before), (at_s, state) in pairwise(_states(reader)):
        for rank in {*before.slowness, *state.slowness}:
            if before.slowness.get(rank) == state.slowness.get(rank):
                continue
            own = ranks == rank
            factors[own & (ended_s >= at_s)] = _slowdown(reader.manifest, state, rank)
            if duration_s is not None and own.any():
                unclear_s = 3 * duration_s[own].max()
                factors[own & (ended_s >= at_s) & (ended_s < at_s + unclear_s)] = np.nan
    return factors


def _grouped(keys: NDArray[Any], values: NDArray[Any]) -> Iterator[tuple[NDArray[Any], Any]]:
    """``values`` by the rows of ``keys``: each distinct row with its values."""
    order = np.lexsort(keys.T[::-1])
    keys, values = keys[order], values[order]
    begins = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=np.nan), axis=1))
    yield from zip(keys[begins], np.split(values, begins[1:]), strict=False)


def _mean_seconds(reader: RunReader, blocks: int) -> dict[tuple[int, int], float]:
    """Seconds of one task in the window by rank and first block of its call; as if never slowed."""
    ranks, t_s = reader.numbers("telemetry", ["rank", "t_s"]).values()
    slowed, (start_s, end_s) = _slowdowns(reader, ranks, t_s), _window(reader)
    table = reader.table("telemetry", ["block_tasks", "block_busy_s"])
    unknown = [np.nan] * blocks
    tasks, busy_s = (
        np.array([v if v and len(v) == blocks else unknown for v in column.to_pylist()], np.float64)
        for column in table.columns
    )
    means: dict[tuple[int, int], float] = {}
    for rank in np.unique(ranks[np.isfinite(ranks)]):
        own = np.flatnonzero((ranks == rank) & (t_s >= start_s) & (t_s <= end_s))
        seconds = np.sum(np.diff(busy_s[own], axis=0) / slowed[own][1:, None], axis=0)
        count = np.sum(np.diff(tasks[own], axis=0), axis=0)
        known = np.flatnonzero((count > 0) & (seconds > 0))
        means |= {(int(rank), int(k) + 1): float(seconds[k] / count[k]) for k in known}
    return means


def _go_on(reader: RunReader, exits: int) -> tuple[float, ...]:
    """q_k over the items that were admitted in the measured window and have ended.

    Those that complete in it are another sample while queues grow: items that leave early come
    first, and the bound would be too large.
    """
    items = reader.numbers("items", ["exit", "admitted_s"])
    start_s, end_s = _window(reader)
    admitted = (items["admitted_s"] >= start_s) & (items["admitted_s"] < end_s)
    taken = items["exit"][admitted & np.isfinite(items["exit"])]
    if not len(taken):
        raise UserError("no item that was admitted in the measured window was completed")
    return go_on_after(taken, exits)


def _window(reader: RunReader) -> tuple[float, float]:
    """The measured window; of a partial run, up to its last completion."""
    window = reader.manifest.get("window") or {}
    start_s, end_s = window.get("start_s") or 0.0, window.get("end_s")
    if end_s is None:
        ended_s = reader.numbers("items", ["completed_s"])["completed_s"]
        end_s = np.max(ended_s, initial=start_s, where=np.isfinite(ended_s))
    return float(start_s), float(end_s)


def go_on_after(exits: NDArray[Any], count: int) -> tuple[float, ...]:
    """q_k for k = 1 to ``count``: of the items that come to exit k, the share that goes on."""
    reached = np.array([np.count_nonzero(exits >= k) for k in range(1, count + 2)])
    return tuple((reached[1:] / np.maximum(reached[:-1], 1)).tolist())


# --- manifest ------------------------------------------------------------------------------------


def _links(plan: Mapping[str, Any]) -> dict[RankPair, Link]:
    return {
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


def ratio_of(manifest: Mapping[str, Any]) -> float:
    """Factor by which the codec ``bottleneck`` reduced the run's feature maps."""
    return float((manifest["config"].get("transport") or {}).get("bottleneck", USUAL_RATIO))


def model_of(model: Mapping[str, Any]) -> ModelInfo:
    """The network in the manifest's ``model``."""
    fields = ("flops", "parameters", "output_shape", "output_bytes", "seconds")
    blocks = [
        BlockInfo(flops, parameters, tuple(shape), size, seconds or 0.0)
        for block in model["blocks"]
        for flops, parameters, shape, size, seconds in [map(block.get, fields)]
    ]
    shape = tuple(model["input_shape"])
    return ModelInfo(model["name"], model["classes"], shape, model["input_bytes"], tuple(blocks))
