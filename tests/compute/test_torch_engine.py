import pytest
import torch
from torch import nn

from mdibench.compute.torch_engine import TorchEngine, measure_block_seconds
from mdibench.core.records import Task
from mdibench.data.registry import load_dataset
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
def items() -> torch.Tensor:
    return torch.from_numpy(load_dataset("digits").evaluation.inputs[:8])


def through(engine: TorchEngine, item: torch.Tensor, exits: int):
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
            logits = all_logits(network, item.unsqueeze(0))
        for outcome, exit_logits in zip(through(engine, item, 5), logits, strict=True):
            assert outcome.prediction == exit_logits.argmax().item()
            assert outcome.confidence == torch.softmax(exit_logits, 1).max().item()


def test_an_engine_with_few_blocks_equals_the_whole_network(network, items) -> None:
    whole, part = TorchEngine(network), TorchEngine(load_network("digits-cnn", blocks={3}))
    task = Task(0, 3, through(whole, items[0], 5)[1].payload)
    [mine], [theirs] = part.compute([task]), whole.compute([task])
    assert mine == theirs
    assert torch.equal(mine.payload, theirs.payload)


def test_payloads_are_single_items_and_the_last_is_none(network, items) -> None:
    outcomes = through(TorchEngine(network), items[0], 5)
    for outcome in outcomes[:-1]:
        assert outcome.payload.ndim == 3
        assert outcome.payload_bytes == outcome.payload.numel() * 4
    assert outcomes[-1].payload is None
    assert outcomes[-1].payload_bytes == 0


def test_a_batch_gives_what_single_tasks_give(network, items) -> None:
    engine = TorchEngine(network)
    together = engine.compute([Task(i, 1, item) for i, item in enumerate(items)])
    for item, outcome in zip(items, together, strict=True):
        [alone] = engine.compute([Task(0, 1, item)])
        assert outcome.prediction == alone.prediction
        assert outcome.confidence == pytest.approx(alone.confidence, abs=1e-5)
        torch.testing.assert_close(outcome.payload, alone.payload, atol=1e-4, rtol=1e-4)


def test_payloads_of_a_batch_do_not_keep_each_other_alive(network, items) -> None:
    outcomes = TorchEngine(network).compute([Task(i, 1, item) for i, item in enumerate(items)])
    sizes = {outcome.payload.untyped_storage().nbytes() for outcome in outcomes}
    assert sizes == {outcomes[0].payload_bytes}


def test_a_temperature_changes_the_confidence_and_never_the_prediction(network, items) -> None:
    plain = TorchEngine(network).compute([Task(0, 1, items[0])])[0]
    soft = TorchEngine(network, temperatures=[4.0] * 5).compute([Task(0, 1, items[0])])[0]
    assert soft.prediction == plain.prediction
    assert soft.confidence < plain.confidence


def test_flops_of_a_task(network, items) -> None:
    engine = TorchEngine(network)
    convolutions = 2 * 9 * (1 * 16 * 1024 + 16 * 32 * 1024 + 32 * 32 * 256)
    linear = 2 * (32 * 4 * 10)
    assert engine.flops(Task(0, 1, items[0])) == convolutions + linear
    assert engine.flops(Task(1, 1)) == convolutions + linear


def test_a_block_that_is_not_loaded_is_an_invariant_error(items) -> None:
    engine = TorchEngine(load_network("digits-cnn", blocks={2}))
    with pytest.raises(InvariantError, match="block 1 is not loaded here"):
        engine.compute([Task(0, 1, items[0])])


def test_a_task_that_travelled_is_computed_to_the_same_bit(network, items) -> None:
    engine = TorchEngine(network)
    stayed = through(engine, items[0], 5)
    arrived = stayed[1].payload.contiguous()  # as it comes out of a message
    [travelled] = engine.compute([Task(0, 3, arrived)])
    assert travelled.confidence == stayed[2].confidence
    assert torch.equal(travelled.payload, stayed[2].payload)


def test_feature_maps_may_have_other_shapes() -> None:
    class Vectors(nn.Module):
        def forward(self, items: torch.Tensor) -> torch.Tensor:
            return items.float().flatten(1)

    network = MultiExitNetwork("v", [Vectors(), nn.Identity()], [nn.Identity()] * 2, (1, 2, 3), 6)
    item = torch.arange(6, dtype=torch.uint8).view(1, 2, 3)
    outcomes = through(TorchEngine(network), item, 2)
    assert torch.equal(outcomes[0].payload, torch.arange(6.0))
    assert outcomes[1].prediction == 5


def test_block_times_are_positive_and_one_per_block(network, items) -> None:
    seconds = measure_block_seconds(TorchEngine(network), items[0], repeats=2)
    assert len(seconds) == 5
    assert all(value > 0 for value in seconds)
