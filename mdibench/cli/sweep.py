"""``mdibench sweep``: a resumable matrix of runs, or a search for the highest rate."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from mdibench.sweep.sweep import Sweep
    from mdibench.sweep.sweep_record import RunOutcome


@click.command()
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Runs at a time; more than one needs emulated devices.",
)
@click.option(
    "--resume/--anew",
    default=True,
    show_default=True,
    help="Continue an earlier sweep, or start in a new folder.",
)
@click.option(
    "--redo-overrun",
    is_flag=True,
    help="Run again what is INVALID because computing did not keep up with the emulated devices.",
)
@click.option("--only", multiple=True, metavar="TEXT", help="Only cells with TEXT in their label.")
@click.option("--repeats", type=click.IntRange(1), help="Repeats, instead of the config's.")
@click.option("--dry-run", is_flag=True, help="List the cells and the time they take, run nothing.")
@click.option("--search", is_flag=True, help="Find the highest rate under [search] objective_ms.")
@click.option("--ranks", type=click.IntRange(1), help="World size of a search.")
@click.option("--series", type=click.Path(path_type=Path), hidden=True)
def sweep(
    config: Path | None,
    overrides: tuple[str, ...],
    jobs: int,
    resume: bool,
    redo_overrun: bool,
    only: tuple[str, ...],
    repeats: int | None,
    dry_run: bool,
    search: bool,
    ranks: int | None,
    series: Path | None,
) -> int:
    """Run every cell of the matrix that CONFIG describes in [sweep], several times each.

    CONFIG is an ordinary config with a [sweep] table. A sweep that was stopped continues when it
    is started again. Results: RESULTS/NAME/sweep.json and a folder for each run.

    With --search, CONFIG has a [search] table instead: runs at one rate after another find the
    highest that keeps a percentile of the latency under its objective.
    """
    if series is not None:
        from mdibench.rank.launch import prepare_rank

        launch = prepare_rank()
        from mdibench.sweep.crew import run_series

        return run_series(series, launch)
    if config is None:
        raise click.UsageError("Missing argument 'CONFIG'.")
    if search:
        if jobs > 1 or not resume or redo_overrun or only or repeats or dry_run:
            raise click.UsageError("--search goes with --set and --ranks only.")
        return _search(config, overrides, ranks)
    from mdibench.sweep.sweep import Sweep, SweepOptions

    again = _overran if redo_overrun else None
    ready = Sweep(SweepOptions(config, overrides, jobs, resume, only, repeats, again))
    if dry_run:
        _show_cells(ready)
        return 0
    return _run(ready)


def _overran(run: Path) -> bool:
    """Whether the run is INVALID because of its emulated devices."""
    from mdibench.analysis.run_groups import evaluate_run
    from mdibench.record.reader import RunReader

    findings = evaluate_run(RunReader(run)).findings
    return any(f.check == "emulation" and f.level == "invalid" for f in findings)


def _run(ready: Sweep) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = ready.record.folder
    with SweepProgress(len(ready.cell_runs), len(ready.cell_runs) - len(ready.left)) as progress:
        progress.begin(folder, ready.seconds_left(ready.left))
        status = ready.run(progress.show, progress.more)
    failed = [d for d in ready.record.runs.values() if d.status != "complete"]
    for done in failed:
        click.echo(f"{done.cell}, repeat {done.repeat}: {done.status}: {done.reason}", err=True)
    click.echo(f"{folder}: {len(ready.record.runs) - len(failed)} runs complete")
    click.echo(f"to compare them: mdibench report {quote(str(folder))}")
    return status


def _show_cells(ready: Sweep) -> None:
    """One line per cell, then the totals."""
    left = {(run.cell.label, run.repeat) for run in ready.left}
    labels = dict.fromkeys(run.cell for run in ready.cell_runs)
    width = max(len(cell.label) for cell in labels)
    for cell in sorted(labels, key=lambda cell: ready.matrix.cells.index(cell)):
        repeats = [run.repeat for run in ready.cell_runs if run.cell == cell]
        done = sum((cell.label, repeat) not in left for repeat in repeats)
        click.echo(f"{cell.label:<{width}}  {cell.ranks} ranks  {done} of {len(repeats)} runs done")
    click.echo(
        f"{len(labels)} cells, {len(left)} of {len(ready.cell_runs)} runs to do, "
        f"about {duration_text(ready.seconds_left(ready.left))}"
    )


def _search(config: Path, overrides: tuple[str, ...], ranks: int | None) -> int:
    from mdibench.errors import CRITERIA_FAILED, OK
    from mdibench.sweep.search import Search, Trial

    def show(trial: Trial) -> None:
        latency = "no latency" if trial.latency_s is None else f"{trial.latency_s * 1e3:.1f} ms"
        verdict = "passes" if trial.passed else "fails"
        click.echo(f"{trial.rate_per_s:.2f} per s: {latency}, {verdict}", err=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    search = Search(config, overrides, ranks, percentile_s)
    highest = search.run(show)
    goal = f"p{search.wanted.percentile:g} within {search.wanted.objective_ms:g} ms"
    click.echo(f"{f'{highest:.2f} per s' if highest else 'no rate'} is the highest with {goal}")
    click.echo(f"trace of the search: {search.folder / 'search.json'}")
    return OK if highest else CRITERIA_FAILED


# --- progress ------------------------------------------------------------------------------------


def duration_text(seconds: float) -> str:
    """``1:05 h``, ``12 min`` or ``40 s``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60}:{minutes % 60:02} h"


class SweepProgress(Progress):
    """Progress on stderr: a bar on a terminal, and a line per run.

    ``done`` of the ``total`` runs were complete before.
    """

    def __init__(self, total: int, done: int) -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]} left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self.add_task("sweep", total=total, completed=done, left="?")
        self._total, self._done = total, done

    def begin(self, folder: Path, left_s: float) -> None:
        """Print how many runs are to do, and the expected time."""
        left = self._total - self._done
        already = f", {self._done} are done already" if self._done else ""
        self._say(
            f"{left} runs to do in about {duration_text(left_s)}{already}; results in {folder}"
        )
        self.update(self._task, left=duration_text(left_s))

    def more(self, count: int) -> None:
        """Print that ``count`` further runs follow, since differences are not settled."""
        self._total += count
        self.update(self._task, total=self._total)
        self._say(f"{count} further runs: differences are not settled")

    def show(self, done: RunOutcome, left_s: float) -> None:
        """Print the run that has ended."""
        self._done += 1
        self.update(self._task, completed=self._done, left=duration_text(left_s))
        reason = f" ({done.reason})" if done.reason else ""
        self._say(
            f"[{self._done}/{self._total}] {done.cell}, repeat {done.repeat}: {done.status}{reason}"
            f" in {done.wall_s:.1f} s; {duration_text(left_s)} left"
        )

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False)


def percentile_s(folder: Path, percentile: float) -> float:
    """Percentile of the latency of the items scheduled in the window; for ``--search``.

    Dropped and lost items count as infinite; infinity also where there are no items.
    """
    import mdibench
    from mdibench.record.run_folder import read_manifest

    items, window = mdibench.load(folder).items, read_manifest(folder)["window"]
    inside = items["scheduled_s"].between(window["start_s"], window["end_s"], inclusive="left")
    latencies = sorted(items.loc[inside, "latency_s"].fillna(math.inf))
    if not latencies:
        return math.inf
    return float(latencies[math.ceil(percentile / 100 * len(latencies)) - 1])
