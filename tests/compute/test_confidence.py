import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdibench.compute.confidence import MEASURES, entropy, judge, margin, max_softmax
from mdibench.errors import UserError

LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12)


def test_hand_computed_values() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    assert max_softmax(logits)[0].item() == pytest.approx(0.7)
    assert margin(logits)[0].item() == pytest.approx(0.5)
    nats = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    assert entropy(logits)[0].item() == pytest.approx(1 - nats / math.log(3))


@pytest.mark.parametrize("measure", [entropy, margin])
def test_uniform_is_zero_and_certain_is_one(measure) -> None:
    assert measure(np.zeros((1, 10), np.float32))[0].item() == pytest.approx(0, abs=1e-6)
    assert measure(np.eye(10, dtype=np.float32)[:1] * 1000)[0].item() == pytest.approx(1)


@settings(max_examples=80)
@given(row=LOGITS, shift=st.floats(-20, 20, width=32))
def test_every_measure_is_a_share_and_ignores_a_common_offset(row, shift) -> None:
    logits = np.array([row], np.float32)
    for measure in MEASURES.values():
        value, _ = measure(logits)
        assert value.shape == (1,)
        assert 0 <= value.item() <= 1 + 1e-6
        assert measure(logits + np.float32(shift))[0].item() == pytest.approx(
            value.item(), abs=2e-4
        )


@pytest.mark.parametrize("measure", MEASURES.values())
def test_every_measure_names_the_likeliest_class(measure) -> None:
    logits = np.random.default_rng(1).normal(size=(50, 10))
    assert np.array_equal(measure(logits)[1], logits.argmax(1))


def test_they_are_those_of_torch() -> None:
    logits = np.random.default_rng(2).normal(scale=4, size=(500, 10)).astype(np.float32)
    shares = torch.softmax(torch.from_numpy(logits), dim=1)
    two = shares.topk(2, dim=1).values
    nats = torch.distributions.Categorical(probs=shares).entropy()
    expected = {
        max_softmax: two[:, 0],
        margin: two[:, 0] - two[:, 1],
        entropy: 1 - nats / math.log(10),
    }
    for measure, values in expected.items():
        np.testing.assert_allclose(measure(logits)[0], values.numpy(), atol=2e-6)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_confidence_is_no_number(measure, value: float) -> None:
    logits = np.array([[1, 2, 3], [1, value, 3]], np.float32)
    assert len(judge(MEASURES[measure], logits[:1], 2.0, 3)) == 1
    with np.errstate(invalid="ignore"), pytest.raises(UserError, match="exit 3 gives NaN as a con"):
        judge(MEASURES[measure], logits, 1.0, 3)


@settings(max_examples=80)
@given(row=LOGITS, temperature=st.floats(0.1, 10))
def test_one_item_alone_is_judged_like_a_batch(row, temperature: float) -> None:
    logits = np.array([row, row], np.float32)
    (alone,) = judge(max_softmax, logits[:1], temperature, 1)
    in_a_batch, _ = judge(max_softmax, logits, temperature, 1)
    assert alone[1] == pytest.approx(in_a_batch[1], rel=1e-4)
    assert row[alone[0]] == pytest.approx(row[in_a_batch[0]], abs=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_item_without_a_confidence_is_told(value: float) -> None:
    for row in ([1, value, 3], [value, 1, 3], [1, 3, value]):
        with pytest.raises(UserError, match="exit 2 gives NaN as a con"):
            judge(max_softmax, np.array([row], np.float32), 1.0, 2)


def test_a_temperature_divides_the_logits() -> None:
    logits = np.array([[1, 2, 4]], np.float32)
    assert judge(max_softmax, logits, 2.0, 1) == judge(max_softmax, logits / 2, 1.0, 1)
