"""Accuracies: distinct samples, clusters of variants, pools of repeats, and pairs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from mdibench.analysis.accuracy import Samples, paired, pooled
from mdibench.analysis.statistics import wilson

ORIGINALS, VARIANTS = 500, 4
Numbers = NDArray[np.float64]


def judged(right: Numbers, seed: int = 0, variants: int = 1) -> Samples:
    """Samples that are right or wrong, ``variants`` of each original beside each other."""
    originals = " ".join(map(str, np.arange(right.size) // variants))
    return Samples.of(np.arange(right.size), right, {"seed": seed, "originals": originals})


def half_right(n: int, wrong: int = 0) -> Numbers:
    right = np.ones(n)
    right[:wrong] = 0
    return right


def test_one_sample_of_2000_is_no_difference_however_often_it_is_repeated() -> None:
    """T_e 0.8 against 0.85: one sample differs, in three repeats of the same samples."""
    a = [judged(half_right(2000, 100))] * 3
    b = [judged(half_right(2000, 101))] * 3
    assert paired(a, b).shift.p_value == 1.0
    assert paired(a, b).shift.estimate.value == pytest.approx(-1 / 2000)
    low, high = paired(a, b).shift.estimate.low, paired(a, b).shift.estimate.high
    assert low < 0 < high
    assert paired(a, a).shift.p_value == 1.0


def test_repeats_of_the_same_samples_tell_no_more() -> None:
    once = judged(half_right(2000, 96))
    assert pooled([once] * 3) == pooled([once])
    assert pooled([once]) == wilson(2000 - 96, 2000)


def test_repeats_of_other_samples_tell_more() -> None:
    runs = [judged(half_right(2000, 96), seed) for seed in range(3)]
    assert pooled(runs).n == 6000
    assert pooled([*runs, runs[0]]).n == 6000  # the same seed again


def test_variants_of_one_original_are_one_cluster() -> None:
    """All four right or wrong together: worth as much as the originals alone."""
    alone = half_right(ORIGINALS, 40)
    found = pooled([judged(np.repeat(alone, VARIANTS), variants=VARIANTS)])
    expected = wilson(ORIGINALS - 40, ORIGINALS)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == ORIGINALS * VARIANTS
    every = pooled([judged(np.ones(2000), variants=VARIANTS)])
    assert every.low == pytest.approx(wilson(ORIGINALS, ORIGINALS).low)


@pytest.mark.parametrize(("better", "worse"), [(0, 6), (3, 9), (1, 4), (0, 5)])
def test_few_differing_samples_are_judged_by_the_exact_mcnemar_test(
    better: int, worse: int
) -> None:
    a, b = np.full(2000, 1.0), np.full(2000, 1.0)
    a[:better] = 0
    b[100 : 100 + worse] = 0
    exact = stats.binomtest(better, better + worse).pvalue
    found = paired([judged(a)], [judged(b)]).shift
    normal = 2 * stats.norm.sf(abs(better - worse) / np.sqrt(better + worse))
    assert found.p_value == pytest.approx(max(exact, normal))


@pytest.mark.slow
def test_pairs_of_clusters_hold_their_size_and_cover() -> None:
    """Variants of an original flip together in either direction: no true difference."""
    draw = np.random.default_rng(5)
    significant, covered, sets = 0, 0, 1000
    for _ in range(sets):
        hard = np.repeat(draw.random(ORIGINALS) < 0.1, VARIANTS)
        flips = np.repeat(draw.random((2, ORIGINALS)) < 0.5, VARIANTS, axis=1)
        a, b = (np.where(hard & flip, 0.0, 1.0) for flip in flips)
        found = paired([judged(a, variants=VARIANTS)], [judged(b, variants=VARIANTS)]).shift
        significant += found.p_value < 0.05
        covered += found.estimate.low <= 0 <= found.estimate.high
    assert significant / sets <= 0.06
    assert 0.93 <= covered / sets <= 0.97


@pytest.mark.slow
def test_the_pooled_interval_covers_with_clusters() -> None:
    draw = np.random.default_rng(6)
    covered, sets, easy = 0, 1000, 0.9
    for _ in range(sets):
        chance = np.where(draw.random(ORIGINALS) < easy, 0.99, 0.4)
        runs = [
            judged((draw.random(2000) < np.repeat(chance, VARIANTS)).astype(float), seed, VARIANTS)
            for seed in range(3)
        ]
        found = pooled(runs)
        covered += found.low <= 0.9 * 0.99 + 0.1 * 0.4 <= found.high
    assert 0.93 <= covered / sets <= 0.97


def test_thresholds_that_adapt_differ_by_more_than_their_samples() -> None:
    """Runs of one config whose accuracies are 80, 90 and 100 %: their spread is in the interval."""
    runs = [judged(half_right(1000, wrong), seed) for seed, wrong in enumerate((0, 100, 200))]
    assert pooled(runs).high - pooled(runs).low > 2 * (wilson(2700, 3000).high - 0.9)
