"""Functions of users: valid and invalid networks."""

import torch
from torch import nn

from mdibench.models.network import MultiExitNetwork, Normalise, PooledHead, conv_unit


def good():
    blocks = [nn.Sequential(Normalise([0.5], [0.5]), conv_unit(1, 4)), conv_unit(4, 4, stride=2)]
    return blocks, [PooledHead(4, 10), PooledHead(4, 10)]


def network():
    blocks, heads = good()
    return MultiExitNetwork("mine", blocks, heads, (1, 32, 32), 10)


def nothing():
    return None


def uneven():
    blocks, heads = good()
    return blocks, heads[:1]


def empty():
    return [], []


def one_module():
    return nn.Linear(3, 3), [PooledHead(4, 10)]


def not_a_list():
    return 3, 4


def not_modules():
    return ["block"], ["head"]


def wrong_classes():
    blocks, _ = good()
    return blocks, [PooledHead(4, 7), PooledHead(4, 7)]


def wrong_channels():
    blocks, heads = good()
    return [blocks[0], conv_unit(8, 4)], heads


def two_outputs():
    class Both(nn.Module):
        def forward(self, features: torch.Tensor):
            return features, features

    return [Both()], [PooledHead(1, 10)]


def raises():
    raise RuntimeError("weights server is down\nsecond line")


def other_items():
    blocks, heads = good()
    return MultiExitNetwork("mine", blocks, heads, (3, 32, 32), 10)


no_function = 3
