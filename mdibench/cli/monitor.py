"""``mdibench monitor``: watch a run live, or replay a finished one."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from mdibench.errors import OK, Problem, UserError

if TYPE_CHECKING:
    from mdibench.monitor.snapshot import Snapshot
    from mdibench.rank.launch import Launching

THEME, GLYPHS, PACE_S = "mdi-dark", "braille", 0.25
NICENESS = 10
"""Lower priority than the ranks, so that the monitor does not slow the run down."""


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option(
    "--results", default="results", show_default=True, type=click.Path(path_type=Path),
    help="Folder with the newest run when RUN is not given.",
)  # fmt: skip
@click.option("--plain", is_flag=True, help="Progress lines instead of the full screen.")
@click.option("--theme", default=THEME, show_default=True, help="Colours to start with.")
@click.option(
    "--glyphs", type=click.Choice(["braille", "block", "ascii"]), default=GLYPHS,
    show_default=True, help="Characters that charts are drawn with.",
)  # fmt: skip
@click.option(
    "--refresh", "pace_s", type=click.FloatRange(0.05, 10), default=PACE_S, show_default=True,
    help="Seconds between two refreshes.",
)  # fmt: skip
@click.option("--tty", hidden=True, help="Terminal to draw on, with keys from standard input.")
def monitor(
    run: Path | None,
    results: Path,
    plain: bool,
    theme: str,
    glyphs: str,
    pace_s: float,
    tty: str | None,
) -> int:
    """Watch RUN, or the newest run; of a folder with several runs, show the list.

    A live run is followed, a finished one can be replayed. Leaving does not affect the run. Where
    there is no terminal, progress of the newest run is printed as lines.
    """
    if tty is not None:
        return _on_terminal(newest_run(run or results, run is not None), tty, theme, glyphs, pace_s)
    if plain or not (sys.stdout.isatty() and sys.stdin.isatty()):
        return _as_lines(newest_run(run or results, given=run is not None))
    _follow_the_size()
    if run is not None and run.is_dir() and not (run / "run.json").exists():
        return _browse(run, theme, glyphs, pace_s)
    folder = newest_run(run or results, given=run is not None)
    snapshot, _ = _screen(folder, theme, glyphs, pace_s)
    _leave(folder, snapshot)
    return OK


def _browse(path: Path, theme: str, glyphs: str, pace_s: float) -> int:
    """The list of the runs below ``path``; the run itself where there is one only."""
    from mdibench.monitor.app.browser import browse
    from mdibench.monitor.app.paint.drawing import GLYPH_SETS, Options

    _check_theme(theme)

    def open_run(folder: Path) -> None:
        with suppress(UserError):  # it was removed: the list shows that
            _screen(folder, theme, glyphs, pace_s)

    browse(path, open_run, theme=theme, options=Options(glyphs=GLYPH_SETS[glyphs]))
    return OK


def newest_run(path: Path, given: bool) -> Path:
    """The run in ``path``, or the newest below it; ``UserError`` where there is none."""
    from mdibench.record.run_folder import find_runs

    if not given and not path.exists():
        raise UserError(Problem("no runs yet", str(path), "mdibench run CONFIG makes one"))
    runs = find_runs([path])
    if not runs:
        raise UserError(
            Problem("no run here: no folder with a run.json", str(path), "name a run's folder")
        )
    return runs[-1]


def prepare_monitor() -> None:
    """Import what the screen needs."""
    _follow_the_size()
    import_module("mdibench.monitor.app.app")


def _follow_the_size() -> None:
    """Forget exported sizes, which would hide that the terminal's size changes."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)


def draw_launched(launching: Launching) -> None:
    """The screen of a run that begins, until the user leaves or the job ends without a run."""
    snapshot, picture = _screen(launching)
    if launching.folder is not None:
        _leave_with_picture(launching.folder, snapshot, picture)
    if not launching.over:
        _write("waiting for the run to end; Ctrl-C makes it drain and write its files\n")


def _screen(
    run: Path | Launching,
    theme: str = THEME,
    glyphs: str = GLYPHS,
    pace_s: float = PACE_S,
    forwarded_keys: bool = False,
) -> tuple[Snapshot | None, str]:
    from mdibench.monitor.app.app import watch
    from mdibench.monitor.app.paint.drawing import GLYPH_SETS, Options

    _check_theme(theme)
    if os.nice(0) < NICENESS:
        os.nice(NICENESS)
    options = Options(glyphs=GLYPH_SETS[glyphs])
    if not forwarded_keys:
        return watch(run, theme=theme, options=options, pace_s=pace_s)
    from mdibench.monitor.app.terminal_driver import ForwardedKeysDriver

    return watch(run, theme=theme, options=options, pace_s=pace_s, driver_class=ForwardedKeysDriver)


def _check_theme(theme: str) -> None:
    from mdibench.monitor.app.themes import THEME_NAMES

    if theme not in THEME_NAMES:
        remedy = f"one of {', '.join(THEME_NAMES)}"
        raise UserError(Problem(f'there is no theme "{theme}"', "--theme", remedy))


def _on_terminal(folder: Path, tty: str, theme: str, glyphs: str, pace_s: float) -> int:
    from mdibench.monitor.app.terminal_driver import ForwardedKeysDriver, draw_on
    from mdibench.rank.launch import open_talk, tell

    held = open_talk()  # `run --ranks` waits for this process, and leaves the terminal to it
    ForwardedKeysDriver.outlives_launcher = held is not None
    tell("monitor")
    try:
        with draw_on(tty):
            snapshot, picture = _screen(folder, theme, glyphs, pace_s, forwarded_keys=True)
    except OSError as failure:
        what = f"cannot be used as a terminal: {failure.strerror or failure}"
        raise UserError(Problem(what, tty)) from None
    _leave_with_picture(folder, snapshot, picture)
    if held is not None:
        os.close(held)
    return OK


def _leave_with_picture(folder: Path, snapshot: Snapshot | None, picture: str) -> None:
    """Keep the last picture of a run that went wrong, since leaving the screen removes it."""
    if snapshot is not None and not snapshot.state.healthy:
        _write(picture + "\n")
    _leave(folder, snapshot)


def _leave(folder: Path, snapshot: Snapshot | None) -> None:
    """Print the last snapshot's summary on the normal screen."""
    from mdibench.monitor.plain import summary

    if snapshot is None:
        return
    text = summary(snapshot, str(folder))
    if not snapshot.over:
        text += f"  the run goes on; watch it again with: mdibench monitor {quote(str(folder))}\n"
    _write(text)


def _write(text: str) -> None:
    with suppress(OSError):  # the terminal may be gone by now
        os.write(1, text.encode())


def _as_lines(folder: Path) -> int:
    from mdibench.monitor.feed import RunFeed
    from mdibench.monitor.plain import follow

    def write(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    feed = RunFeed(folder)
    try:
        follow(feed, write)
    finally:
        feed.close()
    if feed.problem:
        raise UserError(feed.problem)
    return OK


# --- list ----------------------------------------------------------------------------------------

SORT_KEYS = ("age", "name", "state", "scheme", "rate", "accuracy", "verdict")


@click.command("list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--filter", "pattern", default="", help="Regular expression; !text: all others.")
@click.option(
    "--sort", "key", type=click.Choice(SORT_KEYS), default="age", show_default=True,
    help="Column to sort by; rate, accuracy and verdict read every run.",
)  # fmt: skip
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--all", "whole", is_flag=True, help="All runs, not the first fifty.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(
    folder: Path, pattern: str, key: str, reverse: bool, whole: bool, as_json: bool
) -> None:
    """List the runs below FOLDER: state, scheme, rate, accuracy, verdict and age.

    Figures and verdict are those of the report. `mdibench monitor FOLDER` shows the same list to
    browse in.
    """
    import shutil
    import time

    from mdibench.monitor.app.paint.drawing import matches
    from mdibench.monitor.app.paint.listing import ListView, list_lines
    from mdibench.monitor.runs import as_json as json_of
    from mdibench.monitor.runs import listed

    if not folder.exists():
        raise UserError(Problem("no runs yet", str(folder), "mdibench run CONFIG makes one"))
    most = None if whole else MOST_LISTED
    passes = (lambda text: matches(pattern, text)) if pattern else None
    entries, count = listed(folder, passes, key, reverse, most)
    if as_json:
        click.echo(json_of(entries))
        return
    if not entries:
        raise UserError(Problem("no run here", str(folder), "name a folder with runs"))
    width = shutil.get_terminal_size((120, 24)).columns
    view = ListView(cursor=-1, sort=key, reverse=reverse, now_s=time.time())
    for line in list_lines(entries, width, len(entries) + 1, view):
        click.echo("".join(text for text, _ in line).rstrip())
    if count > len(entries):
        click.echo(f"  the first {len(entries)} of {count:,} runs; --all lists the others too")


MOST_LISTED = 50
