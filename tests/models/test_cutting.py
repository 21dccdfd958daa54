"""Whole networks cut into blocks: by name from libraries, by measured time, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mdibench.config.schema import ModelSection
from mdibench.data.dataset import load_dataset
from mdibench.errors import UserError
from mdibench.models.cutting import cut_network, exit_head
from mdibench.models.evaluation import all_logits
from mdibench.models.inspection import inspect
from mdibench.models.network import Normalise
from mdibench.models.registry import build, load_model
from mdibench.models.weights import continue_from, save_weights, weights_cuts

FAULTY = "tests.models.faulty_networks"
RESNET = ModelSection(name="torchvision:resnet18", cuts=("layer1", "layer2", "layer3"))
VIT = ModelSection(name="timm:vit_tiny_patch16_224", cuts=("blocks.0", "blocks.2"))


@pytest.fixture(autouse=True)
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-ins for torchvision and timm, whatever is installed, and a cache of its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("torchvision", "timm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "standins"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def items(count: int = 3) -> Tensor:
    return torch.from_numpy(load_dataset("digits").evaluation.spread(count))


@pytest.mark.parametrize("model", [RESNET, VIT])
def test_blocks_and_the_last_head_are_the_whole_network(model: ModelSection) -> None:
    torch.manual_seed(1)
    network = build(model)
    library, _, name = model.name.partition(":")
    torch.manual_seed(1)
    if library == "timm":
        whole: nn.Module = sys.modules["timm"].create_model(name, False, 10, (32, 32))
        front = Normalise([0.5] * 3, [0.5] * 3)
    else:
        whole = sys.modules["torchvision.models"].get_model(name, None, 10)
        front = Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.inference_mode():
        expected = whole.eval()(front(items()))
        logits = all_logits(load_like(network), items())
    torch.testing.assert_close(logits[-1], expected)
    assert [tuple(each.shape) for each in logits] == [(3, 10)] * (1 + len(model.cuts))
    assert set(whole.state_dict()) <= {
        name for part in (*network.blocks, network.heads[-1]) for name in part.state_dict()
    }


def load_like(network):
    for part in (*network.blocks, *network.heads):
        part.eval()
    return network


@pytest.mark.parametrize("model", [RESNET, VIT])
def test_they_are_sound_networks(model: ModelSection) -> None:
    assert inspect(load_model(model), items().numpy(), {"fp16"}).shape[2] == 10


def test_token_maps_have_exits_on_their_class_tokens() -> None:
    network = load_model(VIT)
    with torch.inference_mode():
        tokens = network.blocks[0](items(2))
        assert tuple(tokens.shape) == (2, 17, 32)
        others_changed = tokens.clone()
        others_changed[:, 1:] = 0
        logits = network.heads[0](tokens)
        assert torch.equal(network.heads[0](others_changed), logits)


@pytest.mark.parametrize(
    ("cuts", "line"),
    [
        (("layer1", "layer5"), r'has no module "layer5" to cut at; did you mean "layer\d"\?'),
        (("nothing",), 'has no module "nothing" to cut at; known: conv1, bn1, relu,'),
        (("layer1.0.conv1",), 'cannot be cut at "layer1.0.conv1": the rest also needs maxpool'),
        (("layer2", "layer1"), "cuts are not in the order of the network"),
        (("layer1", "layer1"), "or one is given twice"),
        (("layer1", "layer1.0"), 'cannot be cut at "layer1": it is not called, or another cut'),
        (40, r"has \d+ places to cut, not 40"),
    ],
)
def test_cuts_that_cannot_be_made(cuts, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        build(RESNET.model_copy(update={"cuts": cuts}))
    [problem] = caught.value.problems
    assert problem.where == "model.cuts"
    assert "\n" not in str(problem)


def test_networks_and_packages_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r'has no network "resnet81"; did you mean "resnet18"\?'):
        build(ModelSection(name="torchvision:resnet81"))
    with pytest.raises(UserError, match='timm has no network "x"; timm lists its models'):
        build(ModelSection(name="timm:x"))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"timm cannot be imported here .*; install a timm that go"):
        build(VIT)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (ModelSection(cuts=("a",)), "network 'digits-cnn' has its blocks already; leave it out"),
        (ModelSection(name=f"{FAULTY}:sound", cuts=2), "returned blocks, which are not cut any f"),
    ],
)
def test_networks_in_blocks_are_not_cut(model: ModelSection, line: str) -> None:
    with pytest.raises(UserError, match=line):
        build(model)


def test_a_sequential_is_cut_by_measured_time_and_always_there() -> None:
    model = ModelSection(name=f"{FAULTY}:whole")
    network = build(model)
    assert len(network.cuts) == 3 == network.exits - 1
    assert build(model).cuts == network.cuts
    assert inspect(load_model(model), items().numpy()).shape == (4, 3, 10)
    assert build(model.model_copy(update={"cuts": 1})).exits == 2


def test_blocks_by_measured_time_are_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"_2": 2.0, "_3": 1.0, "_4": 1.0, "_5": 2.0, "_6": 1.0, "_7": 1.0}
    monkeypatch.setattr(
        "mdibench.models.cutting._seconds",
        lambda name, whole, graph, example: [seconds.get(n.name, 0.0) for n in graph.nodes],
    )
    layers = [nn.Linear(8, 8) for _ in range(6)]
    whole = nn.Sequential(Normalise([0.5], [0.5]), nn.Flatten(), nn.Linear(64, 8), *layers)
    network = cut_network("x", whole, 3, (1, 8, 8), 8)
    assert network.cuts == ("2", "4", "5")


def test_a_network_without_a_classifier() -> None:
    with pytest.raises(UserError, match=r"has no classifier: its last layer .* is LayerNorm"):
        build(ModelSection(name=f"{FAULTY}:whole_without_classifier"))


def test_a_forward_that_looks_at_its_data_is_refused() -> None:
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.fc = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.one(x) if x.sum() > 0 else x)

    with pytest.raises(UserError, match="cannot be traced: TraceError"):
        cut_network("looks", Looks(), ("one",), (4,), 2)


def test_weights_remember_where_the_network_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    network = build(VIT)
    save_weights(file, network, {})
    assert weights_cuts(file) == VIT.cuts
    model = VIT.model_copy(update={"weights": str(file), "cuts": None})
    assert load_model(model).cuts == VIT.cuts
    with pytest.raises(UserError, match=r"cut at blocks.0, blocks.2, not at blocks.1; leave model"):
        load_model(model.model_copy(update={"cuts": ("blocks.1",)}))


def test_training_goes_on_from_the_whole_networks_weights(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "vit.safetensors"
    build(VIT)
    whole = sys.modules["timm"].create_model("vit", False, 7, (32, 32))
    save_file({"module." + name: value for name, value in whole.state_dict().items()}, file)
    network = build(VIT)
    own = network.heads[-1].head.weight.detach().clone()
    continue_from(file, network)
    assert torch.equal(network.blocks[0].cls_token, whole.cls_token)
    assert torch.equal(
        network.blocks[2].blocks._modules["3"].norm1.weight, whole.blocks[3].norm1.weight
    )
    assert torch.equal(network.heads[-1].head.weight, own)
    assert "2 tensors are not used (module.head.bias)" in caplog.text
    with pytest.raises(UserError, match="weights of a network without exits; train its exits"):
        load_model(VIT.model_copy(update={"weights": str(file)}))
    save_file({"other.weight": torch.zeros(3)}, file)
    with pytest.raises(UserError, match="weights of another network: it has no other"):
        continue_from(file, network)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((8, 14, 14), "ConvHead"),
        ((8, 13, 13), "PooledHead"),
        ((17, 8), "TokenHead"),
        ((7, 7, 96), "TokenHead"),
        ((8,), "Linear"),
    ],
)
def test_heads_fit_the_feature_map(shape: tuple[int, ...], kind: str) -> None:
    head = exit_head(shape, 5).eval()
    assert type(head).__name__ == kind
    assert tuple(head(torch.zeros(2, *shape)).shape) == (2, 5)
