import numpy as np
import pytest
import torch
from torch import nn

from mdibench.codec.codecs import BFLOAT16
from mdibench.compute.confidence import judge, max_softmax
from mdibench.compute.engine import UNASKED, Hosted
from mdibench.compute.timing import block_seconds
from mdibench.compute.torch_engine import TorchEngine
from mdibench.core.records import Task
from mdibench.data.dataset import load_dataset
from mdibench.errors import InvariantError
from mdibench.models.evaluation import all_logits
from mdibench.models.network import MultiExitNetwork
from mdibench.models.registry import load_network


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> MultiExitNetwork:
    return load_network("digits-cnn")


@pytest.fixture(scope="module")
def items() -> np.ndarray:
    return load_dataset("digits").evaluation.inputs[:8]


def through(engine: TorchEngine, item: np.ndarray, exits: int):
    """Outcomes of every block for one item, each block fed with what the one before gave."""
    payload, outcomes = item, []
    for block in range(1, exits + 1):
        [outcome] = engine.compute([Task(0, block, payload)])
        outcomes.append(outcome)
        payload = outcome.payload
    return outcomes


def test_block_by_block_equals_the_whole_network_bit_by_bit(network, items) -> None:
    engine = TorchEngine(network)
    for item in items:
        with torch.inference_mode():
            logits = all_logits(network, torch.from_numpy(item[None]))
        for outcome, exit_logits in zip(through(engine, item, 5), logits, strict=True):
            assert [(outcome.prediction, outcome.confidence)] == judge(
                max_softmax, exit_logits.numpy(), 1.0, 1
            )


def test_an_engine_with_few_blocks_equals_the_whole_network(network, items) -> None:
    whole, part = TorchEngine(network), TorchEngine(load_network("digits-cnn", blocks={3}))
    task = Task(0, 3, through(whole, items[0], 5)[1].payload)
    [mine], [theirs] = part.compute([task]), whole.compute([task])
    assert mine == theirs
    assert np.array_equal(mine.payload, theirs.payload)


def test_payloads_are_single_items_and_the_last_is_none(network, items) -> None:
    outcomes = through(TorchEngine(network), items[0], 5)
    for outcome in outcomes[:-1]:
        assert outcome.payload.ndim == 3
        assert outcome.payload_bytes == outcome.payload.size * 4
    assert outcomes[-1].payload is None
    assert outcomes[-1].payload_bytes == 0


def test_a_batch_gives_what_single_tasks_give(network, items) -> None:
    engine = TorchEngine(network)
    together = engine.compute([Task(i, 1, item) for i, item in enumerate(items)])
    for item, outcome in zip(items, together, strict=True):
        [alone] = engine.compute([Task(0, 1, item)])
        assert outcome.prediction == alone.prediction
        assert outcome.confidence == pytest.approx(alone.confidence, abs=1e-5)
        np.testing.assert_allclose(outcome.payload, alone.payload, atol=1e-4, rtol=1e-4)


def test_payloads_of_a_batch_do_not_keep_each_other_alive(network, items) -> None:
    outcomes = TorchEngine(network).compute([Task(i, 1, item) for i, item in enumerate(items)])
    tensors = [torch.from_numpy(outcome.payload) for outcome in outcomes]
    assert {tensor.untyped_storage().nbytes() for tensor in tensors} == {outcomes[0].payload_bytes}
    owners = {outcome.payload.ctypes.data for outcome in outcomes}
    assert len(owners) == len(outcomes)


def test_a_temperature_changes_the_confidence_and_never_the_prediction(network, items) -> None:
    plain = TorchEngine(network).compute([Task(0, 1, items[0])])[0]
    soft = TorchEngine(network, hosted=Hosted.every_block(5, [4.0] * 5)).compute(
        [Task(0, 1, items[0])]
    )[0]
    assert soft.prediction == plain.prediction
    assert soft.confidence < plain.confidence


def test_heads_that_nobody_asks_for_are_not_computed(network, items) -> None:
    asked = Hosted({1: 1, 2: 2}, frozenset({2}), (10, 20))
    engine = TorchEngine(network, hosted=asked)
    [first] = engine.compute([Task(0, 1, items[0])])
    assert (first.prediction, first.confidence) == (UNASKED, 0.0)
    [second] = engine.compute([Task(0, 2, first.payload)])
    [expected] = TorchEngine(network).compute([Task(0, 2, first.payload)])
    assert second == expected
    assert [engine.flops(Task(0, block)) for block in (1, 2)] == [10, 20]


def test_blocks_of_one_call_answer_like_one_after_the_other(network, items) -> None:
    joined = Hosted({1: 3, 2: 3, 3: 3}, frozenset({3}), (10, 20, 30))
    engine = TorchEngine(network, hosted=joined)
    [together] = engine.compute([Task(0, 1, items[0])])
    third = through(TorchEngine(network), items[0], 5)[2]
    assert together == third
    assert np.array_equal(together.payload, third.payload)
    assert engine.flops(Task(0, 1)) == 60


def test_bfloat16_feature_maps_keep_their_bits() -> None:
    class Half(nn.Module):
        def forward(self, items: torch.Tensor) -> torch.Tensor:
            return items.to(torch.bfloat16)

    class Head(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features.flatten(1)

    parts = [Half(), nn.Identity()], [Head(), Head()]
    engine = TorchEngine(MultiExitNetwork("b", *parts, (1, 2, 3), 6))
    item = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    for tasks in ([Task(0, 1, item)], [Task(0, 1, item), Task(1, 1, item)]):
        outcomes = engine.compute(tasks)
        assert {outcome.payload.dtype for outcome in outcomes} == {BFLOAT16}
        [last] = engine.compute([Task(0, 2, outcomes[0].payload)])
        assert last.prediction == 5


def test_a_block_that_is_not_loaded_is_an_invariant_error(items) -> None:
    engine = TorchEngine(load_network("digits-cnn", blocks={2}))
    with pytest.raises(InvariantError, match="block 1 is not loaded here"):
        engine.compute([Task(0, 1, items[0])])


def test_a_task_that_travelled_is_computed_to_the_same_bit(network, items) -> None:
    engine = TorchEngine(network)
    stayed = through(engine, items[0], 5)
    arrived = np.ascontiguousarray(stayed[1].payload)  # as it comes out of a message
    [travelled] = engine.compute([Task(0, 3, arrived)])
    assert travelled.confidence == stayed[2].confidence
    assert np.array_equal(travelled.payload, stayed[2].payload)


def test_feature_maps_may_have_other_shapes() -> None:
    class Vectors(nn.Module):
        def forward(self, items: torch.Tensor) -> torch.Tensor:
            return items.float().flatten(1)

    network = MultiExitNetwork("v", [Vectors(), nn.Identity()], [nn.Identity()] * 2, (1, 2, 3), 6)
    item = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    outcomes = through(TorchEngine(network), item, 2)
    assert np.array_equal(outcomes[0].payload, np.arange(6.0))
    assert outcomes[1].prediction == 5


def test_block_times_are_positive_and_one_per_block(network, items) -> None:
    seconds = block_seconds(TorchEngine(network), items[0], repeats=2)
    assert len(seconds) == 5
    assert all(value > 0 for value in seconds)
