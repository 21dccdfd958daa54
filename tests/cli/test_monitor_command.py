"""``mdibench monitor`` on the command line: the run it selects, and errors on bad input."""

import subprocess
import sys
from pathlib import Path

import pytest

from mdibench.__main__ import run as mdibench
from mdibench.monitor.feed import RunFeed
from mdibench.monitor.plain import summary
from tests.monitor.support import LiveRun, start
from tests.monitor.synthetic import Synthetic

SHORT = Synthetic(ranks=2, rate=20, duration_s=2.0)


@pytest.fixture
def finished(tmp_path: Path) -> LiveRun:
    run = start(tmp_path / "results", SHORT)
    run.finish()
    return run


def said(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = mdibench(["monitor", *arguments])
    out, err = capfd.readouterr()
    return status, out, err


def test_a_finished_run_without_a_terminal_is_a_summary(
    finished: LiveRun, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said([str(finished.folder)], capfd)
    assert (status, err) == (0, "")
    assert "complete after 00:04" in out
    assert out.splitlines()[0].startswith("fixed_acc · mdi-exit · emulated")


def test_the_newest_run_is_the_default(
    finished: LiveRun, capfd: pytest.CaptureFixture[str]
) -> None:
    newer = start(finished.folder.parent, SHORT, started_utc="2026-02-01T00:00:00+00:00")
    newer.finish()
    _, out, _ = said(["--results", str(finished.folder.parent)], capfd)
    assert str(newer.folder) in out


@pytest.mark.parametrize(("status", "end"), [("complete", "complete"), ("aborted", "lost; run ab")])
def test_a_replay_that_is_left_says_where_it_stood(tmp_path: Path, status: str, end: str) -> None:
    run = start(tmp_path, SHORT)
    run.finish(status, "a rank is lost" if status == "aborted" else "")
    feed = RunFeed(run.folder)
    feed.read()
    text = summary(feed.snapshot(1.0), str(run.folder))
    feed.close()
    assert (
        f"the replay stood at 00:01, and so do these figures; {'' if end[0] == 'c' else 'a '}"
        in text
    )
    assert end in text
    assert text.splitlines()[-1] == f"  the whole run: mdibench report {run.folder}"
    assert "stood" not in summary(feed.snapshot(), str(run.folder))


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        (lambda folder: [f.unlink() for f in folder.iterdir()], "no run here"),
        (lambda folder: (folder / "run.json").write_text("{"), "is damaged: not the manifest"),
        (
            lambda folder: (folder / "run.json").write_text('{"schema": [9, 0]}'),
            "schema 9 cannot be read, this version reads schema 1",
        ),
        (
            lambda folder: (folder / "items.parquet").write_bytes(b"PAR1"),
            "items.parquet: damaged, cannot be read",
        ),
    ],
)
def test_bad_input_is_one_clear_line(
    finished: LiveRun, capfd: pytest.CaptureFixture[str], break_it: object, line: str
) -> None:
    break_it(finished.folder)  # type: ignore[operator]
    status, out, err = said([str(finished.folder)], capfd)
    text = err or out.splitlines()[0] + "\n"
    assert line in text
    assert len(text.splitlines()) == 1
    assert "Traceback" not in out + err
    assert status == 2


def test_no_runs_and_no_such_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(["--results", str(tmp_path / "none")], capfd)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "no runs yet" in err
    status, _, err = said([str(tmp_path / "none")], capfd)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "no such file or folder" in err


def test_a_bad_terminal_is_one_clear_line(
    finished: LiveRun, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = said([str(finished.folder), "--tty", "/dev/pts/99999"], capfd)
    assert (status, len(err.splitlines())) == (2, 1)
    assert "cannot be used as a terminal" in err


@pytest.mark.slow
def test_only_the_screen_knows_textual() -> None:
    """The fold, the feed, plain lines and a rank's way to a monitor import neither it nor torch."""
    program = (
        "import sys; import mdibench.monitor.snapshot_view, mdibench.monitor.feed, "
        "mdibench.monitor.plain, "
        "mdibench.monitor.mpirun_terminal, mdibench.cli.monitor, mdibench.monitor.app.paint.tiles; "
        "print(sorted({'textual', 'torch', 'pandas', 'mpi4py', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
