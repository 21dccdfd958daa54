"""What a process loads: the help nothing, a rank no reporting, the core nothing but Python."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "pandas", "pyarrow", "mpi4py", "textual", "matplotlib", "scipy"}


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after ``code``."""
    show = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import mdibench", HEAVY),
        ("from mdibench.__main__ import run; run(['--help'])", HEAVY | {"pydantic", "rich"}),
        ("import mdibench.core.node, mdibench.simulation.world", HEAVY - {"numpy", "torch"}),
        ("import mdibench.core.node, mdibench.policy.schemes", HEAVY | {"random", "pydantic"}),
        ("import mdibench.record.run_folder", HEAVY),
        ("import mdibench.monitor.plain, mdibench.monitor.history", HEAVY - {"numpy"}),
        (
            "import mdibench.rank.launch, mdibench.cli.run\n"
            "from mdibench.cli.monitor import prepare_monitor; prepare_monitor()",
            HEAVY - {"numpy", "textual"} | {"networkx", "onnxruntime", "pydantic"},
        ),
        (
            "import mdibench.rank.lifecycle, mdibench.compute.torch_engine, "
            "mdibench.models.registry, "
            "mdibench.transport.post_office",
            {"pandas", "pyarrow", "textual", "matplotlib", "scipy", "sklearn"},
        ),
    ],
)
def test_nothing_heavy_is_loaded(code: str, absent: set[str]) -> None:
    assert not loaded(code) & absent
