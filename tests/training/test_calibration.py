import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdibench.training.calibration import (
    accuracy_target,
    calibrate,
    exits_taken,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)


def synthetic(seed: int, items: int = 600, exits: int = 4):
    """Confidences and correctness of exits that get better and are roughly calibrated."""
    rng = np.random.default_rng(seed)
    ease = rng.random(items)
    depth = np.arange(1, exits + 1)[:, None]
    confidence = np.clip(ease ** (1 / depth) + 0.05 * rng.standard_normal((exits, items)), 0.1, 1)
    return confidence, rng.random((exits, items)) < confidence


def test_exits_are_taken_at_the_first_confidence_that_suffices() -> None:
    confidence = np.array([[0.9, 0.7, 0.8, 0.1], [0.1, 0.95, 0.5, 0.2], [0.1, 0.2, 0.3, 0.4]])
    assert exits_taken(confidence, [0.8, 0.9, 1.0]).tolist() == [0, 1, 0, 2]


def test_the_temperature_of_scaled_logits_is_the_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 5))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (chances.cumsum(1) > rng.random((len(logits), 1))).argmax(1)
    assert fit_temperature(3.0 * logits, labels) == pytest.approx(3.0, rel=0.03)


def test_the_fitted_temperature_is_a_minimum() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (500, 4))
    labels = np.where(rng.random(500) < 0.8, logits.argmax(1), rng.integers(0, 4, 500))
    best = fit_temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, best)
    for factor in (0.9, 1.1):
        assert least <= negative_log_likelihood(logits, labels, factor * best) + 1e-9


def test_likelihood_by_hand() -> None:
    logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    expected = -(np.log(0.75) + np.log(0.5)) / 2
    assert negative_log_likelihood(logits, np.array([1, 0]), 1.0) == pytest.approx(expected)


def test_calibration_error_by_hand() -> None:
    # Bin 0.5..1 holds confidences 0.6 and 0.8 with one hit; bin 0..0.5 holds 0.2 without one.
    error = expected_calibration_error(
        np.array([0.6, 0.8, 0.2]), np.array([True, False, False]), bins=2
    )
    assert error == pytest.approx((abs(1.4 - 1) + 0.2) / 3)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0
    assert expected_calibration_error(np.array([]), np.array([], bool)) == 0


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), drop=st.floats(0, 0.3))
def test_the_target_is_kept_and_thresholds_are_probabilities(seed: int, drop: float) -> None:
    confidence, correct = synthetic(seed, items=200)
    target = accuracy_target(correct, None, drop)
    result = calibrate(confidence, correct, target, costs=[1, 2, 3, 4])
    assert result.reached
    assert result.accuracy >= target
    assert all(0 <= value <= 1 for value in result.thresholds)
    assert sum(result.shares) == pytest.approx(1)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_lower_target_never_costs_more(seed: int) -> None:
    confidence, correct = synthetic(seed, items=200)
    costs = np.array([1, 2, 3, 4])
    strict, lax = (
        costs @ calibrate(confidence, correct, accuracy_target(correct, None, drop), costs).shares
        for drop in (0.01, 0.2)
    )
    assert lax <= strict


def test_savings_are_real_and_hold_on_other_items() -> None:
    confidence, correct = synthetic(3, items=8000)
    chosen = calibrate(confidence[:, :4000], correct[:, :4000], 0.75, costs=[1, 2, 3, 4])
    assert chosen.shares[0] > 0.2
    exits = exits_taken(confidence[:, 4000:], chosen.thresholds)
    elsewhere = correct[:, 4000:][exits, np.arange(4000)].mean()
    assert elsewhere == pytest.approx(0.75, abs=0.03)


def test_a_target_out_of_reach_is_reported_and_costs_no_accuracy() -> None:
    confidence, correct = synthetic(0)
    result = calibrate(confidence, correct, 1.0, costs=[1, 2, 3, 4])
    assert not result.reached
    assert result.accuracy >= correct[-1].mean()


def test_an_exit_that_is_always_right_lets_every_item_leave() -> None:
    confidence, correct = synthetic(0)
    correct[0] = True
    result = calibrate(confidence, correct, 0.99, costs=[1, 2, 3, 4])
    assert result.shares[0] == 1


def test_the_target_is_given_or_follows_the_last_exit() -> None:
    correct = np.array([[True, False], [True, True]])
    assert accuracy_target(correct, 0.9, None) == 0.9
    assert accuracy_target(correct, None, 0.25) == 0.75
