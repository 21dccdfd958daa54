import torch
from torch import nn

from mdibench.models.registry import BUILDERS, fold_batch_norms


def used(module: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics that differ from those of a fresh layer."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.uniform_(part.bias, -1, 1)
    return module.eval()


def test_a_folded_network_gives_the_same_results_without_normalisation() -> None:
    for name in ("digits-cnn", "mobilenetv2", "resnet20"):
        network = BUILDERS[name](10)
        whole = used(nn.Sequential(*network.blocks))
        items = torch.randint(0, 256, (2, *network.input_shape), dtype=torch.uint8)
        with torch.inference_mode():
            before = whole(items)
            fold_batch_norms(whole)
            torch.testing.assert_close(whole(items), before, rtol=1e-3, atol=1e-3)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in whole.modules())


def test_a_pair_that_no_sequential_joins_is_left_alone() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)
            self.convolution = nn.Conv2d(1, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.convolution(self.norm(x))

    own = used(Own())
    fold_batch_norms(own)
    assert isinstance(own.norm, nn.BatchNorm2d)
