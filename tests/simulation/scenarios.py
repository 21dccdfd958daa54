"""Scenarios for tests: a synthetic network with seeded outcomes, no torch and no cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mdibench.assembly.state_machines import ExitRule
from mdibench.config.reading import parse_config
from mdibench.network.plan import BlockInfo, ModelInfo
from mdibench.network.planning import make_plan
from mdibench.simulation.scenario import Scenario
from mdibench.training.recordings import Recordings

EXITS = 3
SAMPLES = 200
CLASSES = 4

BASE = """
[run]
results = "{results}"
warmup_s = 0.0
duration_s = 2.0
[scheme]
threshold = 0.7
[admission]
mode = "fixed-rate"
interarrival_s = 0.02
[placement]
replicate = true
[emulation]
device = "board"
link = "ethernet-1g"
devices.board.block_ms = [10, 10, 10]
"""


def model() -> ModelInfo:
    """Three blocks with feature maps of 4,000 bytes each."""
    block = BlockInfo(1_000_000, 1000, (10, 10, 10), 4000)
    return ModelInfo("example", CLASSES, (1, 32, 32), 1024, (block,) * EXITS)


def recordings(seed: int = 0) -> Recordings:
    """Random confidences, and predictions that are right as often as the confidences say."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, SAMPLES)
    confidences = random.uniform(0.3, 1.0, (EXITS, SAMPLES))
    right = random.random((EXITS, SAMPLES)) < confidences
    wrong = (labels + random.integers(1, CLASSES, (EXITS, SAMPLES))) % CLASSES
    return Recordings(np.where(right, labels, wrong), confidences, labels)


def scenario(results: Path, workers: int = 4, more: str = "", *overrides: str) -> Scenario:
    """The base config with ``more`` below it."""
    text = BASE.format(results=results) + more
    config = parse_config(text, "c.toml", overrides)
    info = model()
    plan = make_plan(config, workers, info)
    return Scenario(
        config=config,
        text=text,
        model=info,
        plan=plan,
        block_s=[device.block_s for device in plan.devices if device],
        exit_rule=ExitRule(config.scheme.thresholds(EXITS)),
        recordings=recordings(),
    )
