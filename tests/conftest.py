"""Synthetic runs that several tests read; see ``synthetic_runs``.

It is imported where a run is asked for: the core is tested without numpy, too. Property tests have
no deadline: how long an example takes says more of what else the machine does. Sources are tested,
not a build of them (``mdibench compile``), but in ``cli/test_compile.py``.
"""

from __future__ import annotations

import os

os.environ["MDIBENCH_COMPILED"] = "0"

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.synthetic_runs import PAIR, write_run

    return write_run(tmp_path_factory.mktemp("one") / "20261103T140001Z-synthetic-0001", PAIR)


@pytest.fixture(scope="session")
def partial_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.synthetic_runs import PAIR, write_run

    folder = tmp_path_factory.mktemp("partial") / "20261103T140009Z-synthetic-0009"
    write_run(folder, replace(PAIR, items=600), finish=False, totals={}, window={})
    for path in (folder, *folder.iterdir()):  # a run reads as running for a minute after each row
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 3600))
    return folder


@pytest.fixture(scope="session")
def run_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of each of two schemes."""
    from tests.synthetic_runs import LOCAL, PAIR, write_run

    results = tmp_path_factory.mktemp("results")
    for seed in (1, 2, 3):
        write_run(
            results / f"20261103T1400{seed:02}Z-synthetic-{seed:04}", replace(PAIR, seed=seed)
        )
        local = replace(LOCAL, seed=seed)
        write_run(results / f"20261103T1401{seed:02}Z-synthetic-l{seed:03}", local)
    return results
