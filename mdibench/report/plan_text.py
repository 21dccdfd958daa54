"""A plan with its costs per item, as text of 80 columns and as JSON. Called by ``cli.check``.

Costs are expected without a run and an upper bound, since no item leaves early. At run time the
policy chooses the host of a task; here tasks spread evenly over the worker itself (where it hosts
the block) and the neighbours that it may send them to.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap

from mdibench.analysis.formatting import format_one
from mdibench.config.reading import resolved
from mdibench.config.schema import RunConfig
from mdibench.core.records import SOURCE
from mdibench.network.devices import LINKS
from mdibench.network.plan import Link, ModelInfo, Plan
from mdibench.network.planning import plan_facts
from mdibench.policy.algorithms import raw_items_first, stay_if_hosted
from mdibench.policy.schemes import Scheme
from mdibench.report import TEXT_WIDTH
from mdibench.report.tables import spans

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


# --- the text ------------------------------------------------------------------------------------

MOST_PLAN_ROWS = 40
"""Ranks, and links, that are listed; one line counts the others."""

TextRow = tuple[str, ...]


def plan_lines(config: RunConfig, plan: Plan, model: ModelInfo) -> list[str]:
    """The plan as lines of at most 80 columns."""
    cost = _cost(config, plan, model)
    lines = ["", *_head(config, plan, model), ""]
    lines += _ranks(plan, cost)
    lines += ["", *_links(plan, cost)] if plan.links else []
    lines += ["", *_limits(plan, cost)]
    lines += _optimised(config, plan, model)
    for note in notes(plan, model):
        lines += wrap(f"note: {note}", TEXT_WIDTH, subsequent_indent="  ")
    return lines


def _optimised(config: RunConfig, plan: Plan, model: ModelInfo) -> list[str]:
    """The optimised placement beside the balanced cut; nothing where it was not optimised."""
    if not plan.placement.startswith("optimised"):
        return []
    from mdibench.bounds.optimised_placement import balanced_cut, figures

    lines = ["", "placement            at most, items per s   one item alone, ms"]
    for name, one in ((plan.placement, plan), ("balanced cut", balanced_cut(config, plan, model))):
        found = figures(config, one, model)
        lines.append(f"{name:21}{found.rate_per_s:20,.2f}{1e3 * found.latency_s:21,.2f}")
    shares = "as placement.go_on says" if config.placement.go_on else "all go on after every exit"
    return [*lines, f"items that go on: {shares}"]


def plan_json(config: RunConfig, plan: Plan, model: ModelInfo) -> str:
    """Config, plan, model, expected costs per item and notes as one JSON object."""
    cost = _cost(config, plan, model)
    links = [
        {"source": n, "target": m, "tasks": cost.link_tasks[n, m], "bytes": cost.link_bytes[n, m]}
        for n, m in sorted(cost.link_tasks)
    ]
    expected = {
        "assumes": "no item leaves early, tasks spread evenly over hosts",
        "ranks": [
            {"rank": n, "tasks": dict(done), "seconds": cost.seconds[n], "flops": cost.flops[n]}
            for n, done in enumerate(cost.computed)
        ],
        "links": links,
        "bytes_per_item": cost.bytes_per_item,
    }
    data = {
        "config": resolved(config),
        "plan": plan_facts(plan),
        "model": asdict(model),
        "expected_per_item": expected,
        "notes": notes(plan, model),
    }
    return json.dumps(data, indent=2)


def notes(plan: Plan, model: ModelInfo) -> list[str]:
    """Facts about the plan that are valid but may surprise the user."""
    idle = [rank for rank, held in enumerate(plan.blocks) if not held]
    found = [f"{_ranks_text(idle)} hosts no block and can only relay"] if idle else []
    if 1 not in plan.blocks[0]:
        found.append("the source does not host block 1: raw items travel to the workers that do")
    for rank, device in enumerate(plan.devices):
        needed = 4 * sum(model.blocks[block - 1].parameters for block in plan.blocks[rank])
        if device and device.memory_bytes is not None and needed > device.memory_bytes:
            weights = format_one("bytes", needed)
            found.append(f"rank {rank}: weights ({weights}) exceed {device.name}'s memory")
    for device in {device.name: device for device in plan.devices if device}.values():
        found.append(f"{device.name}: {device.basis}")
    timed = all(device or block.seconds for device in plan.devices for block in model.blocks)
    if plan.placement.startswith(("partition", "copies")) and plan.ranks > 1 and not timed:
        found.append("balanced by FLOPs here; a run measures the blocks first and may differ")
    return found


def link_text(link: Link) -> str:
    """A link as its profile's name, else as its figures; ``real`` where it is not emulated."""
    for profile in LINKS.values():
        same = (profile.bandwidth_bps, profile.delay_s, profile.jitter_s, 0.0)
        if same == (link.bandwidth_bps, link.delay_s, link.jitter_s, link.loss):
            return profile.name
    if not link.emulated:
        return "real"
    parts = [] if link.bandwidth_bps is None else [f"{link.bandwidth_bps / 1e6:.4g} Mbit/s"]
    if link.delay_s or link.jitter_s or parts:
        parts.append(f"{link.delay_s * 1e3:.3g}+{link.jitter_s * 1e3:.3g} ms")
    parts += [f"loss {link.loss:g}"] if link.loss else []
    return ", ".join(parts)


def _cost(config: RunConfig, plan: Plan, model: ModelInfo) -> Expectation:
    return expect(plan, model, config.scheme.policies, config.scheme.offers_raw)


def _head(config: RunConfig, plan: Plan, model: ModelInfo) -> list[str]:
    flops = sum(block.flops for block in model.blocks)
    scheme, admission = config.scheme, config.admission
    rate = f"{admission.rate_per_s:g} items/s"
    start = {
        "adapt-rate": f", from {rate}",
        "fixed-rate": f", {rate}",
        "adapt-threshold": f", {rate}",
    }
    return _pairs(
        [
            ("ranks", str(plan.ranks)),
            ("network", f"{model.name}: {model.exits} blocks, {flops / 1e6:.4g} MFLOP per item"),
            ("scheme", f"{scheme.name}: {scheme.policies.summary}"),
            (
                "exits",
                _exits_text(config) if scheme.exits_early else "none: every item runs to the end",
            ),
            ("admission", f"{admission.mode}{start.get(admission.mode, '')}"),
            ("topology", plan.topology),
            ("placement", plan.placement),
        ]
    )


def _exits_text(config: RunConfig) -> str:
    scheme = config.scheme
    if scheme.target_accuracy is not None:
        return f"thresholds calibrated for an accuracy of {scheme.target_accuracy:g}"
    if scheme.accuracy_drop is not None:
        return f"thresholds calibrated for an accuracy drop of {scheme.accuracy_drop:g}"
    given = scheme.start_threshold
    text = " ".join(f"{t:g}" for t in given) if isinstance(given, list) else f"{given:g}"
    return f"at {config.model.confidence} of {text} or more"


def _ranks(plan: Plan, cost: Expectation) -> list[str]:
    """One row per rank; work is given in FLOPs where times are not known."""
    timed = any(cost.seconds)
    rows: list[TextRow] = [
        ("rank", "device", "blocks", "neighbours", "ms/item" if timed else "MFLOP/item")
    ]
    for rank in range(plan.ranks)[:MOST_PLAN_ROWS]:
        device = plan.devices[rank]
        work = cost.seconds[rank] * 1e3 if timed else cost.flops[rank] / 1e6
        rows.append(
            (
                f"{rank}",
                device.name if device else "real",
                spans(plan.blocks[rank]),
                spans(plan.neighbours[rank]),
                f"{work:.4g}",
            )
        )
    return _columns(rows) + _rest(plan.ranks, "ranks")


def _links(plan: Plan, cost: Expectation) -> list[str]:
    """Links that carry tasks; beyond ``MOST_PLAN_ROWS``, the busiest ones."""
    used = sorted(cost.link_bytes, key=lambda pair: -cost.link_bytes[pair])[:MOST_PLAN_ROWS]
    rows: list[TextRow] = [("link", "kind", "codec", "tasks/item", "bytes/item")]
    for n, m in sorted(used):
        link, tasks = plan.links[n, m], cost.link_tasks[n, m]
        rows.append(
            (
                f"{n} > {m}",
                link_text(link),
                link.codec,
                f"{tasks:.3g}",
                format_one("bytes", cost.link_bytes[n, m]),
            )
        )
    if len(rows) == 1:
        return ["links: none carries a task"]
    return _columns(rows) + _rest(len(cost.link_bytes), "links")


def _limits(plan: Plan, cost: Expectation) -> list[str]:
    text = "Work and bytes are upper bounds: as if no item left early, tasks spread evenly over"
    text += f" hosts. In all, {format_one('bytes', cost.bytes_per_item)} of payload per item."
    lines = wrap(text, TEXT_WIDTH)
    slowest = max(range(plan.ranks), key=lambda rank: cost.seconds[rank])
    if cost.seconds[slowest] > 0:
        rate = 1 / cost.seconds[slowest]
        lines.append(f"So spread, rank {slowest} is the first to fill up, at {rate:.4g} items/s.")
    busy = {
        pair: 8 * carried / bandwidth
        for pair, carried in cost.link_bytes.items()
        if (bandwidth := plan.links[pair].bandwidth_bps)
    }
    if busy:
        (n, m), seconds = max(busy.items(), key=lambda entry: entry[1])
        lines.append(f"The first link to fill up is {n} > {m}, at {1 / seconds:.4g} items/s.")
    return lines


def _rest(number: int, noun: str) -> list[str]:
    return [f"... and {number - MOST_PLAN_ROWS} more {noun}"] if number > MOST_PLAN_ROWS else []


def _ranks_text(ranks: Sequence[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"each of ranks {spans(ranks)}"


def _pairs(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names with their values, wrapped."""
    width = max(len(name) for name, _ in pairs) + 2
    return [
        line
        for name, text in pairs
        for line in wrap(name.ljust(width) + text, TEXT_WIDTH, subsequent_indent=" " * width)
    ]


def _columns(rows: Sequence[TextRow]) -> list[str]:
    """Rows with aligned columns; the widest ones are cut where a line would be too long."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    while sum(widths) + 2 * (len(widths) - 1) > TEXT_WIDTH:
        widths[widths.index(max(widths))] -= 1
    cut = [
        [
            cell if len(cell) <= w else cell[: w - 3] + "..."
            for cell, w in zip(row, widths, strict=True)
        ]
        for row in rows
    ]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in cut
    ]
