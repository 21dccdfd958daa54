import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mdibench.compute.confidence import MEASURES, entropy, margin, max_softmax

LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12)


def test_hand_computed_values() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    assert max_softmax(logits)[0].item() == pytest.approx(0.7)
    assert margin(logits)[0].item() == pytest.approx(0.5)
    nats = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    assert entropy(logits)[0].item() == pytest.approx(1 - nats / math.log(3))


@pytest.mark.parametrize("measure", [entropy, margin])
def test_uniform_is_zero_and_certain_is_one(measure) -> None:
    assert measure(torch.zeros(1, 10))[0].item() == pytest.approx(0, abs=1e-6)
    assert measure(torch.eye(10)[:1] * 1000)[0].item() == pytest.approx(1)


@settings(max_examples=80, deadline=None)
@given(row=LOGITS, shift=st.floats(-20, 20, width=32))
def test_every_measure_is_a_share_and_ignores_a_common_offset(row, shift) -> None:
    logits = torch.tensor([row])
    for measure in MEASURES.values():
        value, _ = measure(logits)
        assert value.shape == (1,)
        assert 0 <= value.item() <= 1 + 1e-6
        assert measure(logits + shift)[0].item() == pytest.approx(value.item(), abs=2e-4)


@pytest.mark.parametrize("measure", MEASURES.values())
def test_every_measure_names_the_likeliest_class(measure) -> None:
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(1))
    assert torch.equal(measure(logits)[1], logits.argmax(1))
