"""Answers under a codec: those of a network whose maps are encoded at the crossed cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mdibench.assembly.workload import encoded_cuts, lossy_codecs
from mdibench.codec.bottleneck import load_pairs, packaged_pairs
from mdibench.codec.codecs import CODECS, Coder
from mdibench.config.reading import parse_config
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.data.dataset import Split, load_evaluation
from mdibench.models.registry import load_model, network_info
from mdibench.network.planning import make_plan
from mdibench.training import recordings as module
from mdibench.training.recordings import CodedAnswers, Recordings, coded_answers, packed, unpacked

MODEL = ModelSection()
ITEMS = 8


@pytest.fixture(autouse=True)
def few_items_and_an_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def few(model: ModelSection, run_seed: int = 1) -> Split:
        whole = load_evaluation(model, run_seed)
        return Split(whole.inputs[:ITEMS], whole.labels[:ITEMS])

    monkeypatch.setattr(module, "load_evaluation", few)


def answers_by_hand(codec: str, coder: Coder, cuts: set[int]) -> list[list[tuple[int, float]]]:
    """Class and confidence of each exit and item, with the maps behind ``cuts`` encoded."""
    network, found = load_model(MODEL), []
    maps = torch.from_numpy(load_evaluation(MODEL).inputs[:ITEMS])
    with torch.inference_mode():
        for k, (block, head) in enumerate(zip(network.blocks, network.heads, strict=True), 1):
            maps = block(maps)
            shares = torch.softmax(head(maps), 1)
            found.append(list(zip(shares.argmax(1).tolist(), shares.amax(1).tolist(), strict=True)))
            if k in cuts:
                decoded = []
                for array in maps.numpy():
                    payload, layout = coder.encode(array, CODECS[codec], k)
                    plain = np.ascontiguousarray(payload).reshape(-1).view(np.uint8)
                    decoded.append(coder.decode(plain, layout, k))
                maps = torch.from_numpy(np.stack(decoded))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["fp16", "int8", "bottleneck"])
def test_every_set_of_encoded_cuts_has_its_own_answers(codec: str, monkeypatch) -> None:
    file = packaged_pairs("digits-cnn", 8) if codec == "bottleneck" else None
    coder = Coder(load_pairs("digits-cnn", 8) if file else None)
    coded = coded_answers(MODEL, codec, file)
    assert coded is not None
    assert [each.shape for each in coded.predictions] == [(2**k, ITEMS) for k in range(5)]
    for cuts in ({1, 3}, {2}, set[int]()):
        expected = answers_by_hand(codec, coder, cuts)
        for k in range(1, 6):
            row = sum(1 << (cut - 1) for cut in cuts if cut < k)
            said = zip(coded.predictions[k - 1][row], coded.confidences[k - 1][row], strict=True)
            for (prediction, confidence), by_hand in zip(said, expected[k - 1], strict=True):
                assert prediction == by_hand[0]
                assert confidence == pytest.approx(by_hand[1], abs=1e-5)
    if codec != "fp16":
        assert (coded.confidences[4][0] != coded.confidences[4][15]).any()
    assert len(coded.encode_s) == len(coded.decode_s) == 4
    assert all(0 < seconds < 1 for seconds in (*coded.encode_s, *coded.decode_s))

    monkeypatch.setattr(module, "_compute", lambda *_: pytest.fail("recorded twice"))
    again = coded_answers(MODEL, codec, file)
    assert again is not None
    assert again.encode_s == coded.encode_s


def test_a_network_without_weights_at_hand_has_none() -> None:
    resnet = ModelSection(name="resnet50", dataset="cifar10")
    assert coded_answers(resnet, "int8") is None


PLAN = """
[scheme]
name = "{scheme}"
[placement]
{placement}
[topology]
edges = [[0, 1], [1, 2], [0, 2]]
links = [{{between = [1, 2], codec = "none"}}]
[transport]
codec = "int8"
"""


def test_cuts_are_encoded_where_the_next_block_is_elsewhere_and_the_link_has_a_codec() -> None:
    config = parse_config(PLAN.format(scheme="mdi-exit", placement="replicate = true"), "c.toml")
    plan = make_plan(config, 3, network_info(MODEL))
    assert lossy_codecs(plan) == ["int8"]
    cuts = encoded_cuts(config, plan, 2)
    assert cuts(Task(0, 1)) == 0
    assert cuts(Task(0, 2, path=(0,))) == 0b1
    assert cuts(Task(0, 3, path=(0, 0))) == 0b10
    assert cuts(Task(0, 3, path=(0, 1))) == 0b1  # the link from 1 to 2 has no codec
    assert cuts(Task(0, 5, path=(0, 2, 2, 0))) == 0b1101


def test_a_call_of_several_blocks_is_one_step_of_the_way() -> None:
    blocks = "blocks = {0 = [1, 2], 1 = [3, 4], 2 = [5]}"
    config = parse_config(PLAN.format(scheme="mdi", placement=blocks), "c.toml")
    plan = make_plan(config, 3, network_info(MODEL))
    assert encoded_cuts(config, plan, 1)(Task(0, 3, path=(0,))) == 0b10
    assert encoded_cuts(config, plan, 2)(Task(0, 5, path=(0, 1))) == 0b10


def test_answers_under_a_codec_reach_the_other_ranks() -> None:
    chance = np.random.default_rng(1)
    classes = tuple(chance.integers(0, 10, (2**k, 4)) for k in range(3))
    shares = tuple(chance.random((2**k, 4)).astype(np.float32).astype(float) for k in range(3))
    plain = np.zeros((3, 4), np.int64), np.zeros((3, 4)), np.zeros(4, np.int64)
    recordings = Recordings(*plain, coded=CodedAnswers(classes, shares, (0.1,) * 2, (0.1,) * 2))
    there = unpacked(packed(recordings))
    assert there.coded is not None
    assert there.lists() == recordings.lists()
    assert unpacked(packed(Recordings(*plain))).coded is None
