"""A small synthetic network and helpers for the tests of plans."""

from __future__ import annotations

import pytest

from mdibench.config.reading import parse_config
from mdibench.errors import UserError
from mdibench.network.plan import BlockInfo, ModelInfo, Plan
from mdibench.network.planning import make_plan


def model_of(*seconds: float, flops: int = 1_000_000, output_bytes: int = 4000) -> ModelInfo:
    """A network with one block per given time."""
    return ModelInfo(
        name="example",
        classes=10,
        input_shape=(3, 32, 32),
        input_bytes=3072,
        blocks=tuple(BlockInfo(flops, 100, (10, 10, 10), output_bytes, s) for s in seconds),
    )


FIVE = model_of(1.0, 1.0, 1.0, 1.0, 1.0)


def planned(text: str, ranks: int, model: ModelInfo = FIVE) -> Plan:
    """The plan of a config's text."""
    return make_plan(parse_config(text, "c.toml"), ranks, model)


def refused(text: str, ranks: int, model: ModelInfo = FIVE) -> list[str]:
    """The lines that a user reads instead of a plan."""
    with pytest.raises(UserError) as failure:
        planned(text, ranks, model)
    return str(failure.value).splitlines()
