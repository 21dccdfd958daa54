"""Expected costs of a plan per item, without a run: an upper bound, since no item leaves early.

At run time the policy chooses the host of a task; here tasks spread evenly over the worker itself
(where it hosts the block) and the neighbours that it may send them to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mdibench.core.records import SOURCE
from mdibench.network.plan import ModelInfo, Plan
from mdibench.policy.exits import raw_items_first, stay_if_hosted
from mdibench.policy.schemes import Scheme

CODEC_SHARE: Mapping[str, float] = {"none": 1.0, "fp16": 0.5, "int8": 0.25, "bottleneck": 0.125}
"""Bytes of a 32-bit feature map behind each codec, per byte without one; a bottleneck is 8 x."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Per item: tasks of each block that each rank computes, and what each link carries.

    ``seconds[n]`` and ``flops[n]`` are rank n's work; seconds are 0 where no time is known.
    ``link_tasks`` and ``link_bytes`` are by (sender, receiver), payloads without headers.
    """

    computed: tuple[Mapping[int, float], ...]
    seconds: tuple[float, ...]
    flops: tuple[float, ...]
    link_tasks: Mapping[tuple[int, int], float]
    link_bytes: Mapping[tuple[int, int], float]

    @property
    def bytes_per_item(self) -> float:
        """Payload bytes over all links, relays counted each time."""
        return sum(self.link_bytes.values())


def expect(plan: Plan, model: ModelInfo, scheme: Scheme, offers_raw: bool) -> Expectation:
    """The plan's costs per item. ``offers_raw``: whether τ_1 may leave the source."""
    stays = scheme.place in (stay_if_hosted, raw_items_first)
    computed: tuple[dict[int, float], ...] = tuple({} for _ in range(plan.ranks))
    tasks: dict[tuple[int, int], float] = defaultdict(float)
    sizes: dict[tuple[int, int], float] = defaultdict(float)
    where = {SOURCE: 1.0}
    for block in range(1, plan.exits + 1):
        keeps = not offers_raw if block == 1 else stays
        where, moves = _spread(plan, block, where, keeps)
        for rank, share in where.items():
            computed[rank][block] = share
        for link, share in moves.items():
            tasks[link] += share
            sizes[link] += share * _task_bytes(plan, model, link, block)
    return Expectation(
        computed=computed,
        seconds=tuple(_seconds(plan, model, n, done) for n, done in enumerate(computed)),
        flops=tuple(_flops(model, done) for done in computed),
        link_tasks=dict(tasks),
        link_bytes=dict(sizes),
    )


def _spread(
    plan: Plan, block: int, where: Mapping[int, float], keeps: bool
) -> tuple[dict[int, float], dict[tuple[int, int], float]]:
    """Shares of the tasks of ``block`` by computing rank and by link, from where they arise."""
    computed: dict[int, float] = defaultdict(float)
    moves: dict[tuple[int, int], float] = defaultdict(float)
    fresh = True
    while where:
        arriving: dict[int, float] = defaultdict(float)
        for rank, share in where.items():
            hosts = block in plan.blocks[rank]
            ways = plan.next_hops[rank].get(block, ())
            if hosts and (keeps or not fresh or not ways):
                computed[rank] += share
                continue
            part = share / (len(ways) + hosts)
            if hosts:
                computed[rank] += part
            for way in ways:
                moves[rank, way] += part
                arriving[way] += part
        where, fresh = arriving, False
    return computed, moves


def _task_bytes(plan: Plan, model: ModelInfo, link: tuple[int, int], block: int) -> float:
    """Raw items are sent unencoded, feature maps through the link's codec."""
    if block == 1:
        return model.input_bytes
    return model.blocks[block - 2].output_bytes * CODEC_SHARE[plan.links[link].codec]


def _seconds(plan: Plan, model: ModelInfo, rank: int, done: Mapping[int, float]) -> float:
    device = plan.devices[rank]
    times = device.block_s if device else tuple(block.seconds for block in model.blocks)
    return sum(share * times[block - 1] for block, share in done.items())


def _flops(model: ModelInfo, done: Mapping[int, float]) -> float:
    return sum(share * model.blocks[block - 1].flops for block, share in done.items())
