"""What all ranks find out together before a run: its config, plan, engine, hosts and clock.

Rank 0 reads, measures and chooses; the others hear of it, so that a worker needs neither the
weights nor torch. What can fail because of the user's input ends in an agreement of all ranks
(``ending``). Called by ``lifecycle``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdibench.assembly import environment
from mdibench.assembly.manifest import RunPreamble, run_kind, with_own_names
from mdibench.assembly.state_machines import ExitRule, exit_rule_of
from mdibench.assembly.workload import (
    NULL,
    SourceItems,
    bottleneck_file,
    check_network,
    encoded_cuts,
    hosted_by,
    load_items,
    make_engine,
    measured,
    plan_of,
    planned,
    recorded_items,
    with_cuts,
    with_seconds,
)
from mdibench.compute.engine import (
    Engine,
    EngineChoice,
    build,
    choose,
    has_onnxruntime,
    pack_graphs,
    unpack_graphs,
)
from mdibench.config.reading import ConfigFile, parse_config, read_config
from mdibench.config.schema import RunConfig
from mdibench.core.records import SOURCE
from mdibench.errors import UserError
from mdibench.network.plan import ModelInfo, Plan
from mdibench.network.planning import check_events
from mdibench.rank.computing import check_devices
from mdibench.rank.ending import from_source, together
from mdibench.rank.guard import open_lifeline
from mdibench.rank.launch import tell
from mdibench.rank.sensors import find_meter, find_sensors
from mdibench.record.run_folder import boot_id

if TYPE_CHECKING:
    from mdibench.codec.bottleneck import CodecPair
    from mdibench.training.recordings import Recordings
    from mdibench.transport.mpi import RankGroup


def with_agreed_cuts(config: RunConfig, group: RankGroup) -> RunConfig:
    """The config with rank 0's cuts of a whole network, so that all ranks have the same blocks."""
    if ":" not in config.model.name:
        return config

    def cuts() -> list[str] | None:
        with suppress(UserError):  # making the plan raises it again, with its place in the file
            found = with_cuts(config).model.cuts
            return list(found) if isinstance(found, tuple) else None
        return None

    made = from_source(group, cuts)
    if made is None:
        return config
    model = config.model.model_copy(update={"cuts": tuple(made)})
    return config.model_copy(update={"model": model})


def items_of_source(
    file: ConfigFile, info: ModelInfo, recordings: Recordings | None
) -> SourceItems:
    """The items that rank 0 sends: real ones, or the recorded answers to them."""
    config = file.config
    if recordings is not None:
        item = np.zeros(info.input_shape, np.uint8)
        return recorded_items(
            config.model, info, recordings, file.arrivals_s, config.run.seed, item
        )
    return load_items(config.model, file.arrivals_s, config.run.seed)


def config_file(path: Path, overrides: tuple[str, ...], group: RankGroup) -> ConfigFile:
    """The config, read by rank 0; the other ranks parse the same text."""
    source = group.rank == SOURCE
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


def prepare(config: RunConfig, group: RankGroup) -> Prepared:
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


def engine_of(
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
        parcels = [pack_graphs(choice.graphs_for(each, config.model.confidence)) for each in hosted]
    graphs = unpack_graphs(group.scatter(parcels))
    name, exits = choice.name, info.exits
    return together(group, lambda: build(name, config.model, own, graphs, exits, threads))


def bottleneck_pairs(config: RunConfig, plan: Plan, group: RankGroup) -> dict[int, CodecPair]:
    """The bottleneck pairs by cut, of rank 0's file."""
    if all(link.codec != "bottleneck" for link in plan.links.values()):
        return {}
    from mdibench.codec.bottleneck import pairs_from_bytes

    path = from_source(group, lambda: str(bottleneck_file(config)))
    content = Path(path).read_bytes() if group.rank == SOURCE else None
    return pairs_from_bytes(group.broadcast(content))


def preamble_of(
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
        "lifeline": open_lifeline(),
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


def run_clock(group: RankGroup, preamble: RunPreamble) -> Callable[[], float]:
    """Seconds since the run's start, on this rank's clock moved to rank 0's."""
    group.barrier()
    own = json.dumps(time.perf_counter()).encode() if group.rank == SOURCE else None
    start_s = float(json.loads(group.broadcast(own))) + preamble.clock_offsets_s[group.rank]
    return lambda: time.perf_counter() - start_s
