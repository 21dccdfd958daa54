from pathlib import Path

import numpy as np
import pytest

from mdibench.data import cifar10
from mdibench.data.dataset import load_dataset
from mdibench.errors import UserError

SMALL = 40
"""Records per file of the fake data set."""


def records(seed: int, count: int = SMALL) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count, cifar10.RECORD_BYTES), dtype=np.uint8)
    rows[:, 0] = np.arange(count) % 10
    return rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cifar10, "FILE_RECORDS", SMALL)
    monkeypatch.setattr(cifar10, "CALIBRATION", 20)
    monkeypatch.delenv("MDIBENCH_DATA", raising=False)
    inside = tmp_path / cifar10.FOLDER
    inside.mkdir()
    for number, name in enumerate((*cifar10.TRAIN_FILES, cifar10.TEST_FILE)):
        records(number).tofile(inside / name)
    return tmp_path


def test_the_standard_layout_is_read(folder: Path) -> None:
    data = load_dataset("cifar10", str(folder))
    assert [len(s) for s in (data.train, data.calibration, data.evaluation)] == [180, 20, 40]
    first = records(5)[0]
    assert data.evaluation.labels[0] == first[0]
    np.testing.assert_array_equal(data.evaluation.inputs[0].ravel(), first[1:])
    assert data.evaluation.inputs[0].shape == (3, 32, 32)


def test_training_and_calibration_share_no_item(folder: Path) -> None:
    data = load_dataset("cifar10", str(folder))
    train = {item.tobytes() for item in data.train.inputs}
    calibration = {item.tobytes() for item in data.calibration.inputs}
    assert not train & calibration
    assert len(train) + len(calibration) == 5 * SMALL


def test_the_folder_itself_and_the_environment_are_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cifar10.find_folder(str(folder / cifar10.FOLDER)) == folder / cifar10.FOLDER
    monkeypatch.setenv("MDIBENCH_DATA", str(folder))
    assert cifar10.find_folder() == folder / cifar10.FOLDER


def test_a_folder_that_the_user_named_is_the_only_one_looked_at(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDIBENCH_DATA", str(folder))
    with pytest.raises(UserError, match="mdibench data fetch cifar10"):
        load_dataset("cifar10", str(tmp_path / "elsewhere"))


def test_truncated_and_missing_files_are_all_named(folder: Path) -> None:
    inside = folder / cifar10.FOLDER
    whole = (inside / "data_batch_2.bin").read_bytes()
    (inside / "data_batch_2.bin").write_bytes(whole[:-1])
    (inside / "data_batch_4.bin").unlink()
    with pytest.raises(UserError) as caught:
        load_dataset("cifar10", str(folder))
    lines = [str(problem) for problem in caught.value.problems]
    assert len(lines) == 2
    assert "data_batch_2.bin" in lines[0]
    assert "truncated" in lines[0]
    assert "data_batch_4.bin: missing" in lines[1]


def test_an_impossible_label_names_its_record(folder: Path) -> None:
    rows = records(7)
    rows[3, 0] = 11
    rows.tofile(folder / cifar10.FOLDER / "data_batch_3.bin")
    with pytest.raises(UserError, match="label 11 in record 3"):
        load_dataset("cifar10", str(folder))


def test_a_batch_of_one_class_is_not_cifar10(folder: Path) -> None:
    rows = records(7)
    rows[:, 0] = 1
    rows.tofile(folder / cifar10.FOLDER / "data_batch_3.bin")
    with pytest.raises(UserError, match="only 0 of 40 records are labelled airplane"):
        load_dataset("cifar10", str(folder))


@pytest.mark.slow
def test_the_real_data_set_where_there_is_one() -> None:
    try:
        cifar10.find_folder()
    except UserError as absent:
        pytest.skip(str(absent))
    data = load_dataset("cifar10")
    sizes = [len(s) for s in (data.train, data.calibration, data.evaluation)]
    assert sizes == [45_000, 5_000, 10_000]
    assert np.bincount(data.evaluation.labels).tolist() == [1000] * 10
