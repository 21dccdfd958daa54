"""Networks of users that would spoil a run without a word; one fault each."""

import torch
from torch import nn
from torch.nn import functional

from mdibench.models.network import Normalise, PooledHead, conv_unit


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.function(features)


def stem(*more) -> nn.Sequential:
    return nn.Sequential(Normalise([0.5], [0.5]), nn.Conv2d(1, 4, 3, 2, 1), *more)


def network(block=None, first=None, head=None):
    """Two blocks and heads, with one part exchanged."""
    blocks = [first or stem(), block or nn.Conv2d(4, 4, 3, 1, 1)]
    return blocks, [head or PooledHead(4, 10), PooledHead(4, 10)]


def sound():
    return network()


def dropout_left_on():
    return network(block=Lambda(lambda x: functional.dropout(x, 0.5)))


class Counting(nn.Module):
    """Answers by how often it was called."""

    calls = 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return features + self.calls


def counts_its_calls():
    return network(block=Counting())


def changes_raw_items():
    return network(first=nn.Sequential(Lambda(lambda x: x.floor_divide_(2)), stem()))


def changes_features():
    return network(block=nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)))


def head_changes_features():
    return network(head=nn.Sequential(nn.ReLU(inplace=True), PooledHead(4, 10)))


def through(function) -> dict:
    """A second block and a first head that undo what the first block did to its output."""
    undone = Lambda(function)
    return {"block": undone, "head": nn.Sequential(undone, PooledHead(4, 10))}


def carries_int32():
    return network(first=stem(Lambda(lambda x: x.to(torch.int32))), **through(torch.Tensor.float))


def carries_bool():
    return network(first=stem(Lambda(lambda x: x > 0)), **through(torch.Tensor.float))


def five_dimensions():
    return network(first=stem(Lambda(lambda x: x[:, None, None])), **through(lambda x: x[:, 0, 0]))


def shape_by_item():
    return network(first=stem(Lambda(lambda x: x[..., : 8 + int(x.abs().sum()) % 8])))


def type_by_item():
    start = stem()

    def by_parity(pixels):
        features = start(pixels)
        return features.half() if int(pixels.sum()) % 2 else features

    return network(first=Lambda(by_parity), **through(torch.Tensor.float))


def mixes_a_batch():
    return network(block=Lambda(lambda x: x - x.mean(0, keepdim=True)))


def batch_second():
    return network(
        first=stem(Lambda(lambda x: x.flatten(2).permute(2, 0, 1))),
        **through(lambda x: x.permute(1, 2, 0)[..., None]),
    )


def beyond_half():
    return network(first=stem(Lambda(lambda x: 1e6 * x)), block=Lambda(lambda x: 1e-6 * x))


def gives_nan():
    return network(block=Lambda(lambda x: (x - x) / (x - x)))


def head_gives_nan():
    return network(head=nn.Sequential(PooledHead(4, 10), Lambda(lambda x: (-x.abs() - 1).sqrt())))


def gives_probabilities():
    return network(head=nn.Sequential(PooledHead(4, 10), nn.Softmax(1)))


def takes_one_item():
    return network(block=Lambda(lambda x: x.view(1, 4, 16, 16)))


def head_without_weights():
    return network(head=Lambda(lambda x: x.mean((2, 3)).repeat(1, 3)[:, :10]))


def half_precision_head():
    return network(head=nn.Sequential(PooledHead(4, 10), Lambda(torch.Tensor.half)))


def shared_head():
    head = PooledHead(4, 10)
    return [stem(), nn.Conv2d(4, 4, 3, 1, 1)], [head, head]


def tied_heads():
    blocks, heads = network()
    heads[1].linear.weight = heads[0].linear.weight
    return blocks, heads


def large_weights():
    blocks, heads = network()
    with torch.no_grad():
        blocks[1].weight.mul_(1e7)
        heads[1].linear.weight.mul_(1e-9)
    return blocks, heads


def whole():
    return nn.Sequential(
        Normalise([0.5], [0.5]),
        conv_unit(1, 4, stride=2),
        conv_unit(4, 4),
        conv_unit(4, 8, stride=2),
        nn.Flatten(),
        nn.Linear(8 * 64, 10),
    )


def whole_without_classifier():
    return nn.Sequential(Normalise([0.5], [0.5]), conv_unit(1, 4, stride=2), nn.LayerNorm(16))
