"""Cuts of the network: what one link out of the source and one more worker could carry."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mdibench.analysis.explain import Cut, break_down, cuts, sentences
from mdibench.analysis.run_groups import evaluate_run
from mdibench.core.wire import HEADER_BYTES
from mdibench.record.reader import RunReader
from tests.synthetic_runs import PAIR, manifest, write_run

FEATURES = 16 * 8 * 8
"""Numbers in a feature map, of four bytes each."""
LINE = replace(PAIR, ranks=3, items=300)


def link(source: int, target: int, bandwidth_bps: float | None, **more: Any) -> dict[str, Any]:
    return {"source": source, "target": target, "bandwidth_bps": bandwidth_bps, **more}


def found(folder: Path, *links: dict[str, Any]) -> list[Cut]:
    """The cuts of a run of three workers in a line, over ``links``."""
    plan = manifest(LINE)["plan"] | {"links": list(links)}
    run = evaluate_run(RunReader(write_run(folder, LINE, plan=plan)))
    steps = break_down(run.reader, run.summary.window, LINE.ranks)
    assert steps is not None
    return cuts(run.summary, steps, run.reader.manifest)


def test_a_codec_makes_the_link_faster(tmp_path: Path) -> None:
    plain = found(tmp_path / "plain", link(0, 1, 1e6, codec="none"))[0]
    half = found(tmp_path / "half", link(0, 1, 1e6, codec="fp16"))[0]
    ratio = (HEADER_BYTES + 4 * FEATURES) / (HEADER_BYTES + 2 * FEATURES)
    assert plain.link_s / half.link_s == pytest.approx(ratio)
    assert plain.break_even_bps / half.break_even_bps == pytest.approx(ratio)


def test_only_links_out_of_the_source_count(tmp_path: Path) -> None:
    slow = found(tmp_path / "slow", link(0, 1, 2e6))
    line = found(tmp_path / "line", link(0, 1, 2e6), link(1, 2, 200e6), link(1, 0, 200e6))
    assert line == slow


def test_the_fastest_of_several_links_counts(tmp_path: Path) -> None:
    one = found(tmp_path / "one", link(0, 2, 9e6))
    star = found(tmp_path / "star", link(0, 1, 2e6), link(0, 2, 9e6), link(0, 1, 99e6, tasks=False))
    assert star == one


def test_a_link_of_unknown_bandwidth_has_the_rate_of_its_hops(tmp_path: Path) -> None:
    measured, unknown = found(tmp_path / "run", link(0, 1, None)), found(tmp_path / "other")
    assert 0 < measured[0].link_s < LINE.hop_s
    assert math.isnan(unknown[0].link_s) and unknown[0].rate_per_s > 0


def test_thousands_of_items_per_second_have_no_exponents(one_run: Path) -> None:
    found = [Cut(1, 1e-3, 4e-4, 2e-4, 2345.6, 1e6), Cut(2, 2e-3, 0.0, 0.0, 1014.2, math.nan)]
    words = sentences(evaluate_run(RunReader(one_run)).summary, None, found)[-1]
    assert "reaches 1,014 items/s at most" in words and "2,346 items/s" in words
