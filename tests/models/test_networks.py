import pytest
import torch

from mdibench.config.schema import ModelSection
from mdibench.models import cost, digits_cnn, mobilenetv2, resnet
from mdibench.models.evaluation import all_logits
from mdibench.models.network import MultiExitNetwork
from mdibench.models.registry import BUILDERS, build_network, network_info


def parameters(network: MultiExitNetwork, heads: slice) -> int:
    parts = [*network.blocks, *network.heads[heads]]
    return sum(p.numel() for part in parts for p in part.parameters())


@pytest.mark.parametrize(
    ("network", "published"),
    [
        # torchvision's mobilenet_v2 has 3,504,872 with 1,000 classes.
        (mobilenetv2.build(1000), 3_504_872),
        (mobilenetv2.build(10), 2_236_682),
        # He et al. 2016, table 6: 0.27 M, 0.46 M and 0.85 M.
        (resnet.build(20), 269_722),
        (resnet.build(32), 464_154),
        (resnet.build(56), 853_018),
        # torchvision's resnet50 has 25,557,032 with 1,000 classes and a 7 x 7 stem (9,408).
        (resnet.build(50, 1000), 25_557_032 - 9_408 + 1_728),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_without_early_exits_the_parameters_are_the_literatures(network, published: int) -> None:
    assert parameters(network, slice(-1, None)) == published


@pytest.mark.parametrize("name", BUILDERS)
def test_every_network_has_four_to_six_exits_of_the_right_shape(name: str) -> None:
    dataset = "digits" if name == "digits-cnn" else "cifar10"
    network = build_network(name, dataset)
    assert 4 <= network.exits <= 6
    assert len(network.heads) == network.exits
    assert network.name == name
    items = torch.randint(0, 256, (2, *network.input_shape), dtype=torch.uint8)
    for part in (*network.blocks, *network.heads):
        part.eval()
    with torch.no_grad():
        logits = all_logits(network, items)
    assert all(exit_logits.shape == (2, 10) for exit_logits in logits)


def test_the_multiply_adds_of_known_networks() -> None:
    # ResNet-20 has 40.8 million multiply-adds (He et al. count them without the shortcuts).
    network = resnet.build(20)
    item = torch.zeros((1, 3, 32, 32), dtype=torch.uint8)
    for part in (*network.blocks, *network.heads):
        part.eval()
    trunk = cost.count_flops(lambda: run_blocks(network, item))
    assert trunk / 2 == pytest.approx(40.55e6, rel=0.01)


def run_blocks(network: MultiExitNetwork, features: torch.Tensor) -> None:
    for block in network.blocks:
        features = block(features)


def test_a_normalised_pixel_is_hand_computed() -> None:
    layer = digits_cnn.Normalise([0.5, 0.25], [0.5, 0.125])
    pixels = torch.tensor([[[[255]], [[0]]]], dtype=torch.uint8)
    assert layer(pixels).flatten().tolist() == pytest.approx([1.0, -2.0])


def test_model_info_knows_shapes_bytes_and_costs() -> None:
    info = network_info(ModelSection())
    assert info.name == "digits-cnn"
    assert info.input_bytes == 32 * 32
    assert info.exits == 5
    assert info.blocks[0].output_shape == (32, 16, 16)
    assert info.blocks[0].output_bytes == 32 * 16 * 16 * 4
    assert info.blocks[0].flops == 2 * 9 * (16 * 1024 + 16 * 32 * 1024 + 32 * 32 * 256) + 2560
    network = build_network("digits-cnn", "digits")
    assert sum(block.parameters for block in info.blocks) == parameters(network, slice(None))


def test_torchs_own_counter_agrees() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = build_network("mobilenetv2", "cifar10")
    info = cost.network_costs(network)
    reference = FlopCounterMode(display=False)
    with reference, torch.no_grad():
        all_logits(network, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    assert sum(block.flops for block in info.blocks) == reference.get_total_flops()
