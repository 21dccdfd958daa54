import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdibench.data.digits import KINDS, corrupt


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 32, 32), dtype=np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_strength_zero_changes_nothing(kind) -> None:
    images = pictures(4)
    after = kind(images, np.zeros(4, np.float32), np.random.default_rng(1))
    np.testing.assert_allclose(after, images, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_strong_corruption_changes_every_picture_and_stays_in_range(kind) -> None:
    images = pictures(8)
    after = kind(images, np.ones(8, np.float32), np.random.default_rng(1))
    assert after.shape == images.shape
    assert after.dtype == np.float32
    assert (np.abs(after - images).max(axis=(1, 2)) > 0.05).all()
    assert after.min() >= -1e-6
    assert after.max() <= 1 + 1e-6


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
def test_the_seed_decides_everything(seed: int, count: int) -> None:
    images = pictures(count)
    first, severity = corrupt(images, np.random.default_rng(seed))
    again, severity_again = corrupt(images, np.random.default_rng(seed))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(severity, severity_again)
    assert ((severity >= 0) & (severity < 1)).all()


def test_severity_makes_the_difference_grow() -> None:
    images = pictures(3000)
    after, severity = corrupt(images, np.random.default_rng(3))
    change = np.abs(after - images).mean(axis=(1, 2))
    mild, strong = change[severity < 0.2].mean(), change[severity > 0.8].mean()
    assert strong > 3 * mild


def test_the_input_is_left_alone() -> None:
    images = pictures(5)
    before = images.copy()
    corrupt(images, np.random.default_rng(0))
    np.testing.assert_array_equal(images, before)
