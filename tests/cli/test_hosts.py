"""A hostfile is for starting ranks; without their number it would not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdibench.__main__ import run
from mdibench.errors import USAGE_ERROR


@pytest.mark.parametrize("command", [("run", "c.toml"), ("probe",), ("doctor",)])
def test_a_hostfile_without_ranks_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    (tmp_path / "hosts").write_text("nowhere\n")
    assert run([*command, "--hostfile", str(tmp_path / "hosts")]) == USAGE_ERROR
    (line,) = capfd.readouterr().err.splitlines()
    assert "--hostfile is for starting ranks: add --ranks N." in line
