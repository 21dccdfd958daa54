"""ONNX Runtime against torch: the same answers, from graphs that are exported once and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import parser
from torch import Tensor, nn

from mdibench.compute import onnx_export
from mdibench.compute.confidence import MEASURES, Measure, margin, max_softmax
from mdibench.compute.engine import (
    UNASKED,
    Engine,
    Hosted,
    build,
    choose,
    pack_graphs,
    unpack_graphs,
)
from mdibench.compute.onnx_engine import OnnxEngine
from mdibench.compute.onnx_export import Export, NotExported, cut, exported
from mdibench.compute.torch_engine import TorchEngine
from mdibench.config.schema import ModelSection
from mdibench.core.records import Task
from mdibench.data.dataset import Split, load_dataset
from mdibench.errors import InvariantError, UserError
from mdibench.models.evaluation import score
from mdibench.models.network import MultiExitNetwork
from mdibench.models.packaged import network_key
from mdibench.models.registry import load_network
from mdibench.network.plan import BlockInfo, ModelInfo

pytestmark = pytest.mark.slow
DIGITS = ModelSection()
ALL = Hosted.every_block(5)
TIE = 1e-4
"""Two classes whose probabilities differ by less are a tie within float tolerance."""


@pytest.fixture(scope="module")
def export() -> Export:
    return exported(DIGITS)


@pytest.fixture(scope="module")
def items() -> np.ndarray:
    return load_dataset("digits").evaluation.inputs


def engine(export: Export, hosted: Hosted = ALL, measure: Measure = "max-softmax") -> OnnxEngine:
    """With the graphs that a rank with ``hosted`` gets."""
    return OnnxEngine(cut(export, hosted, measure), hosted, export.info.exits)


def answers(engine: Engine, inputs: Sequence[np.ndarray], exits: int) -> np.ndarray:
    """``[2, K, N]``: predictions and confidences of every exit, in batches of 250."""
    said: list[list[tuple[int, float]]] = [[] for _ in range(exits)]
    for start in range(0, len(inputs), 250):
        payloads = list(inputs[start : start + 250])
        for block in range(1, exits + 1):
            outcomes = engine.compute([Task(0, block, payload) for payload in payloads])
            said[block - 1] += [(o.prediction, o.confidence) for o in outcomes]
            payloads = [outcome.payload for outcome in outcomes]
    return np.array(said).transpose(2, 0, 1)


def assert_alike(model: ModelSection, exits: int, split: Split) -> None:
    """No prediction differs but where torch itself is within ``TIE`` of another class."""
    logits = score(load_network(model.name), split).logits
    ours = answers(engine(exported(model), Hosted.every_block(exits)), split.inputs, exits)
    margins, theirs = np.stack([np.stack(margin(rows)) for rows in logits]).transpose(1, 0, 2)
    confidences = np.stack([max_softmax(rows)[0] for rows in logits])
    np.testing.assert_allclose(ours[1], confidences, atol=TIE)
    differing = ours[0] != theirs
    print(f"{model.name}: {int(differing.sum())} of {differing.size} predictions are ties")
    assert (margins[differing] < TIE).all()
    assert differing.sum() <= 3


def test_all_digits_are_classified_alike() -> None:
    assert_alike(DIGITS, 5, load_dataset("digits").evaluation)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "exits"), [("mobilenetv2", 5), ("resnet20", 4)])
def test_all_cifar_items_are_classified_alike(name: str, exits: int) -> None:
    try:
        split = load_dataset("cifar10").evaluation
    except UserError as missing:
        pytest.skip(str(missing))
    assert_alike(ModelSection(name=name, dataset="cifar10"), exits, split)


def test_calls_of_several_blocks_without_heads(export: Export, items: np.ndarray) -> None:
    pipeline = engine(export, Hosted({1: 3, 4: 5}, frozenset({5}), (1, 2, 3, 4, 5)))
    [half] = pipeline.compute([Task(0, 1, items[0])])
    assert (half.prediction, half.confidence) == (UNASKED, 0.0)
    [last] = pipeline.compute([Task(0, 4, half.payload)])
    assert last.payload is None
    alone = answers(engine(export), items[:1], 5)[:, -1, 0]
    assert (last.prediction, last.confidence) == (alone[0], pytest.approx(alone[1], abs=1e-5))
    assert [pipeline.flops(Task(0, block)) for block in (1, 4)] == [6, 9]


@pytest.mark.parametrize("measure", ["entropy", "margin", "patience"])
def test_measures_and_temperatures(export: Export, items: np.ndarray, measure: Measure) -> None:
    hosted = Hosted.every_block(5, (2.0,) * 5)
    theirs = TorchEngine(load_network("digits-cnn"), measure, hosted)
    ours = engine(export, hosted, measure)
    np.testing.assert_allclose(
        answers(ours, items[:20], 5)[1], answers(theirs, items[:20], 5)[1], atol=TIE
    )


def test_a_batch_gives_what_single_tasks_give(export: Export, items: np.ndarray) -> None:
    ours = engine(export)
    together = ours.compute([Task(n, 1, item) for n, item in enumerate(items[:8])])
    for outcome, item in zip(together, items[:8], strict=True):
        [alone] = ours.compute([Task(0, 1, item)])
        assert outcome.prediction == alone.prediction
        assert outcome.confidence == pytest.approx(alone.confidence, abs=1e-5)
        assert outcome.payload.base is None  # it does not keep the batch alive


def test_a_block_that_is_not_there_is_a_bug_with_a_name(export: Export) -> None:
    few = engine(export, Hosted({2: 2}, frozenset({2}), (0,) * 5))
    with pytest.raises(InvariantError, match="block 1 is not loaded here"):
        few.compute([Task(0, 1)])


def test_graphs_travel_as_one_message(export: Export) -> None:
    graphs = cut(export, ALL, "max-softmax")
    assert unpack_graphs(pack_graphs(graphs)) == graphs


# --- confidence and class in the graph -----------------------------------------------------------

HEAD_ALONE = """
<ir_version: 10, opset_import: ["": 20]>
head (float[N, 10] items) => (float[N, 10] features, float[N, 10] logits) {
    features = Identity (items)
    logits = Identity (items)
}
"""
"""A block whose logits are the items."""


def judging_engine(measure: Measure, temperature: float, text: str = HEAD_ALONE) -> OnnxEngine:
    """An engine that judges the logits that it gets as items."""
    graph = parser.parse_model(text).SerializeToString()
    info = ModelInfo("head-alone", 10, (10,), 40, (BlockInfo(0, 0, (10,), 40),))
    return engine(Export(info, (graph,), 0.0), Hosted.every_block(1, (temperature,)), measure)


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.0])
@pytest.mark.parametrize("measure", MEASURES)
def test_graphs_judge_logits_like_numpy(measure: Measure, temperature: float) -> None:
    judging, draw = judging_engine(measure, temperature), np.random.default_rng(0)
    for spread in (0.1, 3.0, 100.0):
        logits = (draw.standard_normal((40, 10)) * spread).astype(np.float32)
        confidences, predictions = MEASURES[measure](logits / np.float32(temperature))
        tasks = [Task(0, 1, row) for row in logits]
        for outcomes in (judging.compute(tasks), [judging.compute([t])[0] for t in tasks]):
            assert [outcome.prediction for outcome in outcomes] == predictions.tolist()
            found = np.array([outcome.confidence for outcome in outcomes])
            np.testing.assert_allclose(found, confidences, atol=1e-6)
            assert found.min() >= 0
            assert found.max() <= 1


@pytest.mark.parametrize("measure", MEASURES)
def test_of_equal_logits_the_first_is_chosen(measure: Measure) -> None:
    row = np.array([0, 1, 5, 5, 2, 5, 0, 0, 0, 0], np.float32)
    [outcome] = judging_engine(measure, 1.0).compute([Task(0, 1, row)])
    assert outcome.prediction == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("measure", MEASURES)
def test_no_graph_hides_nan(measure: Measure, value: float) -> None:
    judging = judging_engine(measure, 2.0)
    good = np.arange(10, dtype=np.float32)
    for place in range(10):
        bad = good.copy()
        bad[place] = value
        for rows in ([bad], [good, bad]):
            with pytest.raises(UserError, match="exit 1 gives NaN as a confidence"):
                judging.compute([Task(0, 1, row) for row in rows])


def test_logits_in_half_precision_are_judged_in_single() -> None:
    judging = judging_engine("max-softmax", 1.0, HEAD_ALONE.replace("float[", "float16["))
    logits = (np.random.default_rng(0).standard_normal((20, 10)) * 3).astype(np.float16)
    outcomes = judging.compute([Task(0, 1, row) for row in logits])
    confidences, predictions = max_softmax(logits.astype(np.float32))
    assert [outcome.prediction for outcome in outcomes] == predictions.tolist()
    np.testing.assert_allclose([o.confidence for o in outcomes], confidences, atol=1e-6)


# --- the cache -----------------------------------------------------------------------------------


def cut_short(folder: Path) -> None:
    graph = folder / "block-2.onnx"
    graph.write_bytes(graph.read_bytes()[:-9])


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        lambda folder: (folder / "block-3.onnx").unlink(),
        lambda folder: (folder / "export.json").write_text("{"),
    ],
)
def test_a_damaged_file_of_the_cache_is_made_anew(
    export: Export,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], object],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[str] = []
    monkeypatch.setattr(onnx_export, "_export", lambda model: made.append(model.name) or export)
    for expected in (["digits-cnn"], ["digits-cnn"]):
        onnx_export.kept.cache_clear()
        assert exported(DIGITS) == export
        assert made == expected
    (folder,) = (tmp_path / "mdibench" / "engines").iterdir()
    damage(folder)
    onnx_export.kept.cache_clear()
    assert exported(DIGITS) == export
    assert len(made) == 2
    onnx_export.kept.cache_clear()


def test_other_weights_have_another_key(tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    keys = {network_key(ModelSection(weights=str(path))) for path in (one, other)}
    assert len(keys) == 2


# --- choosing ------------------------------------------------------------------------------------


class Rounded(nn.Module):
    """Depends on its input in a way that no graph can follow."""

    def forward(self, items: Tensor) -> Tensor:
        return items.float() if items.float().mean().item() > 1e9 else items.float() / 255


class Flat(nn.Module):
    """Classes from the first ten pixels."""

    def forward(self, features: Tensor) -> Tensor:
        return features.flatten(1)[:, :10]


def unexportable() -> MultiExitNetwork:
    """A user's network with a decision in Python."""
    return MultiExitNetwork("unexportable", [Rounded()], [Flat()], (1, 32, 32), 10)


def test_auto_says_which_and_why() -> None:
    assert choose(DIGITS).name == "onnxruntime"
    assert choose(DIGITS).why.startswith("confidences within")
    without = choose(DIGITS, lacking="rank 2")
    assert (without.name, without.why) == ("torch", "rank 2 has no onnxruntime")
    assert choose(ModelSection(engine="torch")).name == "torch"


def test_what_does_not_export_runs_with_torch_or_is_refused() -> None:
    name = f"{__name__}:unexportable"
    fallen_back = choose(ModelSection(name=name))
    assert fallen_back.name == "torch"
    assert fallen_back.why.startswith("the exporter failed")
    with pytest.raises(UserError, match=r"model\.engine: not with ONNX Runtime: the exporter"):
        choose(ModelSection(name=name, engine="onnxruntime"))


def test_an_export_that_answers_differently_is_refused(
    monkeypatch: pytest.MonkeyPatch, export: Export
) -> None:
    network = load_network("digits-cnn")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(NotExported, match="answers differently at exit 1"):
        onnx_export._checked(export, network, DIGITS)


def test_a_provider_that_is_not_there_is_one_line(export: Export) -> None:
    model = ModelSection(device="tensorrt")
    with pytest.raises(UserError, match=r"model\.device: ONNX Runtime has no provider .*has cpu"):
        build("onnxruntime", model, ALL, cut(export, ALL, "max-softmax"), 5)
