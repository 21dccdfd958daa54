"""One MPI rank of a run from start to end: read the config, set up, run the loop, close.

``preparing`` has the steps that all ranks take together before; ``ending`` says what becomes of
errors. Called by ``mdibench run`` and, for the runs of a sweep, by ``sweep.crew``.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mdibench.assembly import environment
from mdibench.assembly.manifest import RunPreamble, open_run, outcome
from mdibench.assembly.sampling import Progress
from mdibench.assembly.state_machines import ExitRule, generator, make_node
from mdibench.assembly.workload import (
    call_seconds,
    set_up_compute,
)
from mdibench.compute.engine import Engine
from mdibench.config.reading import noted
from mdibench.config.schema import RunConfig
from mdibench.core.node import Node
from mdibench.core.records import SOURCE
from mdibench.core.wire import HEADER_BYTES
from mdibench.errors import OK, USAGE_ERROR, Problem, UserError
from mdibench.network.placement import last_blocks
from mdibench.network.plan import ModelInfo, Plan
from mdibench.rank.computing import (
    AdaptiveCompute,
    ComputeThread,
    Computing,
    RecordedCompute,
    longest_inline_s,
    shared_recordings,
)
from mdibench.rank.ending import Ending, together
from mdibench.rank.guard import start_guard
from mdibench.rank.hooks import BackgroundErrors, Hooks, SourceHooks, WorkerHooks
from mdibench.rank.launch import tell
from mdibench.rank.loop import Loop, LoopSetup
from mdibench.rank.preparing import (
    bottleneck_pairs,
    config_file,
    engine_of,
    items_of_source,
    preamble_of,
    prepare,
    run_clock,
    with_agreed_cuts,
)
from mdibench.rank.scripted_events import RankParts, Script, SlowableEngine
from mdibench.rank.sensors import facts_reader
from mdibench.transport.links import LinkClock

if TYPE_CHECKING:
    from mdibench.codec.bottleneck import CodecPair
    from mdibench.transport.mpi import RankGroup
    from mdibench.transport.post_office import PostOffice

CONTROL_BYTES = 64 * 1024
"""Room that every message buffer has, however small the feature maps are."""
GONE_RANKS_S = 1.0
"""At the end, how long messages may wait for ranks of which nobody knows yet that they are gone."""


class RunDisplay(Protocol):
    """A live display of the run; called on rank 0 only."""

    def start(self, folder: Path) -> None:
        """Called when the run's folder exists."""

    def wait(self) -> None:
        """Called when the run is over; returns when the user closes the display."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of the command line, the same on every rank."""

    config: Path
    overrides: tuple[str, ...] = ()
    monitor: RunDisplay | None = None
    quiet: bool = False
    guarded: bool = False
    """Whether this run is all that the job does, so that a guard may watch its processes."""


def run_rank(options: RunOptions, launch: environment.Launch) -> tuple[int, Path | None]:
    """Run this process, prepared by ``prepare_rank``, as one rank of the job. MPI starts here.

    Returns its exit status, and on rank 0 the folder of the run.
    """
    from mdibench.transport.mpi import RankGroup

    group = RankGroup()
    _check_world(launch, group.size)
    return run_in(group, options, _corrected(launch, group))


def run_in(
    group: RankGroup, options: RunOptions, launch: environment.Launch
) -> tuple[int, Path | None]:
    """Run as one rank of ``group``; returns exit status and, on rank 0, the run's folder."""
    try:
        with Ending(group) as ending:
            try:
                _run(options, group, launch, ending)
            except UserError:
                if group.rank == SOURCE:
                    raise
                return USAGE_ERROR, None
    finally:
        _leave_together(options, group)
    return OK, ending.folder


def _leave_together(options: RunOptions, group: RankGroup) -> None:
    """Keep the job alive until rank 0's monitor is closed, however the run ended."""
    if options.monitor is not None:
        if group.rank == SOURCE:
            options.monitor.wait()
        group.barrier()


def _corrected(launch: environment.Launch, group: RankGroup) -> environment.Launch:
    """What MPI itself says of this rank, where the launcher's variables say something else."""
    from mdibench.transport.mpi import processor_name

    host = processor_name()
    here = group.share(host).count(host)  # by all ranks, whatever each one's variables say
    if launch.size == group.size:
        return launch
    said = f"{launch.name or 'no launcher'}: rank {launch.rank} of {launch.size}"
    return environment.Launch("", group.rank, group.size, here, (*launch.ignored, said))


def _check_world(launch: environment.Launch, size: int) -> None:
    """Raise UserError if launcher and library are of different MPIs: every rank is then alone."""
    if launch.size == 1 or size > 1:
        return
    if launch.rank != SOURCE:
        os._exit(USAGE_ERROR)
    from mdibench.transport.mpi import library

    raise UserError(
        Problem(
            f"the launcher ({launch.name}) started {launch.size} ranks, but each is alone in its "
            f"MPI library ({library()})",
            remedy="use that library's own mpirun, or choose the library with MPI4PY_LIBMPI or "
            "MPI4PY_MPIABI; `mdibench doctor` shows both",
        )
    )


# --- setup ---------------------------------------------------------------------------------------


def _run(options: RunOptions, group: RankGroup, launch: environment.Launch, ending: Ending) -> None:
    file = config_file(options.config, options.overrides, group)
    config = file.config
    source = group.rank == SOURCE
    if source:
        tell("loading", f"{config.model.name} and {config.model.dataset}")
    threads = set_up_compute(config.run.threads, launch.local_size)
    config = with_agreed_cuts(config, group)
    prepared = prepare(config, group)
    info, plan, rule = prepared.info, prepared.plan, prepared.rule
    recordings = shared_recordings(config, plan, rule, group) if config.model.recorded else None
    engine = engine_of(config, prepared, group, threads, recordings)
    pairs = bottleneck_pairs(config, plan, group)
    items = together(group, lambda: items_of_source(file, info, recordings) if source else None)
    kept = noted(file.text, options.overrides)
    preamble = preamble_of(config, kept, prepared, group, threads, launch)
    coded = recordings is not None and recordings.coded is not None
    preamble = replace(preamble, data=items.data if items else None, codec_recorded=coded)
    writer = together(group, lambda: open_run(preamble) if source else None)
    if writer is not None:
        _announce(writer.folder, options, preamble)
    clock = run_clock(group, preamble)
    background = BackgroundErrors(group.rank, clock)
    logging.getLogger("mdibench").addHandler(background)
    post = _post_office(config, plan, info, pairs, group)
    node = make_node(config, plan, group.rank, rule.thresholds, items)
    compute, slow = _computing(engine, config, plan, group, launch.local_size)
    parts = RankParts(node, post, partial(_newcomer, config, plan, group.rank, rule), slow)
    script = Script(config, group.rank, parts) if config.events else None
    hooks: Hooks
    if writer is not None:
        quiet = options.quiet or options.monitor is not None
        progress = Progress(config.run.admission_end_s, quiet)
        hooks = SourceHooks(post, node, writer, background, progress)
        ending.keep(writer, lambda: outcome(node), hooks)
        if options.monitor is not None:
            options.monitor.start(writer.folder)
    else:
        hooks = WorkerHooks(post, background)
        ending.report_through(post)
    gc.freeze()  # objects loaded so far stay: collections need not traverse them again
    process = facts_reader(preamble, group.rank)
    try:
        setup = LoopSetup(clock, config.run.sample_s, process)
        Loop(setup, node, post, compute, hooks, script).run()
    finally:
        gc.unfreeze()  # the next run of this process freezes its own
    _part(post, group)
    compute.stop()


def _announce(folder: Path, options: RunOptions, preamble: RunPreamble) -> None:
    """Tell the launching command where the run is, and have its processes watched.

    Not where the run survives a process: its end explains nothing then.
    """
    from mdibench.transport.mpi import survives_failures

    tell("folder", str(folder.resolve()))
    if options.guarded and not survives_failures():
        start_guard(folder, preamble.ranks)


def _part(post: PostOffice, group: RankGroup) -> None:
    """End the traffic of all ranks; where a rank may be gone, of those that are left."""
    from mdibench.transport.mpi import survives_failures

    if survives_failures():
        post.close(GONE_RANKS_S)
        group.meet_survivors()
    else:
        post.close()


def _post_office(
    config: RunConfig, plan: Plan, info: ModelInfo, pairs: dict[int, CodecPair], group: RankGroup
) -> PostOffice:
    from mdibench.codec.codecs import Coder
    from mdibench.transport.mpi import Endpoint
    from mdibench.transport.post_office import PostOffice

    largest = max([info.input_bytes, *(block.output_bytes for block in info.blocks)])
    rank = group.rank
    endpoint = Endpoint(HEADER_BYTES + max(largest, CONTROL_BYTES), group.comm)
    links = {
        target: LinkClock(link) for (source, target), link in plan.links.items() if source == rank
    }
    uniform = generator(config, f"links {rank}").random
    return PostOffice(endpoint, links, uniform, coder=Coder(pairs), exits=plan.exits)


def _computing(
    engine: Engine, config: RunConfig, plan: Plan, group: RankGroup, local_size: int
) -> tuple[Computing, Callable[[float], None]]:
    """Who computes here: a thread beside the loop, unless calls are short or no core is free.

    And how to make it slower by a factor, for scripted events.
    """
    device = plan.devices[group.rank]
    if device is None:
        slowable = SlowableEngine(engine) if config.events else None
        engine = slowable or engine
        share = environment.threads_per_rank(0, local_size, environment.cores())
        computing = AdaptiveCompute(engine, longest_inline_s(share, group.size == 1))
        return computing, slowable.slow if slowable else lambda factor: None
    last = last_blocks(config.scheme, plan.blocks[group.rank])
    emulated_s = call_seconds(device.block_s, last)
    task_s = list(emulated_s)

    def slow(factor: float) -> None:
        task_s[:] = [factor * seconds for seconds in emulated_s]

    paced = RecordedCompute if config.model.recorded else ComputeThread
    return paced(engine, task_s), slow


def _newcomer(config: RunConfig, plan: Plan, rank: int, rule: ExitRule, now: float) -> Node:
    """A worker that starts anew in the middle of the run."""
    return make_node(config, plan, rank, rule.thresholds, None, now)
