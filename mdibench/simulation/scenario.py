"""The input of a simulation and of the capacity bound: config, plan, block times and outcomes.

Service times of batches are those of the emulated device, or drawn from a profile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mdibench.assembly.state_machines import ExitRule, exit_rule_of, generator
from mdibench.assembly.workload import (
    NULL,
    SourceItems,
    load_items,
    measured,
    planned,
    set_up_torch,
    with_seconds,
)
from mdibench.compute.engine import Engine, NullEngine
from mdibench.config.reading import noted, read_config
from mdibench.config.schema import RunConfig
from mdibench.core.records import Task
from mdibench.errors import Problem, UserError
from mdibench.network.plan import ModelInfo, Plan
from mdibench.network.planning import make_plan, usual_ranks
from mdibench.simulation.world import ServiceTime

if TYPE_CHECKING:
    from mdibench.record.profile import BlockProfile, Profile, Timing
    from mdibench.training.recordings import Recordings

DrawSeconds = Callable[[int], float]
"""Seconds of a batch of the given size; a new draw at every call."""

DEFAULT_WORKERS = 4
"""World size where neither the command nor the config gives one."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a simulated run is made from.

    ``block_s[n][k-1]`` are the seconds of one task of block k on rank n. ``recordings`` are the
    real network's outcomes for the items; None for the model ``null``. ``profile``, if given, has
    the spread of the block times for the ranks without an emulated device. ``arrivals_s``
    are those of the config's trace file.
    """

    config: RunConfig
    text: str
    model: ModelInfo
    plan: Plan
    block_s: Sequence[Sequence[float]]
    exit_rule: ExitRule
    recordings: Recordings | None
    profile: Profile | None = None
    arrivals_s: Sequence[float] = ()

    @property
    def thresholds(self) -> tuple[float, ...]:
        """T_e of every exit at the start."""
        return self.exit_rule.thresholds

    def engine(self) -> Engine:
        """An engine that returns the recorded outcomes."""
        if self.recordings is None:
            return NullEngine(self.model.exits)
        return self.recordings.engine(self.model)

    def items(self) -> SourceItems:
        """The evaluation items; without tensors where the outcomes are recorded."""
        if self.recordings is None:
            return load_items(self.config.model, self.arrivals_s)
        size, labels = self.model.input_bytes, self.recordings.labels.tolist()
        return SourceItems(labels, lambda sample: (None, size), self.arrivals_s)


def load_scenario(
    path: Path,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    profile: Path | None = None,
) -> Scenario:
    """Read the config, plan for ``workers`` ranks, and record the network's outcomes.

    Block times are those of the emulated devices; for ranks without one, those of the profile in
    the folder ``profile``; without a profile they are measured here.
    Raises UserError with all problems.
    """
    file = read_config(path, overrides)
    config = file.config
    ranks = workers or usual_ranks(config) or DEFAULT_WORKERS
    model, plan = planned(config, ranks)
    known = _read_profile(profile, config, model) if profile else None
    if not all(plan.devices):
        if not known:
            set_up_torch(config.run.threads, ranks)
        seconds = [b.seconds for b in known.blocks] if known else measured(config.model)
        model = with_seconds(model, seconds)
        plan = make_plan(config, ranks, model)
    exit_rule = exit_rule_of(config, model.exits)
    own = tuple(block.seconds for block in model.blocks)
    return Scenario(
        config=config,
        text=noted(file.text, overrides),
        model=model,
        plan=plan,
        block_s=[device.block_s if device else own for device in plan.devices],
        exit_rule=exit_rule,
        recordings=_recordings(config, exit_rule, profile),
        profile=known,
        arrivals_s=file.arrivals_s,
    )


def _read_profile(folder: Path, config: RunConfig, model: ModelInfo) -> Profile:
    """The profile in ``folder``; raises UserError unless it is of this config's network."""
    from mdibench.record.profile import read_profile

    profile = read_profile(folder)
    section = config.model
    differing = [
        f'{key} is "{profile.model.get(key)}" there and "{value}" here'
        for key, value in (
            ("name", section.name),
            ("dataset", section.dataset),
            ("confidence", section.confidence),
        )
        if profile.model.get(key) != value
    ]
    sizes = [block.output_bytes for block in profile.blocks]
    if not differing and sizes != [block.output_bytes for block in model.blocks]:
        differing = ["its blocks have other sizes"]
    if differing:
        remedy = "profile this config's network: mdibench profile CONFIG"
        what = f"a profile of another network: {'; '.join(differing)}"
        raise UserError(Problem(what, str(folder), remedy))
    return profile


def _recordings(config: RunConfig, exit_rule: ExitRule, profile: Path | None) -> Recordings | None:
    """The real network's outcome for every item at every exit."""
    if config.model.name == NULL:
        return None
    from mdibench.training.recordings import record, recorded_in

    if profile and not exit_rule.temperatures:
        return recorded_in(profile)
    return record(config.model, exit_rule.temperatures)


# --- service times -------------------------------------------------------------------------------


def service_times(scenario: Scenario) -> ServiceTime:
    """Seconds of a batch on a rank: on an emulated device, block time times number of tasks.

    Without a device and with a profile, times are drawn from the measured ones.
    """
    block_s, devices = scenario.block_s, scenario.plan.devices
    if scenario.profile is None or all(devices):
        return lambda rank, tasks: block_s[rank][tasks[0].block - 1] * len(tasks)
    uniform = generator(scenario.config, "service").random
    draws = [draw_seconds(block, uniform) for block in scenario.profile.blocks]

    def seconds(rank: int, tasks: Sequence[Task]) -> float:
        block = tasks[0].block - 1
        if devices[rank] is None:
            return draws[block](len(tasks))
        return block_s[rank][block] * len(tasks)

    return seconds


def draw_seconds(block: BlockProfile, uniform: Callable[[], float]) -> DrawSeconds:
    """Draws of a block's time: the profiled median for the batch size, times a random factor.

    The factor has the distribution of single calls at batch 1, interpolated between deciles.
    """
    alone = next(timing for timing in block.times if timing.batch == 1)
    factors = [decile / alone.median_s for decile in alone.deciles_s] or [1.0]

    def draw(size: int) -> float:
        position = uniform() * (len(factors) - 1)
        below = min(int(position), max(len(factors) - 2, 0))
        above = min(below + 1, len(factors) - 1)
        share = position - below
        factor = factors[below] * (1 - share) + factors[above] * share
        return batch_seconds(block.times, size) * factor

    return draw


def batch_seconds(times: Sequence[Timing], size: int) -> float:
    """Median seconds of a batch: linear between profiled sizes, in proportion beyond them."""
    known = sorted((timing.batch, timing.median_s) for timing in times)
    largest, longest_s = known[-1]
    if size >= largest:
        return longest_s * size / largest
    for (low, low_s), (high, high_s) in pairwise(known):
        if low <= size < high:
            return low_s + (high_s - low_s) * (size - low) / (high - low)
    return known[0][1]
