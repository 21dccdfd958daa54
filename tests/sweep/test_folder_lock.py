"""Two sweeps of one config at once: the second one says who holds the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mdibench.errors import UserError
from mdibench.sweep.sweep_record import only_here


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        only_here(tmp_path / "sweep"),
        pytest.raises(UserError, match=f"process {os.getpid()} on .* works in this folder"),
        only_here(tmp_path / "sweep"),
    ):
        pass
    with only_here(tmp_path / "sweep"):
        pass
