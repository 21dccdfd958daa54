from pathlib import Path

import numpy as np
import pytest

from mdibench.config.schema import ModelSection
from mdibench.data import digits
from mdibench.data.dataset import DATASETS, item_format, load_dataset, load_evaluation
from mdibench.errors import UserError


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits", seed=3)


def test_no_original_is_in_two_splits() -> None:
    division = digits.divide(1797)
    together = np.concatenate(list(division.values()))
    assert len(together) == 1797
    assert len(np.unique(together)) == 1797


def test_the_division_does_not_depend_on_the_seed_of_the_corruption(data) -> None:
    other = load_dataset("digits", seed=4)
    for name in ("train", "calibration", "evaluation"):
        mine = np.bincount(getattr(data, name).labels, minlength=10)
        theirs = np.bincount(getattr(other, name).labels, minlength=10)
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(data.evaluation.inputs, other.evaluation.inputs)


def test_sizes_types_and_classes(data) -> None:
    assert len(data.evaluation) >= 1000
    assert len(data.calibration) >= 500
    assert data.evaluation.inputs.dtype == np.uint8
    assert data.evaluation.inputs.shape[1:] == item_format("digits")[0]
    assert set(data.train.labels) == set(range(10))
    assert len(data.classes) == item_format("digits")[1]


def test_every_evaluation_item_is_distinct(data) -> None:
    flat = data.evaluation.inputs.reshape(len(data.evaluation), -1)
    assert len(np.unique(flat, axis=0)) > 0.99 * len(flat)


def test_the_same_seed_gives_the_same_bytes(data) -> None:
    again = load_dataset("digits", seed=3)
    for name in ("train", "calibration", "evaluation"):
        assert getattr(data, name).inputs.tobytes() == getattr(again, name).inputs.tobytes()
        assert getattr(data, name).labels.tobytes() == getattr(again, name).labels.tobytes()


def test_enlarging_keeps_flat_areas_and_adds_a_black_margin() -> None:
    enlarged = digits.enlarge(np.full((1, 8, 8), 0.5, np.float32))[0]
    inner = enlarged[digits.MARGIN : -digits.MARGIN, digits.MARGIN : -digits.MARGIN]
    np.testing.assert_allclose(inner, 0.5, atol=1e-6)
    assert enlarged.sum() == pytest.approx(inner.sum())


@pytest.mark.parametrize(("name", "hint"), [("digit", 'did you mean "digits"'), ("zzz", "known:")])
def test_an_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        load_dataset(name)


def test_every_registered_name_has_a_format() -> None:
    for name in DATASETS:
        shape, classes = item_format(name)
        assert len(shape) == 3
        assert classes > 1


def test_the_originals_are_kept_and_made_anew_where_the_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = load_dataset("digits").evaluation.inputs
    (kept,) = (tmp_path / "mdibench" / "data").iterdir()
    monkeypatch.setattr("mdibench.data.digits._originals_of_scikit_learn", None)
    assert np.array_equal(load_dataset("digits").evaluation.inputs, first)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept.write_bytes(kept.read_bytes()[:1000])
    assert np.array_equal(load_dataset("digits").evaluation.inputs, first)
    assert kept.stat().st_size > 1000


def test_the_seed_of_a_run_draws_other_variants_of_the_same_originals() -> None:
    """Run 1 has the items that the package's figures are of, and so has whoever asks for none."""
    first, second = (load_evaluation(ModelSection(), seed) for seed in (1, 2))
    assert np.array_equal(first.inputs, load_dataset("digits").evaluation.inputs)
    assert not np.array_equal(first.inputs, second.inputs)
    for split in (first, second):
        assert split.originals is not None
        originals, times = np.unique(split.originals, return_counts=True)
        assert originals.size == 500 and set(times.tolist()) == {4}
    assert first.originals is not None and second.originals is not None
    assert set(first.originals.tolist()) == set(second.originals.tolist())
    label_of = dict(zip(first.originals.tolist(), first.labels.tolist(), strict=True))
    assert [label_of[o] for o in second.originals.tolist()] == second.labels.tolist()
