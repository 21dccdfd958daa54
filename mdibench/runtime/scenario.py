"""What a simulation and the capacity bound start from: a config, a plan, times and outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdibench.compute.engine import Engine
from mdibench.compute.recorded import NullEngine
from mdibench.config import RunConfig
from mdibench.config_file import load_config, read_text
from mdibench.network.plan import ModelInfo, Plan
from mdibench.network.planning import make_plan, usual_ranks
from mdibench.runtime.workload import NULL, Items, load_items, measured, model_info, with_seconds

DEFAULT_WORKERS = 4
"""Where neither the command nor the config says how many."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run that has not been run.

    ``block_s[n][k-1]`` are the seconds of one task of block k on rank n; ``engine`` knows what the
    real network says about each item.
    """

    config: RunConfig
    text: str
    model: ModelInfo
    plan: Plan
    block_s: Sequence[Sequence[float]]
    engine: Engine
    items: Items


def load_scenario(
    path: Path, overrides: Sequence[str] = (), workers: int | None = None
) -> Scenario:
    """Read the config, plan for ``workers`` ranks, and record the network's outcomes.

    Block times are those of the emulated devices; where there are none, they are measured here.
    Raises UserError with all that the user must mend.
    """
    config = load_config(path, overrides)
    model = model_info(config.model)
    ranks = workers or usual_ranks(config) or DEFAULT_WORKERS
    plan = make_plan(config, ranks, model)
    if not all(plan.devices):
        model = with_seconds(model, measured(config.model))
        plan = make_plan(config, ranks, model)
    engine, items = _outcomes(config, model)
    return Scenario(config, read_text(path), model, plan, _block_s(plan, model), engine, items)


def _block_s(plan: Plan, model: ModelInfo) -> list[tuple[float, ...]]:
    own = tuple(block.seconds for block in model.blocks)
    return [device.block_s if device else own for device in plan.devices]


def _outcomes(config: RunConfig, model: ModelInfo) -> tuple[Engine, Items]:
    """The recorded engine and its items, which need no tensors any more."""
    if config.model.name == NULL:
        return NullEngine(model.exits), load_items(config.model)
    from mdibench.compute.recordings import record

    recordings = record(config.model)
    items = Items(recordings.labels.tolist(), lambda sample: (None, model.input_bytes))
    return recordings.engine(model), items
