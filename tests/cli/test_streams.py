"""Every command on every stream: encodings without Greek letters, closed and full streams."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdibench.assembly.environment import OUTPUT_VARIABLE
from mdibench.cli import busy
from mdibench.rank.launch import child_environment
from mdibench.report.terminal import shows_colour
from tests.synthetic_runs import LOCAL, write_run

LATIN = {"PYTHONIOENCODING": "latin-1"}
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def mdibench(*arguments: str, shell: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own; ``shell`` redirects its streams."""
    line = [sys.executable, "-m", "mdibench", *arguments]
    if shell:
        line = ["sh", "-c", f'"$@" {shell}', "sh", *line]
    return subprocess.run(
        line, env=os.environ | env, capture_output=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded run."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", LOCAL)


COMMANDS: list[tuple[str, ...]] = [
    ("keys",), ("report", "RUN"), ("monitor", "RUN", "--text"), ("compare", "RUN", "RUN"),
    ("check", "bench_configs/fixed_acc.toml", "--ranks", "3"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "env"),
    [*((command, C) for command in COMMANDS), (COMMANDS[1], LATIN), (COMMANDS[2], LATIN)],
    ids=lambda value: value[0] if isinstance(value, tuple) else value["PYTHONIOENCODING"],
)
def test_an_encoding_without_our_signs(
    arguments: tuple[str, ...], env: dict[str, str], run: Path
) -> None:
    done = mdibench(*(str(run) if part == "RUN" else part for part in arguments), **env)
    assert b"UnicodeEncodeError" not in done.stderr
    assert done.returncode in (0, 2, 3, 4), done.stderr
    assert b"internal error" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "term"),
    [(">&-", ""), ("2>&-", "dumb"), (">&- 2>&-", "linux"), ("2>/dev/full", "no-such-terminal")],
)
def test_closed_and_full_streams_of_any_terminal(shell: str, term: str) -> None:
    assert mdibench("keys", "run", shell=shell, TERM=term).returncode == 0
    assert mdibench("check", "no-such-file.toml", shell=shell, TERM=term).returncode == 2


@pytest.mark.slow
def test_a_closed_input() -> None:
    done = mdibench("run", shell="<&-")
    assert done.returncode == 2
    assert b"Missing argument 'CONFIG'" in done.stderr


def test_signs_become_plain_letters() -> None:
    code = (
        "from mdibench.__main__ import adapt_streams; adapt_streams();"
        "print('\\u03c4 \\u2192 \\u2265 1 \\u2502\\u2588 \\u4e00 \\udcff')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | LATIN, check=True,
                          capture_output=True)  # fmt: skip
    assert done.stdout.decode("latin-1").strip() == "tau -> >= 1 |# ? ?"


class Stream(io.StringIO):
    """A stderr that is a terminal, or not."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_silent_command_says_what_it_does_on_a_terminal_alone(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Stream(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    with busy("reading the runs") as now:
        now("evaluating run 1 of 2")
    said = stream.getvalue()
    assert ("evaluating run 1 of 2" in said) is is_terminal
    assert said == "" or is_terminal


def test_a_summary_has_colours_where_the_launching_command_has_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv(OUTPUT_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdout", Stream(True))
    told = child_environment()
    monkeypatch.setattr(sys, "stdout", Stream(False))
    assert OUTPUT_VARIABLE not in child_environment()
    assert not shows_colour()
    monkeypatch.setenv(OUTPUT_VARIABLE, told[OUTPUT_VARIABLE])
    assert shows_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not shows_colour()
