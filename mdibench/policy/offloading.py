"""Offloading policies: keep the head of O_n, or send it, and where (algorithm 2, alternatives).

A policy is called for the head of O_n whenever its view may have changed. It may draw from the
worker's generator, and is otherwise a pure function of the view.
"""

from __future__ import annotations

from mdibench.policy.views import (
    Candidate,
    Generator,
    Keep,
    Offload,
    OffloadDecision,
    OffloadView,
    Wait,
)


def algorithm_2(view: OffloadView, generator: Generator) -> OffloadDecision:
    """MDI-Exit: send where the wait is shorter, else with probability w_n / w_m; never idle."""
    idle = view.input_queue == 0
    if idle and view.hosts_block:
        return Keep("idle")
    eligible = [c for c in view.candidates if view.output_queue > c.input_queue]
    generator.shuffle(eligible)
    wait_s = view.wait_s
    for candidate in eligible:
        if wait_s > candidate.wait_s:
            return Offload(candidate.rank, "shorter")
        if generator.random() * candidate.wait_s < wait_s:
            return Offload(candidate.rank, "chance")
    if idle and view.candidates:
        candidates = list(view.candidates)
        generator.shuffle(candidates)
        return Offload(min(candidates, key=lambda c: c.wait_s).rank, "least")
    return Wait()


def by_price(view: OffloadView, generator: Generator) -> OffloadDecision:
    """Nothing leaves by this rule: links and engines of scheme ``pressure`` serve themselves."""
    return Wait()


def to_the_host(view: OffloadView, generator: Generator) -> OffloadDecision:
    """A fixed pipeline: send to the block's host as soon as the link has room."""
    if view.hosts_block:
        return Keep("host")
    return Offload(view.candidates[0].rank, "host") if view.candidates else Wait()


def uniformly_random(view: OffloadView, generator: Generator) -> OffloadDecision:
    """A host drawn with equal probability, n itself included."""
    places = len(view.candidates) + view.hosts_block
    if places == 0:
        return Wait()
    choice = int(generator.random() * places)
    if choice == len(view.candidates):
        return Keep("random")
    return Offload(view.candidates[choice].rank, "random")


def round_robin(view: OffloadView, generator: Generator) -> OffloadDecision:
    """Hosts in turn, n itself included."""
    places = len(view.candidates) + view.hosts_block
    if places == 0:
        return Wait()
    choice = view.turn % places
    if choice == len(view.candidates):
        return Keep("turn")
    return Offload(view.candidates[choice].rank, "turn")


def join_shortest_queue(view: OffloadView, generator: Generator) -> OffloadDecision:
    """The host with the fewest waiting tasks, n itself included and preferred among equals."""
    candidates = list(view.candidates)
    generator.shuffle(candidates)
    shortest = min(candidates, key=_input_queue, default=None)
    if view.hosts_block and (shortest is None or view.input_queue <= shortest.input_queue):
        return Keep("shortest")
    return Wait() if shortest is None else Offload(shortest.rank, "shortest")


def _input_queue(candidate: Candidate) -> int:
    return candidate.input_queue
