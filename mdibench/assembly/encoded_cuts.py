"""Which cuts of an item's way encoded its feature map: for answers that are recorded per codec."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from mdibench.assembly.workload import bottleneck_file
from mdibench.config.schema import RunConfig
from mdibench.core.records import Task
from mdibench.network.placement import last_blocks
from mdibench.network.plan import Plan

if TYPE_CHECKING:
    from mdibench.training.coded_answers import CodedAnswers

EncodedCuts = Callable[[Task], int]
"""From a task to the set of cuts before it at which its feature map was encoded, as bits."""


def lossy_codecs(plan: Plan) -> list[str]:
    """The codecs of the plan's links that change feature maps, in order."""
    return sorted({link.codec for link in plan.links.values()} - {"none"})


def answers_under_codec(
    config: RunConfig, plan: Plan, temperatures: tuple[float, ...]
) -> CodedAnswers | None:
    """The answers recorded under the codec of the plan's links.

    None where no link has one or links have several, and where they cannot be recorded.
    """
    codecs = lossy_codecs(plan)
    if len(codecs) != 1:
        return None
    from mdibench.training.coded_answers import coded_answers

    pairs = bottleneck_file(config) if codecs == ["bottleneck"] else None
    return coded_answers(config.model, codecs[0], pairs, temperatures, config.run.seed)


def encoded_cuts(config: RunConfig, plan: Plan, rank: int) -> EncodedCuts:
    """For the tasks that ``rank`` computes, by the ranks that computed the blocks before.

    A cut is encoded where two ranks computed the blocks beside it and their link has a codec; with
    no link of their own, the map was relayed over links that have one.
    """
    last = [last_blocks(config.scheme, blocks) for blocks in plan.blocks]

    @cache
    def of_path(path: tuple[int, ...]) -> int:
        cuts, block = 0, 1
        for here, there in pairwise((*path, rank)):
            end = last[here].get(block, block)
            link = plan.links.get((here, there))
            if here != there and (link is None or link.codec != "none"):
                cuts |= 1 << (end - 1)
            block = end + 1
        return cuts

    return lambda task: of_path(task.path)
