"""The schemes that a run can choose: its policies, its placement, and whether items exit early.

All schemes share source, ledger, metrics and report, so that differences come from the policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mdibench.policy import algorithms
from mdibench.policy.algorithms import OffloadPolicy, PlacingPolicy


@dataclass(frozen=True, slots=True)
class Scheme:
    """A named combination. ``placement`` overrides the config's unless it is ``config``.

    With ``offers_raw`` the placing policy decides about τ_1 too; otherwise the source computes
    every first block itself, unless ``source_offloads_raw`` is set.
    """

    name: str
    summary: str
    place: PlacingPolicy
    offload: OffloadPolicy
    early_exit: bool = True
    placement: Literal["config", "source", "partition", "replicate"] = "config"
    offers_raw: bool = False
    priced: bool = False
    """Whether links, engine and admission go by prices (``policy.pressure``) instead."""


SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            "local",
            "the source computes everything",
            algorithms.stay_if_hosted,
            algorithms.to_the_host,
            placement="source",
        ),
        Scheme(
            "ddi",
            "raw items go to the least loaded worker, which runs the whole network",
            algorithms.raw_items_first,
            algorithms.join_shortest_queue,
            placement="replicate",
            offers_raw=True,
        ),
        Scheme(
            "mdi",
            "a pipeline of blocks without early exits",
            algorithms.stay_if_hosted,
            algorithms.to_the_host,
            early_exit=False,
            placement="partition",
        ),
        Scheme(
            "static-exit",
            "a pipeline of blocks with early exits",
            algorithms.stay_if_hosted,
            algorithms.to_the_host,
            placement="partition",
        ),
        Scheme(
            "mdi-exit",
            "exits and offloading from queue lengths (algorithms 1 and 2)",
            algorithms.algorithm_1,
            algorithms.algorithm_2,
        ),
        Scheme(
            "random",
            "every task to a random host",
            algorithms.always_offer,
            algorithms.uniformly_random,
        ),
        Scheme(
            "round-robin",
            "every task to the next host in turn",
            algorithms.always_offer,
            algorithms.round_robin,
        ),
        Scheme(
            "join-shortest-queue",
            "every task to the host with the shortest input queue",
            algorithms.always_offer,
            algorithms.join_shortest_queue,
        ),
        Scheme(
            "pressure",
            "maximum pressure: tasks and results flow down prices that neighbours tell",
            algorithms.always_offer,
            algorithms.by_price,
            offers_raw=True,
            priced=True,
        ),
    )
}
