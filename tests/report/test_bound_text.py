"""``mdibench bound``: the origin of block times, and the policies that the bound holds for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mdibench.record.profile import BlockProfile, Profile, Timing
from mdibench.report.bound_text import bound_lines, bound_report
from mdibench.simulation.scenario import Scenario
from tests.simulation.scenarios import EXITS, scenario

TIMES = (Timing(1, 0.01, 0.01, 0.01, 50), Timing(4, 0.02, 0.02, 0.02, 50))
"""10 ms alone, 5 ms each in a batch of four."""


def profiled(tmp_path: Path, *overrides: str) -> Scenario:
    """One worker with 10 ms blocks that nothing emulates."""
    made = scenario(tmp_path, 1, "", "scheme.early_exit=false", *overrides)
    blocks = [BlockProfile(k + 1, 1, 1, 4, 4, (1,), 4, {}, TIMES, TIMES) for k in range(EXITS)]
    profile = Profile("2026-01-01T00:00:00Z", {}, {}, 2, (0.5,) * EXITS, tuple(blocks))
    return replace(made, plan=replace(made.plan, devices=(None,)), profile=profile)


@pytest.mark.parametrize(
    ("max_batch", "rate_per_s", "holds"),
    [
        (1, 100 / EXITS, "whatever the policy"),
        (4, 200 / EXITS, "whatever the policy"),
        (16, 200 / EXITS, "in batches of at most 4, the largest timed"),
    ],
)
def test_the_fastest_batch_size_bounds(
    tmp_path: Path, max_batch: int, rate_per_s: float, holds: str
) -> None:
    found = bound_report(profiled(tmp_path, f"model.max_batch={max_batch}"))
    assert found.bound.rate_per_s == pytest.approx(rate_per_s)
    assert f"items per second, {holds}" in bound_lines(found)[1]


def test_without_a_profile_only_batches_of_one_are_known(tmp_path: Path) -> None:
    found = bound_report(replace(profiled(tmp_path, "model.max_batch=4"), profile=None))
    assert "in batches of at most 1, the largest timed" in bound_lines(found)[1]
    assert bound_lines(found)[3].startswith("unloaded: the bound in a report takes the times")


def test_an_emulated_device_takes_as_long_for_each_task(tmp_path: Path) -> None:
    found = bound_report(scenario(tmp_path, 1, "", "model.max_batch=4", "scheme.early_exit=false"))
    assert found.bound.rate_per_s == pytest.approx(100 / EXITS)
    assert "whatever the policy" in bound_lines(found)[1]
    assert "unloaded" not in " ".join(bound_lines(found))


def test_why_a_rate_has_no_best_accuracy(tmp_path: Path) -> None:
    without_exits = scenario(tmp_path, 2, "", "scheme.name=mdi")
    assert without_exits.recordings is not None
    last = 100 * without_exits.recordings.correct[-1].mean()
    assert bound_lines(bound_report(without_exits, 20.0))[-1] == (
        f"accuracy {last:.2f}% at any rate up to the bound: mdi has no early exits here"
    )
    nothing = replace(scenario(tmp_path, 2), recordings=None)
    assert "the null block classifies nothing" in bound_lines(bound_report(nothing, 20.0))[-1]
