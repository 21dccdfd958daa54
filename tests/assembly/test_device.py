"""The device that ranks compute on: the CPU unless the config says otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mdibench.assembly.workload import load_items, make_engine, model_info
from mdibench.compute.engine import Engine, Hosted, torch_device
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.errors import UserError

NO_CUDA = not torch.cuda.is_available()


def an_engine(device: str) -> Engine:
    """Torch on ``device``, for the digits network."""
    model = ModelSection(device=device, engine="torch")
    return make_engine(model, model_info(model), Hosted.every_block(5))


def test_auto_takes_what_is_there() -> None:
    assert torch_device("cpu").type == "cpu"
    assert torch_device("auto").type == ("cpu" if NO_CUDA else "cuda")


@pytest.mark.skipif(not NO_CUDA, reason="this machine has CUDA")
def test_a_rank_without_cuda_says_so() -> None:
    with pytest.raises(UserError, match=r"model\.device: a rank .* has no CUDA device"):
        an_engine("cuda")


@pytest.mark.skipif(NO_CUDA, reason="needs a CUDA device")
def test_cuda_predicts_what_the_cpu_predicts() -> None:
    items = load_items(ModelSection())
    tasks = [Task(n, 1, items.fetch(n)[0]) for n in range(8)]
    here, there = (an_engine(device).compute(tasks) for device in ("cpu", "cuda"))
    for one, other in zip(here, there, strict=True):
        assert one.prediction == other.prediction
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
        assert isinstance(other.payload, np.ndarray)


def test_torch_knows_no_tensorrt() -> None:
    with pytest.raises(UserError, match=r'model\.device: torch has no device "tensorrt"; .*onnx'):
        torch_device("tensorrt")
