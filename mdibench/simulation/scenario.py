"""The input of a simulation and of the capacity bound: config, plan, block times and outcomes.

Service times of batches are those of the emulated device, or drawn from a profile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from mdibench.assembly.state_machines import ExitRule, exit_rule_of, generator
from mdibench.assembly.workload import (
    NULL,
    SourceItems,
    answers_under_codec,
    call_seconds,
    check_network,
    encoded_cuts,
    hosted_by,
    load_items,
    measured,
    plan_of,
    planned,
    recorded_items,
    set_up_compute,
    with_cuts,
    with_seconds,
)
from mdibench.compute.engine import Engine, NullEngine
from mdibench.config.reading import noted, read_config
from mdibench.config.schema import RunConfig
from mdibench.core.records import Task
from mdibench.errors import Problem, UserError
from mdibench.network.placement import last_blocks
from mdibench.network.plan import ModelInfo, Plan
from mdibench.network.planning import usual_ranks
from mdibench.record.profile import alone

if TYPE_CHECKING:
    from mdibench.record.profile import Profile, Timing
    from mdibench.training.recordings import Recordings

from mdibench.simulation.world import ServiceTime

DrawSeconds = Callable[[int], float]
"""Seconds of a batch of that size, drawn anew at every call."""
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

    def engines(self) -> list[Engine]:
        """The engine of each rank, which answers with the recorded outcomes.

        Ranks that host the same blocks share one, unless answers depend on the way to the rank.
        """
        if self.recordings is not None and self.recordings.coded is not None:
            return self._engines_by_rank(self.recordings)
        by_blocks = {blocks: self._engine(blocks) for blocks in set(self.plan.blocks)}
        return [by_blocks[blocks] for blocks in self.plan.blocks]

    def _engines_by_rank(self, recordings: Recordings) -> list[Engine]:
        lists = recordings.lists()
        return [
            recordings.engine(
                self.model,
                hosted_by(self.config, blocks, self.model),
                encoded=encoded_cuts(self.config, self.plan, rank),
                lists=lists,
            )
            for rank, blocks in enumerate(self.plan.blocks)
        ]

    def _engine(self, blocks: frozenset[int]) -> Engine:
        hosted = hosted_by(self.config, blocks, self.model)
        if self.recordings is None:
            return NullEngine(self.model.exits, hosted)
        return self.recordings.engine(self.model, hosted)

    def items(self) -> SourceItems:
        """The evaluation items; without tensors where the outcomes are recorded."""
        model, seed = self.config.model, self.config.run.seed
        if self.recordings is None:
            return load_items(model, self.arrivals_s, seed)
        return recorded_items(model, self.model, self.recordings, self.arrivals_s, seed)


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
    config = with_cuts(file.config)
    ranks = workers or usual_ranks(config) or DEFAULT_WORKERS
    model, plan = planned(config, ranks)
    if ":" in config.model.name:
        check_network(config)
    known = _read_profile(profile, config, model) if profile else None
    if not all(plan.devices):
        if not known:
            set_up_compute(config.run.threads, ranks)
        seconds = (
            [alone(times).median_s for times in profiled_times(known, config)]
            if known
            else measured(config, model)
        )
        model = with_seconds(model, seconds)
        plan = plan_of(config, ranks, model)
    exit_rule = exit_rule_of(config, model.exits)
    own = tuple(block.seconds for block in model.blocks)
    return Scenario(
        config=config,
        text=noted(file.text, overrides),
        model=model,
        plan=plan,
        block_s=[device.block_s if device else own for device in plan.devices],
        exit_rule=exit_rule,
        recordings=_recordings(config, plan, exit_rule, profile),
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


def _recordings(
    config: RunConfig, plan: Plan, exit_rule: ExitRule, profile: Path | None
) -> Recordings | None:
    """The real network's outcome for every item at every exit."""
    if config.model.name == NULL:
        return None
    from mdibench.data.dataset import corruption_seed
    from mdibench.training.recordings import check_answers, record, recorded_in

    usual = corruption_seed(config.model.dataset, config.run.seed) in (None, 0)
    if profile and usual and not exit_rule.temperatures:
        known = recorded_in(profile)  # of the items that ``mdibench profile`` scored
        if ":" in config.model.name:
            check_answers(config.model, known, profile)
        return known
    recordings = record(config.model, exit_rule.temperatures, config.run.seed)
    coded = answers_under_codec(config, plan, exit_rule.temperatures)
    return replace(recordings, coded=coded)


# --- service times -------------------------------------------------------------------------------


def service_times(scenario: Scenario) -> ServiceTime:
    """Seconds of a batch on a rank: on an emulated device, block time times number of tasks.

    Without a device and with a profile, times are drawn from the measured ones.
    """
    config, devices = scenario.config, scenario.plan.devices
    last = [last_blocks(config.scheme, blocks) for blocks in scenario.plan.blocks]
    task_s = [
        call_seconds(times, joined) for times, joined in zip(scenario.block_s, last, strict=True)
    ]
    if scenario.profile is None or all(devices):
        return lambda rank, tasks: task_s[rank][tasks[0].block - 1] * len(tasks)
    uniform = generator(config, "service").random
    draws = [draw_seconds(times, uniform) for times in profiled_times(scenario.profile, config)]

    def seconds(rank: int, tasks: Sequence[Task]) -> float:
        block = tasks[0].block
        if devices[rank] is None:
            called = draws[block - 1 : last[rank].get(block, block)]
            return sum(draw(len(tasks)) for draw in called)
        return task_s[rank][block - 1] * len(tasks)

    return seconds


def profiled_times(profile: Profile, config: RunConfig) -> list[tuple[Timing, ...]]:
    """The times of each block, with the heads that a run of ``config`` computes."""
    early, last = config.scheme.exits_early, len(profile.blocks)
    return [block.times_of(early or block.block == last) for block in profile.blocks]


def draw_seconds(times: Sequence[Timing], uniform: Callable[[], float]) -> DrawSeconds:
    """Times of a block as profiled: the median for a batch of that size, times a drawn factor.

    The factor has the distribution of single calls at batch 1, interpolated between deciles.
    """
    single = alone(times)
    factors = [decile / single.median_s for decile in single.deciles_s] or [1.0]

    def draw(size: int) -> float:
        position = uniform() * (len(factors) - 1)
        below = min(int(position), max(len(factors) - 2, 0))
        above = min(below + 1, len(factors) - 1)
        share = position - below
        factor = factors[below] * (1 - share) + factors[above] * share
        return batch_seconds(times, size) * factor

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
