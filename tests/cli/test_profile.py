import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mdibench.cli.train import profile
from mdibench.config.schema import ModelSection
from mdibench.data.dataset import load_dataset
from mdibench.errors import UserError
from mdibench.models.registry import load_network, network_info
from mdibench.record.profile import JSON_FILE, PARQUET_FILE, read_exits, read_profile

pytestmark = pytest.mark.slow

ITEMS = 60


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("profile")
    config = folder / "c.toml"
    config.write_text('[run]\nname = "p"\n')
    arguments = [str(config), "--out", str(folder / "out"), "--batches", "4", "--repeats", "5"]
    before = torch.get_num_threads()
    result = CliRunner().invoke(profile, [*arguments, "--items", str(ITEMS)])
    torch.set_num_threads(before)
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


def test_costs_are_the_plans(measured) -> None:
    blocks = read_profile(measured[0]).blocks
    expected = network_info(ModelSection()).blocks
    for mine, plan in zip(blocks, expected, strict=True):
        assert (mine.flops, mine.parameters) == (plan.flops, plan.parameters)
        assert (mine.output_shape, mine.output_bytes) == (plan.output_shape, plan.output_bytes)
        assert mine.codec_bytes["none"] == plan.output_bytes
        assert mine.codec_bytes["fp16"] == plan.output_bytes // 2
        if mine.block < len(expected):
            assert 8 * mine.codec_bytes["bottleneck-x8"] <= plan.output_bytes
        assert mine.weight_bytes == pytest.approx(4 * mine.parameters, rel=0.02)
        assert mine.working_bytes > mine.output_bytes


def test_every_batch_size_has_a_time_with_its_interval(measured) -> None:
    for block in read_profile(measured[0]).blocks:
        assert [timing.batch for timing in block.times] == [1, 4]
        assert [timing.batch for timing in block.body_times] == [1, 4]
        for timing in (*block.times, *block.body_times):
            assert 0 < timing.low_s <= timing.median_s <= timing.high_s
        assert block.seconds == block.times[0].median_s
        assert block.body_times[0].median_s < 1.5 * block.seconds


def test_the_table_holds_what_the_network_says(measured) -> None:
    table = read_exits(measured[0])
    split = load_dataset("digits").evaluation
    assert table.labels == split.labels[:ITEMS].tolist()
    network = load_network("digits-cnn")
    with torch.inference_mode():
        logits = network.heads[0](network.blocks[0](torch.from_numpy(split.inputs[:ITEMS])))
    assert table.predictions[0] == logits.argmax(1).tolist()
    peaks = torch.softmax(logits, 1).amax(1).numpy()
    np.testing.assert_allclose(table.confidences[0], peaks, atol=1e-4)
    accuracy = read_profile(measured[0]).accuracy
    hits = np.mean(np.array(table.predictions) == np.array(table.labels), axis=1)
    np.testing.assert_allclose(accuracy, hits)


def test_the_output_fits_a_terminal(measured) -> None:
    lines = [line for line in measured[1].splitlines() if not line.startswith("written:")]
    assert max(map(len, lines)) <= 80


def test_a_folder_without_a_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no profile here"):
        read_profile(tmp_path)
    with pytest.raises(UserError, match="missing or damaged"):
        read_exits(tmp_path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda raw: "{", "damaged profile"),
        (lambda raw: json.dumps(raw | {"schema": [9, 0]}), "another version"),
        (lambda raw: json.dumps({k: v for k, v in raw.items() if k != "blocks"}), "damaged"),
        (lambda raw: json.dumps(raw | {"blocks": [{}]}), "damaged"),
    ],
)
def test_a_damaged_profile_is_one_line(measured, tmp_path: Path, change, line: str) -> None:
    raw = json.loads((measured[0] / JSON_FILE).read_text())
    (tmp_path / JSON_FILE).write_text(change(raw))
    with pytest.raises(UserError, match=line):
        read_profile(tmp_path)
    (tmp_path / PARQUET_FILE).write_bytes(b"PAR1")
    with pytest.raises(UserError, match="missing or damaged"):
        read_exits(tmp_path)


@pytest.mark.parametrize("text", ["x", "0", "1,,2"])
def test_batch_sizes_that_are_none(text: str) -> None:
    result = CliRunner().invoke(profile, ["c.toml", "--batches", text])
    assert result.exit_code == 2
