"""A run in virtual time, with the state machines of a real run and its scripted events.

Config, run files, monitor and report are those of a real run; the run is labelled ``simulated``.
Nothing depends on the speed of this machine: the same seed gives the same files. Called by
``mdibench simulate``.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from mdibench.assembly.environment import host_facts
from mdibench.assembly.manifest import RunPreamble, open_run, outcome
from mdibench.assembly.sampling import Progress, link_rows, log_line, telemetry_row
from mdibench.assembly.state_machines import generator, make_node
from mdibench.codec.codecs import task_bytes
from mdibench.config.schema import EventEntry, RunConfig
from mdibench.core.events import Presence, Tick
from mdibench.core.node import Node
from mdibench.core.records import SOURCE, Result, Task
from mdibench.core.rows import EventRow, Row
from mdibench.core.wire import HEADER_BYTES
from mdibench.errors import INTERRUPTED, OK
from mdibench.network.planning import absent_at_start, changed_link, check_events, event_text
from mdibench.record.run_folder import RunWriter
from mdibench.simulation.scenario import Scenario, service_times
from mdibench.simulation.world import SILENT, CodecSeconds, MessageBytes, Parts, Silent, World
from mdibench.transport.links import LinkClock

MakeNode = Callable[[int, float], Node]
"""Makes the node of a rank that starts at the given time."""


class Script:
    """Schedules a config's events in a world; simultaneous ones keep the order of the config."""

    def __init__(self, world: World, config: RunConfig, make_node: MakeNode) -> None:
        self._world = world
        self._make_node = make_node
        source = world.parts.nodes[SOURCE].source
        assert source is not None
        self._source, self._start_interarrival_s = source, source.interarrival_s
        self._absent: set[int] = set()
        """Ranks that have not joined yet or have left; their neighbours know."""
        kinds = {
            "join": self._join,
            "leave": self._leave,
            "fail": self._fail,
            "slow": self._slow,
            "link": self._link,
            "load": self._load,
        }
        for event in sorted(config.events, key=lambda event: event.at_s):
            world.schedule(event.at_s, partial(self._apply, event, kinds[event.kind]))
        for rank in absent_at_start(config.events):
            self._start_absent(rank)

    def _apply(self, event: EventEntry, action: Callable[[EventEntry], None]) -> None:
        action(event)
        text = event_text(event)
        rank = SOURCE if event.rank is None else event.rank
        now = self._world.now
        row = EventRow(t_s=now, rank=rank, level="info", kind=event.kind, text=text)
        self._world.parts.record(row)

    def _join(self, event: EventEntry) -> None:
        assert event.rank is not None
        self._absent.discard(event.rank)
        fresh = self._world.nodes[event.rank] is SILENT
        if fresh:
            self._start(event.rank)
        self._tell_neighbours(Presence(event.rank, here=True, fresh=fresh))
        if fresh:
            self._world.post(self._world.now, event.rank, Tick())

    def _leave(self, event: EventEntry) -> None:
        assert event.rank is not None
        self._absent.add(event.rank)
        self._tell_neighbours(Presence(event.rank, here=False))

    def _fail(self, event: EventEntry) -> None:
        assert event.rank is not None
        self._world.replace_node(event.rank, SILENT)

    def _slow(self, event: EventEntry) -> None:
        assert event.rank is not None and event.factor is not None
        self._world.slowness[event.rank] = event.factor

    def _link(self, event: EventEntry) -> None:
        assert event.between is not None
        one, other = event.between
        for pair in (event.between, (other, one)):
            clock = self._world.parts.links[pair]
            clock.link = changed_link(clock.link, event)

    def _load(self, event: EventEntry) -> None:
        assert event.factor is not None
        self._source.interarrival_s = self._start_interarrival_s / event.factor

    def _start_absent(self, rank: int) -> None:
        self._absent.add(rank)
        self._world.replace_node(rank, SILENT)
        self._tell_neighbours(Presence(rank, here=False))

    def _start(self, rank: int) -> None:
        """Start a worker with empty queues, and tell it which of its neighbours are absent."""
        now = self._world.now
        self._world.slowness[rank] = 1.0
        node = self._make_node(rank, now)
        node.speak_up()
        self._world.replace_node(rank, node)
        for neighbour in self._neighbours(rank):
            if neighbour in self._absent:
                self._world.post(now, rank, Presence(neighbour, here=False))

    def _tell_neighbours(self, presence: Presence) -> None:
        for neighbour in self._neighbours(presence.rank):
            self._world.post(self._world.now, neighbour, presence)

    def _neighbours(self, rank: int) -> tuple[int, ...]:
        return self._world.parts.nodes[rank].worker.setup.neighbours


# --- the run -------------------------------------------------------------------------------------

GARBAGE_THRESHOLD = 200_000
"""Allocations between two garbage collections."""
VIRTUAL_HOST = "virtual"
"""The host of every simulated rank."""


def simulate(scenario: Scenario, quiet: bool = False) -> tuple[int, Path]:
    """Run ``scenario`` to its end; returns exit status and the run's folder."""
    check_events(scenario.config, scenario.plan)
    writer = open_run(_preamble(scenario))
    status, verdict, reason = OK, "complete", ""
    with (writer.folder / "log.txt").open("a", encoding="utf-8") as log:
        world = build_world(scenario, partial(_record, writer, log))
        try:
            with few_collections():
                _run(world, scenario, writer, quiet)
        except KeyboardInterrupt:
            status, verdict, reason = INTERRUPTED, "aborted", "interrupted"
        except BaseException as error:
            log.write("".join(traceback.format_exception(error)))
            what = str(error).partition("\n")[0]
            writer.finish("failed", f"{type(error).__name__}: {what}", **_outcome(world))
            raise
    writer.finish(verdict, reason, **_outcome(world))
    return status, writer.folder


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect garbage rarely: a world makes millions of small records and no cycles."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _record(writer: RunWriter, log: TextIO, row: Row) -> None:
    writer.append(row)
    if isinstance(row, EventRow):
        log.write(log_line(row))


def build_world(scenario: Scenario, record: Callable[[Row], None]) -> World:
    """The scenario's nodes, engines and links under one virtual clock at 0."""
    config, plan = scenario.config, scenario.plan
    items = scenario.items()
    nodes = [
        make_node(config, plan, rank, scenario.thresholds, items if rank == SOURCE else None)
        for rank in range(plan.ranks)
    ]
    parts = Parts(
        nodes=nodes,
        engines=scenario.engines(),
        links={pair: LinkClock(link) for pair, link in plan.links.items()},
        service_time=service_times(scenario),
        message_bytes=_message_bytes(scenario),
        record=record,
        codec_s=_codec_seconds(scenario),
    )
    world = World(parts, generator(config, "links"))
    Script(world, config, partial(_late_node, scenario, nodes[SOURCE]))
    return world


def _late_node(scenario: Scenario, source: Node, rank: int, now: float) -> Node:
    """A worker that starts during the run, with the current thresholds."""
    assert source.source is not None
    return make_node(scenario.config, scenario.plan, rank, source.source.thresholds, None, now)


def _message_bytes(scenario: Scenario) -> MessageBytes:
    """Message sizes by link and block: the header, and the feature map under the link's codec."""
    links, model = scenario.plan.links, scenario.model
    ratio = scenario.config.transport.bottleneck
    by_codec = {
        codec: task_bytes(model, codec, ratio) for codec in {link.codec for link in links.values()}
    }
    by_link = {pair: by_codec[link.codec] for pair, link in links.items()}

    def size(source: int, target: int, body: Task | Result | None) -> int:
        return by_link[source, target][body.block - 1] if isinstance(body, Task) else HEADER_BYTES

    return size


def _codec_seconds(scenario: Scenario) -> CodecSeconds:
    """The measured times of a feature map's codec; 0 where they are not recorded."""
    links, coded = scenario.plan.links, scenario.recordings and scenario.recordings.coded
    if not coded:
        return lambda source, target, body: (0.0, 0.0)

    def seconds(source: int, target: int, body: Task | Result | None) -> tuple[float, float]:
        if not isinstance(body, Task) or body.block == 1 or links[source, target].codec == "none":
            return 0.0, 0.0
        return coded.encode_s[body.block - 2], coded.decode_s[body.block - 2]

    return seconds


def _run(world: World, scenario: Scenario, writer: RunWriter, quiet: bool) -> None:
    """Until the source ends the run; telemetry at every ``sample_s`` of virtual time."""
    run = scenario.config.run
    source = world.parts.nodes[SOURCE].source
    assert source is not None
    progress = Progress(run.admission_end_s, quiet)
    samples = 0
    while not world.run(until_s=samples * run.sample_s):
        _sample(world, writer, samples * run.sample_s)
        progress.show(source, world.now)
        samples += 1
    _sample(world, writer, world.now)
    progress.clear()


def _sample(world: World, writer: RunWriter, t_s: float) -> None:
    for node, traffic in zip(world.nodes, world.traffic, strict=True):
        if isinstance(node, Silent):
            continue
        writer.append(telemetry_row(node, traffic, t_s))
        for row in link_rows(node, traffic, t_s):
            writer.append(row)
    writer.flush()


def _preamble(scenario: Scenario) -> RunPreamble:
    ranks = range(scenario.plan.ranks)
    virtual = {"host": VIRTUAL_HOST, "cores": 0, "threads": 0}
    return RunPreamble(
        config=scenario.config,
        text=scenario.text,
        kind="simulated",
        plan=scenario.plan,
        model=scenario.model,
        exit_rule=scenario.exit_rule,
        ranks=[{"rank": rank, **virtual} for rank in ranks],
        clock_offsets_s=[0.0] * len(ranks),
        data=scenario.items().data,
        codec_recorded=bool(scenario.recordings and scenario.recordings.coded),
    )


def _outcome(world: World) -> dict[str, object]:
    simulation = {"events": world.events, "virtual_s": world.now}
    return outcome(world.parts.nodes[SOURCE]) | {
        "simulation": simulation,
        "simulated_on": host_facts(),
    }
