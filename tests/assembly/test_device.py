"""The device that ranks compute on: the CPU unless the config says otherwise."""

from __future__ import annotations

import pytest
import torch

from mdibench.assembly.workload import load_items, make_engine, torch_device
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.errors import UserError

NO_CUDA = not torch.cuda.is_available()


def test_auto_takes_what_the_rank_has() -> None:
    assert torch_device("cpu").type == "cpu"
    assert torch_device("auto").type == ("cpu" if NO_CUDA else "cuda")


@pytest.mark.skipif(not NO_CUDA, reason="this machine has CUDA")
def test_a_rank_without_cuda_says_so() -> None:
    with pytest.raises(UserError, match=r"model\.device: a rank .* has no CUDA device"):
        make_engine(ModelSection(device="cuda"), [1])


@pytest.mark.skipif(NO_CUDA, reason="needs a CUDA device")
def test_cuda_predicts_what_the_cpu_predicts() -> None:
    items = load_items(ModelSection())
    tasks = [Task(n, 1, items.fetch(n)[0]) for n in range(8)]
    here, there = (
        make_engine(ModelSection(device=device), range(1, 6)).compute(tasks)
        for device in ("cpu", "cuda")
    )
    for one, other in zip(here, there, strict=True):
        assert one.prediction == other.prediction
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
        assert other.payload.device.type == "cpu"
