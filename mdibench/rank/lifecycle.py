"""One MPI rank of a run from start to end: read the config, set up, run the loop, close.

Every setup step that can fail because of the user's input ends in an agreement of all ranks
(``agreement``): the user gets one message, and no rank waits for another that has
left. Any other error on a rank ends the whole job; see ``ending``. Called by ``mdibench run`` and,
for the runs of a sweep, by ``sweep.crew``.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mdibench.assembly import environment
from mdibench.assembly.encoded_cuts import encoded_cuts
from mdibench.assembly.manifest import RunPreamble, open_run, outcome, run_kind, with_own_names
from mdibench.assembly.sampling import Progress
from mdibench.assembly.state_machines import ExitRule, exit_rule_of, generator, make_node
from mdibench.assembly.workload import (
    NULL,
    SourceItems,
    bottleneck_file,
    call_seconds,
    check_network,
    hosted_by,
    last_blocks,
    load_items,
    make_engine,
    measured,
    plan_of,
    planned,
    recorded_items,
    set_up_compute,
    with_seconds,
)
from mdibench.compute.engine import Engine
from mdibench.compute.engines import (
    EngineChoice,
    build,
    choose,
    has_onnxruntime,
    pack_graphs,
    unpack_graphs,
)
from mdibench.config.reading import ConfigFile, noted, parse_config, read_config
from mdibench.config.schema import RunConfig
from mdibench.core.node import Node
from mdibench.core.records import SOURCE
from mdibench.core.wire import HEADER_BYTES
from mdibench.errors import OK, USAGE_ERROR, Problem, UserError
from mdibench.network.plan import ModelInfo, Plan
from mdibench.network.planning import check_events
from mdibench.rank.agreement import from_source, together, with_agreed_cuts
from mdibench.rank.computing import AdaptiveCompute, ComputeThread, Computing, InlineCompute
from mdibench.rank.conditions import facts_reader, find_sensors
from mdibench.rank.ending import Ending
from mdibench.rank.energy import find_meter
from mdibench.rank.guard import start_guard
from mdibench.rank.hooks import BackgroundErrors, Hooks, SourceHooks, WorkerHooks
from mdibench.rank.loop import Loop, LoopSetup
from mdibench.rank.recorded import RecordedCompute, check_devices, shared_recordings
from mdibench.rank.scripted_events import RankParts, Script, SlowableEngine
from mdibench.rank.talk import tell
from mdibench.record.run_folder import boot_id
from mdibench.transport.links import LinkClock

if TYPE_CHECKING:
    from mdibench.codec.bottleneck import CodecPair
    from mdibench.training.recordings import Recordings
    from mdibench.transport.mpi import RankGroup
    from mdibench.transport.post_office import PostOffice

CONTROL_BYTES = 64 * 1024
"""Room that every message buffer has, however small the feature maps are."""
SLOTS_PER_NEIGHBOUR = 2
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
    file = _config_file(options, group)
    config = file.config
    source = group.rank == SOURCE
    if source:
        tell("loading", f"{config.model.name} and {config.model.dataset}")
    threads = set_up_compute(config.run.threads, launch.local_size)
    config = with_agreed_cuts(config, group)
    prepared = _prepare(config, group)
    info, plan, rule = prepared.info, prepared.plan, prepared.rule
    recordings = shared_recordings(config, plan, rule, group) if config.model.recorded else None
    engine = _engine(config, prepared, group, threads, recordings)
    pairs = _pairs(config, plan, group)
    items = together(group, lambda: _items(file, info, recordings) if source else None)
    kept = noted(file.text, options.overrides)
    preamble = _preamble(config, kept, prepared, group, threads, launch)
    coded = recordings is not None and recordings.coded is not None
    preamble = replace(preamble, data=items.data if items else None, codec_recorded=coded)
    writer = together(group, lambda: open_run(preamble) if source else None)
    if writer is not None:
        _announce(writer.folder, options, preamble)
    clock = _run_clock(group, preamble)
    background = BackgroundErrors(group.rank, clock)
    logging.getLogger("mdibench").addHandler(background)
    post = _post_office(config, plan, info, pairs, group)
    node = make_node(config, plan, group.rank, rule.thresholds, items)
    compute, slow = _computing(engine, config, plan, group)
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
    """Tell the launching command where the run is, and have its processes watched."""
    tell("folder", str(folder.resolve()))
    if options.guarded:
        start_guard(folder, preamble.ranks)


def _part(post: PostOffice, group: RankGroup) -> None:
    """End the traffic of all ranks; where a rank may be gone, of those that are left."""
    from mdibench.transport.mpi import survives_failures

    if survives_failures():
        post.close(GONE_RANKS_S)
        group.meet_survivors()
    else:
        post.close()


def _items(file: ConfigFile, info: ModelInfo, recordings: Recordings | None) -> SourceItems:
    config = file.config
    if recordings is not None:
        item = np.zeros(info.input_shape, np.uint8)
        return recorded_items(
            config.model, info, recordings, file.arrivals_s, config.run.seed, item
        )
    return load_items(config.model, file.arrivals_s, config.run.seed)


def _config_file(options: RunOptions, group: RankGroup) -> ConfigFile:
    """The config, read by rank 0; the other ranks parse the same text."""
    source = group.rank == SOURCE
    path, overrides = options.config, options.overrides
    own = together(group, lambda: read_config(path, overrides) if source else None)
    text = from_source(group, lambda: own.text if own else "")
    return own or ConfigFile(text, parse_config(text, str(path), overrides))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What rank 0 finds out for all ranks before they load anything.

    ``choice`` is the engine; its graphs are on rank 0 alone. The null block needs none.
    """

    info: ModelInfo
    plan: Plan
    rule: ExitRule
    choice: EngineChoice | None


def _prepare(config: RunConfig, group: RankGroup) -> Prepared:
    """The network's costs, the plan, the engine and the exit rule, made by rank 0.

    A worker therefore needs neither the weights nor torch to know what it hosts.
    """
    able = group.share(has_onnxruntime())
    lacking = "" if all(able) else f"rank {able.index(False)}"
    chosen: list[EngineChoice] = []

    def costs() -> list[Any]:
        info, plan = planned(config, group.size)
        if ":" in config.model.name:
            check_network(config)
        if config.model.recorded:
            check_devices(config, plan)
            chosen.append(EngineChoice("recorded", "the config says so"))
        elif config.model.name != NULL:
            chosen.append(choose(config.model, lacking))
        if group.size > 1 and config.emulation is None:
            tell("measuring", "the blocks")
            info = with_seconds(info, measured(config, info, *chosen))
            plan = plan_of(config, group.size, info)
        check_events(config, plan)
        return [asdict(info), plan.to_json(), *((choice.name, choice.why) for choice in chosen)]

    costs_of_source, plan_of_source, *engine = from_source(group, costs)
    info, plan = ModelInfo.from_json(costs_of_source), Plan.from_json(plan_of_source)
    rule = from_source(group, lambda: asdict(exit_rule_of(config, plan.exits)))
    if engine and not chosen:
        chosen.append(EngineChoice(*engine[0]))
    return Prepared(info, plan, ExitRule.from_json(**rule), chosen[0] if chosen else None)


def _engine(
    config: RunConfig,
    prepared: Prepared,
    group: RankGroup,
    threads: int,
    recordings: Recordings | None,
) -> Engine:
    """This rank's engine; rank 0 cuts the graphs of all ranks and scatters them."""
    info, choice, temperatures = prepared.info, prepared.choice, prepared.rule.temperatures
    hosted = [hosted_by(config, blocks, info, temperatures) for blocks in prepared.plan.blocks]
    own = hosted[group.rank]
    if recordings is not None:
        encoded = encoded_cuts(config, prepared.plan, group.rank)
        return recordings.engine(info, own, maps=True, encoded=encoded)
    if choice is None:
        return make_engine(config.model, info, own)
    parcels = None
    if group.rank == SOURCE:
        parcels = [pack_graphs(choice.graphs_for(each)) for each in hosted]
    graphs = unpack_graphs(group.scatter(parcels))
    name, exits = choice.name, info.exits
    return together(group, lambda: build(name, config.model, own, graphs, exits, threads))


def _pairs(config: RunConfig, plan: Plan, group: RankGroup) -> dict[int, CodecPair]:
    """The bottleneck pairs by cut, of rank 0's file."""
    if all(link.codec != "bottleneck" for link in plan.links.values()):
        return {}
    from mdibench.codec.bottleneck import pairs_from_bytes

    path = from_source(group, lambda: str(bottleneck_file(config)))
    content = Path(path).read_bytes() if group.rank == SOURCE else None
    return pairs_from_bytes(group.broadcast(content))


def _preamble(
    config: RunConfig,
    text: str,
    prepared: Prepared,
    group: RankGroup,
    threads: int,
    launch: environment.Launch,
) -> RunPreamble:
    """What all ranks know of each other before the run."""
    from mdibench.transport import link_probe
    from mdibench.transport.mpi import library, processor_name, thread_level

    own = environment.host_facts() | {
        "rank": group.rank,
        "ignored_launchers": list(launch.ignored),
        "boot_id": boot_id(),
        "clock_s": time.time() - time.perf_counter(),
        "threads": threads,
        "mpi": library(),
        "mpi_processor": processor_name(),
        "mpi_thread_level": thread_level(),
        "energy_meter": meter.name if (meter := find_meter()) else "",
        "sensors": find_sensors().name,
    }
    offset_s, error_s = group.clock_offset(time.perf_counter)
    shared = group.share([own, offset_s, error_s])
    choice = prepared.choice
    return RunPreamble(
        config=config,
        text=text,
        kind=run_kind(config, prepared.plan),
        plan=prepared.plan,
        model=prepared.info,
        exit_rule=prepared.rule,
        engine={"name": choice.name, "why": choice.why} if choice else None,
        ranks=with_own_names([facts for facts, _, _ in shared]),
        clock_offsets_s=[offset for _, offset, _ in shared],
        clock_error_s=max(error for _, _, error in shared),
        probe=link_probe.quick(group),
    )


def _run_clock(group: RankGroup, preamble: RunPreamble) -> Callable[[], float]:
    """Seconds since the run's start, on this rank's clock moved to rank 0's."""
    group.barrier()
    own = json.dumps(time.perf_counter()).encode() if group.rank == SOURCE else None
    start_s = float(json.loads(group.broadcast(own))) + preamble.clock_offsets_s[group.rank]
    return lambda: time.perf_counter() - start_s


def _post_office(
    config: RunConfig, plan: Plan, info: ModelInfo, pairs: dict[int, CodecPair], group: RankGroup
) -> PostOffice:
    from mdibench.codec.codecs import Coder
    from mdibench.transport.mpi import Endpoint
    from mdibench.transport.post_office import PostOffice

    largest = max([info.input_bytes, *(block.output_bytes for block in info.blocks)])
    rank = group.rank
    slots = max(8, SLOTS_PER_NEIGHBOUR * len(plan.neighbours[rank]))
    endpoint = Endpoint(HEADER_BYTES + max(largest, CONTROL_BYTES), slots, group.comm)
    links = {
        target: LinkClock(link) for (source, target), link in plan.links.items() if source == rank
    }
    uniform = generator(config, f"links {rank}").random
    return PostOffice(endpoint, links, uniform, coder=Coder(pairs), exits=plan.exits)


def _computing(
    engine: Engine, config: RunConfig, plan: Plan, group: RankGroup
) -> tuple[Computing, Callable[[float], None]]:
    """Who computes here: a thread beside the loop, unless calls are short or the rank is alone.

    And how to make it slower by a factor, for scripted events.
    """
    device = plan.devices[group.rank]
    if device is None:
        slowable = SlowableEngine(engine) if config.events else None
        engine = slowable or engine
        computing = InlineCompute(engine) if group.size == 1 else AdaptiveCompute(engine)
        return computing, slowable.slow if slowable else lambda factor: None
    last = last_blocks(config, plan.blocks[group.rank])
    emulated_s = call_seconds(device.block_s, last)
    task_s = list(emulated_s)

    def slow(factor: float) -> None:
        task_s[:] = [factor * seconds for seconds in emulated_s]

    paced = RecordedCompute if config.model.recorded else ComputeThread
    return paced(engine, task_s), slow


def _newcomer(config: RunConfig, plan: Plan, rank: int, rule: ExitRule, now: float) -> Node:
    """A worker that starts anew in the middle of the run."""
    return make_node(config, plan, rank, rule.thresholds, None, now)
