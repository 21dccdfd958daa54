"""The packaged networks on CIFAR-10; skipped without the data set."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mdibench.data.dataset import Split, load_dataset
from mdibench.models.evaluation import score
from mdibench.models.packaged import packaged
from mdibench.models.registry import load_network
from mdibench.models.weights import read_metadata

FOLDER = packaged("x").parent
NETWORKS = sorted(
    path for path in FOLDER.glob("*.safetensors") if read_metadata(path)["dataset"] == "cifar10"
)
ITEMS = 600
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("MDIBENCH_DATA"), reason="needs CIFAR-10: set MDIBENCH_DATA"
    ),
]


@pytest.mark.parametrize("path", NETWORKS, ids=[path.stem for path in NETWORKS])
def test_it_is_as_good_as_its_card_says(path: Path) -> None:
    whole = load_dataset("cifar10").evaluation
    split = Split(whole.inputs[:ITEMS], whole.labels[:ITEMS])
    found = score(load_network(path.stem), split).accuracy
    promised = json.loads(read_metadata(path)["accuracy"])
    assert found == pytest.approx(promised, abs=0.06)
    assert promised[-1] > promised[0]
