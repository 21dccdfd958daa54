"""What follows from the keys of a config: properties that a run, its plan and its record share."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mdibench.config.checks import CLOCKED_MODES
from mdibench.config.reading import read_config
from mdibench.config.schema import AdmissionSection, RunSection, SchemeSection


def test_the_clock_ends_admission() -> None:
    run = RunSection(warmup_s=2.0, duration_s=10.0, drain_s=3.0)
    assert run.measured_window_s == (2.0, 12.0)
    assert (run.admission_end_s, run.latest_end_s) == (12.0, 15.0)


def test_a_count_of_items_ends_admission_whenever_it_is_reached() -> None:
    run = RunSection(warmup_s=2.0, duration_s=10.0, items=5)
    assert run.measured_window_s == (2.0, math.inf)
    assert run.latest_end_s == math.inf


@pytest.mark.parametrize(
    ("scheme", "given", "exits_early"),
    [
        ("mdi-exit", None, True),
        ("mdi-exit", False, False),
        ("mdi", None, False),
        ("mdi", True, True),
    ],
)
def test_a_key_decides_on_early_exits_before_the_scheme(
    scheme: str, given: bool | None, exits_early: bool
) -> None:
    assert SchemeSection(name=scheme, early_exit=given).exits_early is exits_early


def test_raw_items_leave_by_the_scheme_or_by_the_key() -> None:
    assert SchemeSection(name="ddi").offers_raw
    assert not SchemeSection(name="mdi-exit").offers_raw
    assert SchemeSection(name="mdi-exit", source_offloads_raw=True).offers_raw


@pytest.mark.parametrize(
    ("threshold", "each"),
    [(None, (0.8, 0.8, 0.8)), (0.6, (0.6, 0.6, 0.6)), ([0.7, 0.8, 0.9], (0.7, 0.8, 0.9))],
)
def test_every_exit_has_a_threshold(
    threshold: float | list[float] | None, each: tuple[float, ...]
) -> None:
    scheme = SchemeSection(threshold=threshold)
    assert scheme.thresholds(3) == each
    assert not scheme.calibrated


@pytest.mark.parametrize("target", [{"target_accuracy": 0.9}, {"accuracy_drop": 0.0}])
def test_a_target_is_calibrated_for(target: dict[str, float]) -> None:
    assert SchemeSection(**target).calibrated


def test_only_modes_with_a_schedule_are_clocked() -> None:
    modes = ("adapt-rate", "adapt-threshold", "fixed-rate", "offline", "single-stream")
    clocked = {mode for mode in modes if AdmissionSection(mode=mode).clocked}
    assert clocked == set(CLOCKED_MODES)
    assert AdmissionSection(interarrival_s=0.02).rate_per_s == 50.0


def test_a_config_and_its_trace_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "c.toml"
    trace.write_text("0.5\n1.5\n")
    text = f'[admission]\nmode = "fixed-rate"\narrivals = "trace"\ntrace_file = "{trace}"\n'
    path.write_text(text)
    opened: list[Path] = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda each: opened.append(each) or read(each))
    file = read_config(path)
    assert (file.text, file.arrivals_s) == (text, [0.5, 1.5])
    assert opened == [path, trace]
