"""The reason of a decision: one sentence with the figures that the policy used.

A step's ``verdict`` names the rule that decided. The rule that places a task depends on the scheme,
so that the sentence names the condition of the run's own scheme. Called by ``story``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mdibench.monitor.facts import RunFacts
from mdibench.monitor.figures import milliseconds
from mdibench.policy import exits
from mdibench.policy.schemes import SCHEMES

StepRow = Mapping[str, Any]


def decision_reason(step: StepRow, facts: RunFacts) -> str:
    """The reason of one row of ``steps``; empty where the row has no verdict."""
    verdict = str(step.get("verdict") or "")
    if step.get("kind") == "compute":
        return _after_compute(step, facts, verdict)
    if step.get("kind") == "keep":
        template = _KEPT.get(verdict, verdict)
        return template.format(
            n=step.get("rank"), block=step.get("block"), waiting=_count(step, "input_queue")
        )
    sentence = _SENT.get(verdict)
    return sentence(step, facts) if sentence else verdict


# --- algorithm 1: exit or go on, and into which queue ---------------------------------------------


def _after_compute(step: StepRow, facts: RunFacts, verdict: str) -> str:
    block = int(step.get("block") or 0)
    sure, bar = f"C_{block} {_figure(step, 'confidence')}", _figure(step, "threshold")
    if verdict == "exit":
        if _confident(step):
            return f"{sure} ≥ T_e {bar}: leaves at exit {block}"
        return f"{sure}: exit {block} is the last, every item leaves"
    going_on = f"{sure} < T_e {bar}" if not _confident(step) else f"{sure}, no early exits"
    return f"{going_on}; {_queue_choice(step, facts, verdict)}"


def _confident(step: StepRow) -> bool:
    return _value(step, "confidence") >= _value(step, "threshold")


def _queue_choice(step: StepRow, facts: RunFacts, verdict: str) -> str:
    n, following = int(step.get("rank") or 0), int(step.get("block") or 0) + 1
    blocks = facts.blocks[n] if n < len(facts.blocks) else ()
    queue = f"{'I' if verdict == 'input' else 'O'}_{n}"
    if blocks and following not in blocks:
        return f"{queue}: rank {n} does not host block {following}"
    scheme = SCHEMES.get(facts.scheme)
    if scheme is None:
        return queue
    if scheme.place is exits.algorithm_1:
        return _algorithm_1(step, facts, n, verdict)
    if scheme.place is exits.always_offer:
        return f"{queue}: {facts.scheme} decides about every task there"
    return f"{queue}: rank {n} hosts block {following}"


def _algorithm_1(step: StepRow, facts: RunFacts, n: int, verdict: str) -> str:
    waiting, going = _count(step, "input_queue"), _count(step, "output_queue")
    limit = facts.output_limit
    if verdict == "output":
        return f"O_{n}: |I_{n}| {waiting} > 0 and |O_{n}| {going} ≤ T_O {limit}"
    if going > limit:
        return f"I_{n}: |O_{n}| {going} > T_O {limit}"
    return f"I_{n}: I_{n} is empty"


# --- algorithm 2 and its rivals: send or keep -----------------------------------------------------


def _waits(step: StepRow) -> tuple[float, float]:
    """w_n = |I_n| Γ_n and w_m = D_nm + |I_m| Γ_m, seconds."""
    own = _value(step, "input_queue") * _value(step, "gamma_s")
    theirs = _value(step, "target_input_queue") * _value(step, "target_gamma_s")
    return own, _value(step, "hop_delay_s") + theirs


def _longer_queue(step: StepRow) -> str:
    n, m = step.get("rank"), step.get("target")
    going, theirs = _count(step, "output_queue"), _count(step, "target_input_queue")
    return f"|O_{n}| {going} > |I_{m}| {theirs}"


def _shorter(step: StepRow, facts: RunFacts) -> str:
    own, theirs = map(milliseconds, _waits(step))
    n, m = step.get("rank"), step.get("target")
    return f"{_longer_queue(step)} and w_{n} {own} > w_{m} {theirs}{_age(step)}"


def _chance(step: StepRow, facts: RunFacts) -> str:
    own, theirs = _waits(step)
    share = f"p = {own / theirs:.2f}" if theirs > 0 else "p = 1"
    n, m = step.get("rank"), step.get("target")
    waits = f"w_{n} {milliseconds(own)} ≤ w_{m} {milliseconds(theirs)}"
    return f"{_longer_queue(step)}; {waits}, sent by chance with {share}{_age(step)}"


def _least(step: StepRow, facts: RunFacts) -> str:
    n, m, block = step.get("rank"), step.get("target"), step.get("block")
    theirs = milliseconds(_waits(step)[1])
    idle = f"I_{n} is empty and rank {n} does not host block {block}"
    return f"{idle}; least wait is w_{m} {theirs}{_age(step)}"


def _host(step: StepRow, facts: RunFacts) -> str:
    m, block = int(step.get("target") or 0), step.get("block")
    hosts = m < len(facts.blocks) and block in facts.blocks[m]
    return f"rank {m} {'hosts' if hosts else 'leads to the host of'} block {block}"


def _random(step: StepRow, facts: RunFacts) -> str:
    return "drawn at random among the hosts"


def _turn(step: StepRow, facts: RunFacts) -> str:
    return "next in turn among the hosts"


def _shortest(step: StepRow, facts: RunFacts) -> str:
    m = step.get("target")
    theirs = _count(step, "target_input_queue")
    return f"|I_{m}| {theirs} is the shortest input queue{_age(step)}"


_SENT: Mapping[str, Callable[[StepRow, RunFacts], str]] = {
    "shorter": _shorter,
    "chance": _chance,
    "least": _least,
    "host": _host,
    "random": _random,
    "turn": _turn,
    "shortest": _shortest,
}


_KEPT: Mapping[str, str] = {
    "idle": "I_{n} ran empty and rank {n} hosts block {block}: a worker never idles",
    "host": "rank {n} hosts block {block}",
    "random": "drawn at random among the hosts: rank {n} itself",
    "turn": "next in turn among the hosts: rank {n} itself",
    "shortest": "|I_{n}| {waiting} is the shortest input queue: rank {n} itself",
}


def _age(step: StepRow) -> str:
    """The age of the target's figures."""
    age_s = _value(step, "info_age_s")
    return "" if math.isnan(age_s) else f" (known {milliseconds(age_s)} ago)"


def _value(step: StepRow, name: str) -> float:
    value = step.get(name)
    return float(value) if isinstance(value, (int, float)) else math.nan


def _count(step: StepRow, name: str) -> int:
    value = _value(step, name)
    return 0 if math.isnan(value) else int(value)


def _figure(step: StepRow, name: str) -> str:
    value = _value(step, name)
    return "–" if math.isnan(value) else f"{value:.2f}"
