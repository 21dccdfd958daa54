"""Folders that users have: gone ones, and names with spaces; and where a mistake is said to be."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote

import pytest

from mdibench.__main__ import run
from mdibench.rank import mpi_check
from mdibench.rank.mpi_check import Launcher


def test_a_working_folder_that_is_gone_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run(["run", "config.toml", "--ranks", "2"]) == 2
    assert capsys.readouterr().err == (
        "mdibench: the working folder was deleted; change to one that is there, e.g. cd\n"
    )


def test_commands_to_type_quote_their_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    launcher = Launcher("/my env/bin/mpirun", "MPICH", False)
    line = mpi_check.run_command("MPICH", launcher)[0]
    assert line.startswith(quote("/my env/bin/mpirun"))
    assert quote("/my env/bin/python") in line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("data describe foo", 'NAME: unknown data set "foo"'),
        ("data fetch foo", "Invalid value for 'NAME': 'foo' is not 'cifar10'"),
        ("data describe cifar10 --data-dir FOLDER", "set --data-dir or MDIBENCH_DATA"),
        ("train foo", 'NAME: unknown network "foo"'),
        ("train --dataset foo", '--dataset: unknown data set "foo"'),
        ("train --weights FOLDER/none.st", "no such weights file; check --weights"),
        ("train FOLDER/mine.toml", 'model.name: unknown network "foo"'),
    ],
)
def test_a_mistake_in_an_argument_is_said_to_be_there(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not at the key of a config that the command has not read."""
    (tmp_path / "mine.toml").write_text('[model]\nname = "foo"\n')
    assert run(line.replace("FOLDER", str(tmp_path)).split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert line.endswith(".toml") or "model." not in error
