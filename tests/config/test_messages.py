"""Values as TOML: what an override says is what a config then holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdibench.config.messages import toml
from mdibench.config.reading import parse_config

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("label", ["𝜏 = 0.8", "µ", "del \x7f", "a\tb\nc", '"quoted" \\', "\x00"])
def test_an_override_of_any_text_is_that_text(label: str) -> None:
    """Characters beyond the basic plane, and delete, were written as no TOML knows them."""
    assert parse_config("", "c.toml", [f"run.label={toml(label)}"]).run.label == label


@given(VALUES)
def test_an_override_of_any_value_is_that_value(value: Any) -> None:
    text = toml(value)
    assert "\n" not in text
    config = parse_config("[sweep]", "c.toml", [f"sweep.axes.x={text}"])
    assert config.sweep is not None
    assert config.sweep.axes == {"x": value}
