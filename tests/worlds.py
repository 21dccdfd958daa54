"""Small worlds for tests: a plan from hosts and edges, recorded outcomes, one virtual clock."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mdibench.compute.engine import Hosted, RecordedEngine
from mdibench.core.events import Event, Instruction
from mdibench.core.node import Node
from mdibench.core.pressure_worker import PressureWorker
from mdibench.core.records import Task
from mdibench.core.rows import ROWS, Row
from mdibench.core.setup import SourceSetup, WorkerSetup, constant
from mdibench.core.source import Source
from mdibench.core.worker import Worker
from mdibench.network.plan import Link
from mdibench.policy.schemes import SCHEMES
from mdibench.simulation.world import TICK, Parts, Silent, World
from mdibench.transport.links import LinkClock


@dataclass
class Spec:
    """What a test may vary. ``hosts[n]`` are the blocks of worker n; edges are directed."""

    hosts: Sequence[frozenset[int]]
    edges: Iterable[tuple[int, int]]
    exits: int = 3
    scheme: str = "mdi-exit"
    samples: int = 50
    seed: int = 0
    block_s: float = 0.01
    link: Link = field(default_factory=lambda: Link(1e8, 0.001))
    source: Mapping[str, Any] = field(default_factory=dict)
    worker: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stall:
    """Rank ``rank`` stands still from ``at_s`` on for ``seconds``, as SIGSTOP does it."""

    rank: int
    at_s: float
    seconds: float


class StandingStill(Silent):
    """A rank that stands still: what happens to it waits until it goes on."""

    def __init__(self) -> None:
        self.waiting: list[Event] = []

    def handle(self, event: Event, now: float) -> list[Instruction]:
        self.waiting.append(event)
        return []


@dataclass
class Ran:
    """A world after its run, with the rows that it recorded."""

    world: World
    rows: list[Row]

    def table(self, name: str) -> list[dict[str, object]]:
        """The rows of one table, as dicts."""
        return [row._asdict() for row in self.rows if isinstance(row, ROWS[name])]

    @property
    def source(self) -> Source:
        source = self.world.parts.nodes[0].source
        assert source is not None
        return source


def full(ranks: int) -> list[tuple[int, int]]:
    """All ranks are neighbours."""
    return [(n, m) for n in range(ranks) for m in range(ranks) if n != m]


def distances(edges: Iterable[tuple[int, int]], goals: Iterable[int]) -> dict[int, int]:
    """Hops from each rank to the nearest goal."""
    found = dict.fromkeys(goals, 0)
    todo = deque(found)
    while todo:
        node = todo.popleft()
        for n, m in edges:
            if m == node and n not in found:
                found[n] = found[node] + 1
                todo.append(n)
    return found


def build(spec: Spec) -> tuple[World, list[Row]]:
    """A world that has not run yet, and the list its rows will go to."""
    edges = list(spec.edges)
    rows: list[Row] = []
    outcomes = random.Random(spec.seed)
    predictions = [[outcomes.randrange(4) for _ in range(spec.samples)] for _ in range(spec.exits)]
    confidences = [[outcomes.random() for _ in range(spec.samples)] for _ in range(spec.exits)]
    hosted = Hosted.every_block(spec.exits)
    engine = RecordedEngine(predictions, confidences, [4000] * spec.exits, hosted)
    parts = Parts(
        nodes=[_node(spec, edges, rank) for rank in range(len(spec.hosts))],
        engines=[engine] * len(spec.hosts),
        links={edge: LinkClock(spec.link) for edge in edges},
        service_time=lambda rank, tasks: spec.block_s * len(tasks),
        message_bytes=lambda n, m, body: (
            192 + (body.payload_bytes if isinstance(body, Task) else 0)
        ),
        record=rows.append,
    )
    return World(parts, random.Random(spec.seed)), rows


def run(spec: Spec, stalls: Iterable[Stall] = ()) -> Ran:
    """Run a world to its end. Stalls of one rank must not overlap."""
    world, rows = build(spec)
    for stall in stalls:
        _script(world, stall)
    assert world.run(until_s=1000.0)
    return Ran(world, rows)


def _script(world: World, stall: Stall) -> None:
    node, still = world.nodes[stall.rank], StandingStill()

    def stop() -> None:
        world.nodes[stall.rank] = still

    def go_on() -> None:
        world.nodes[stall.rank] = node
        for event in (TICK, *still.waiting):  # silence is judged before anything is heard
            world.post(world.now, stall.rank, event)

    world.schedule(stall.at_s, stop)
    world.schedule(stall.at_s + stall.seconds, go_on)


def _node(spec: Spec, edges: list[tuple[int, int]], rank: int) -> Node:
    neighbours = tuple(m for n, m in edges if n == rank)
    home = distances(edges, [0])
    setup = WorkerSetup(
        rank=rank,
        blocks=spec.hosts[rank],
        neighbours=neighbours,
        next_hops={k: _next_hops(spec, edges, rank, k) for k in range(1, spec.exits + 1)},
        toward_source=tuple(m for m in neighbours if home[m] + 1 == home[rank]),
        scheme=SCHEMES[spec.scheme],
        **{
            "early_exit": SCHEMES[spec.scheme].early_exit,
            "thresholds": (0.6,) * spec.exits,
            "trace": 1.0,
            **spec.worker,
        },
        outgoing={m: spec.hosts[m] for m in neighbours},
    )
    machine = PressureWorker if setup.scheme.priced else Worker
    worker = machine(setup, random.Random(f"{spec.seed}/{rank}"))
    if rank:
        return Node(worker)
    options: dict[str, Any] = {
        "mode": "fixed-rate",
        "interarrival_s": 0.02,
        "gaps": constant(),
        "order": range(spec.samples),
        "labels": [0] * spec.samples,
        "fetch": lambda sample: (None, 1000),
        "thresholds": setup.thresholds,
        "warmup_s": 0.0,
        "duration_s": 2.0,
        "drain_s": 100.0,
        **spec.source,
    }
    return Node(worker, Source(SourceSetup(**options)))


def _next_hops(spec: Spec, edges: list[tuple[int, int]], rank: int, block: int) -> tuple[int, ...]:
    neighbours = [m for n, m in edges if n == rank]
    hosting = tuple(m for m in neighbours if block in spec.hosts[m])
    if hosting:
        return hosting
    far = distances(
        edges, [m for m, blocks in enumerate(spec.hosts) if block in blocks and m != rank]
    )
    nearest = min((far[m] for m in neighbours if m in far), default=None)
    return tuple(m for m in neighbours if far.get(m) == nearest) if nearest is not None else ()
