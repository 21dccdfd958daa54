"""Stories and the reasons of their steps, word for word."""

import math
from dataclasses import replace
from typing import Any

import pytest

from mdibench.monitor.facts import facts_of
from mdibench.monitor.story import decision_reason, story_of
from mdibench.monitor.tables import Tables
from mdibench.policy.schemes import SCHEMES
from tests.monitor.synthetic import Synthetic

RUN = Synthetic(ranks=4, rate=40, duration_s=2.0)
FACTS = replace(facts_of(RUN.manifest()), blocks=((1, 2), (2, 3), (3, 4), (4, 5)))
SENT: dict[str, Any] = {
    "rank": 0, "block": 2, "kind": "send", "target": 1, "input_queue": 9, "output_queue": 5,
    "gamma_s": 0.02, "target_input_queue": 3, "target_gamma_s": 0.02, "hop_delay_s": 0.01,
    "info_age_s": 0.012,
}  # fmt: skip
COMPUTED: dict[str, Any] = {
    "rank": 0, "block": 1, "kind": "compute", "confidence": 0.41, "threshold": 0.8,
    "input_queue": 3, "output_queue": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"verdict": "shorter"},
            "|O_0| 5 > |I_1| 3 and w_0 180 ms > w_1 70.0 ms (known 12.0 ms ago)",
        ),
        (
            {"verdict": "chance", "input_queue": 1},
            "|O_0| 5 > |I_1| 3; w_0 20.0 ms ≤ w_1 70.0 ms, sent by chance with p = 0.29"
            " (known 12.0 ms ago)",
        ),
        (
            {"verdict": "least", "input_queue": 0, "block": 3},
            "I_0 is empty and rank 0 does not host block 3; least wait is w_1 70.0 ms"
            " (known 12.0 ms ago)",
        ),
        ({"verdict": "host"}, "rank 1 hosts block 2"),
        ({"verdict": "host", "block": 5}, "rank 1 leads to the host of block 5"),
        ({"verdict": "random"}, "drawn at random among the hosts"),
        ({"verdict": "turn"}, "next in turn among the hosts"),
        (
            {"verdict": "shortest", "info_age_s": None},
            "|I_1| 3 is the shortest input queue",
        ),
        (
            {"verdict": "price", "price": 41.0, "next_price": 38.25},
            "block 2: price 41.0 here > 38.2 at rank 1 (known 12.0 ms ago)",
        ),
        ({"verdict": "a rule of tomorrow"}, "a rule of tomorrow"),
    ],
)
def test_why_a_task_was_sent(change: dict[str, Any], sentence: str) -> None:
    assert decision_reason(SENT | change, FACTS) == sentence


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"verdict": "exit", "confidence": 0.93}, "C_1 0.93 ≥ T_e 0.80: leaves at exit 1"),
        (
            {"verdict": "exit", "block": 5},
            "C_5 0.41: exit 5 is the last, every item leaves",
        ),
        (
            {"verdict": "output"},
            "C_1 0.41 < T_e 0.80; O_0: |I_0| 3 > 0 and |O_0| 4 ≤ T_O 50",
        ),
        (
            {"verdict": "input", "output_queue": 51},
            "C_1 0.41 < T_e 0.80; I_0: |O_0| 51 > T_O 50",
        ),
        ({"verdict": "input", "input_queue": 0}, "C_1 0.41 < T_e 0.80; I_0: I_0 is empty"),
        (
            {"verdict": "output", "block": 2},
            "C_2 0.41 < T_e 0.80; O_0: rank 0 does not host block 3",
        ),
    ],
)
def test_why_a_task_joined_a_queue(change: dict[str, Any], sentence: str) -> None:
    assert decision_reason(COMPUTED | change, FACTS) == sentence


def test_other_schemes_are_not_explained_by_algorithm_1() -> None:
    rival = replace(FACTS, scheme="round-robin")
    assert decision_reason(COMPUTED | {"verdict": "output"}, rival) == (
        "C_1 0.41 < T_e 0.80; O_0: round-robin decides about every task there"
    )
    pipeline = replace(FACTS, scheme="static-exit")
    assert decision_reason(COMPUTED | {"verdict": "input"}, pipeline).endswith(
        "I_0: rank 0 hosts block 2"
    )


def test_prices_are_the_reason_of_what_was_computed() -> None:
    priced = replace(FACTS, scheme="pressure")
    step = COMPUTED | {"verdict": "input", "price": 12.0, "next_price": -3.5}
    assert decision_reason(step, priced) == (
        "block 1 gains most: price 12.0 here > -3.5 after it; C_1 0.41 < T_e 0.80;"
        " I_0: waits for the engine or a lower price elsewhere"
    )


def test_no_early_exits_is_a_reason() -> None:
    mdi = replace(FACTS, scheme="mdi")
    sentence = decision_reason(COMPUTED | {"verdict": "input", "confidence": 0.99}, mdi)
    assert sentence == "C_1 0.99, no early exits; I_0: rank 0 hosts block 2"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_a_reason_for_every_verdict(scheme: str) -> None:
    facts = replace(FACTS, scheme=scheme)
    for verdict in ("exit", "input", "output"):
        assert decision_reason(COMPUTED | {"verdict": verdict}, facts)


def test_a_row_without_values_has_a_reason_without_values() -> None:
    assert decision_reason({"kind": "send", "verdict": "shorter"}, FACTS)
    assert decision_reason({"kind": "compute", "verdict": "output"}, FACTS)
    assert decision_reason({}, FACTS) == ""


def test_the_story_of_an_item_that_completed() -> None:
    tables = Tables(4, 5)
    tables.extend(RUN.rows())
    item = max(tables.items.columns["item"].tolist(), key=lambda i: len(tables.steps_of(i)))
    story = story_of(item, tables.items.find(item), tables.steps_of(item), FACTS)
    assert story.status == "ok"
    assert [c.rank for c in story.steps if c.kind == "compute"] == list(story.path)
    assert [c.t_s for c in story.steps] == sorted(c.t_s for c in story.steps)
    parts = story.computed_s + story.waited_input_s + story.waited_output_s + story.elsewhere_s
    assert parts == pytest.approx(story.latency_s)


def test_the_story_of_an_item_under_way() -> None:
    story = story_of(7, None, [COMPUTED | {"verdict": "output", "t_s": 1.0, "item": 7}], FACTS)
    assert (story.status, story.exit, story.path) == ("in flight", None, (0,))
    assert math.isnan(story.latency_s)


def test_the_story_of_a_dropped_item() -> None:
    run = Synthetic(ranks=2, drop_every=3, duration_s=1.0)
    tables = Tables(2, 5)
    tables.extend(run.rows())
    story = story_of(2, tables.items.find(2), [], facts_of(run.manifest()))
    assert (story.status, story.reason) == ("dropped", "too many items in flight")
    assert story.steps == ()
    assert story.prediction is None


def test_a_task_that_its_worker_kept_is_a_step() -> None:
    kept = {"kind": "keep", "rank": 0, "block": 2, "t_s": 1.0, "queued_s": 0.02, "verdict": "idle"}
    [step] = story_of(7, None, [kept], FACTS).steps
    assert (step.queue, step.note, step.target) == ("O_0", "τ_2 → I_0", 0)
    assert step.reason == "I_0 ran empty and rank 0 hosts block 2: a worker never idles"
    assert story_of(7, None, [kept], FACTS).waited_output_s == pytest.approx(0.02)
    shortest = kept | {"verdict": "shortest", "input_queue": 1}
    assert decision_reason(shortest, FACTS) == "|I_0| 1 is the shortest input queue: rank 0 itself"
