"""``mdibench report``, ``compare`` and ``export``: tables, figures and files of recorded runs.

``compare`` holds B against A, and is a gate for continuous integration.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mdibench.cli import busy, processes

if TYPE_CHECKING:
    from mdibench.analysis.history import Track
    from mdibench.analysis.run_groups import Each, Metric, Run, RunGroup
    from mdibench.record.reader import RunReader
    from mdibench.report.document import Document

MANY_ITEMS = 1_000_000
"""Runs with more items together are read, and drawn, in several processes."""

DEFAULT_METRICS = ("throughput", "accuracy", "accuracy-offered", "latency-mean", "p50", "p99")

FILE_TYPE = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
FOLDER_TYPE = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...")
@click.option("--html", type=FILE_TYPE, metavar="FILE", help="One page that needs no network.")
@click.option("--markdown", type=FILE_TYPE, metavar="FILE", help="Markdown; - for stdout.")
@click.option("--json", "json_", type=FILE_TYPE, metavar="FILE", help="JSON; - for stdout.")
@click.option("--csv", "csv_", type=FOLDER_TYPE, metavar="DIR", help="One CSV file per table.")
@click.option("--png", type=FOLDER_TYPE, metavar="DIR", help="Every figure as PNG, 300 dpi.")
@click.option("--svg", type=FOLDER_TYPE, metavar="DIR", help="Every figure as SVG.")
@click.option(
    "--referee", is_flag=True, help="Claims that the runs support, and those they do not."
)
@click.option(
    "--history", is_flag=True, help="Each metric over the dates of its runs, with change points."
)
def report(
    runs: tuple[str, ...],
    html: Path | None,
    markdown: Path | None,
    json_: Path | None,
    csv_: Path | None,
    png: Path | None,
    svg: Path | None,
    referee: bool,
    history: bool,
) -> None:
    """Turn runs into tables, figures and a verdict.

    RUNS are folders of runs, or folders with runs below them. Without an option the tables are
    printed; with one, files are written instead.
    """
    if referee and history:
        raise click.UsageError("--referee and --history are two pages: give one of them.")
    to_files = any((html, markdown, json_, csv_, png, svg))
    readers, skipped = _open(runs)
    with processes(_offered(readers) > MANY_ITEMS) as each:
        if to_files:
            from mdibench.report import formats  # before processes start: they share it

        groups, repeated = _evaluate(readers, each, copies=history)
        if not to_files:
            _print(groups, referee, history)
            return
        if referee:
            full = _referee_page(groups)
        else:
            full = _history_page(groups) if history else _build(groups, skipped + repeated, each)
        if html:
            _write(html, formats.to_html(full, each))
    pictures: dict[str, str] = {}
    for folder, form in ((png, "png"), (svg, "svg")):
        if folder:
            written = formats.write_figures(full, folder, form)
            pictures = {key: _relative_path(path, markdown) for key, path in written.items()}
            _report_file(folder, f"{len(written)} figures")
    if markdown:
        _write(markdown, formats.to_markdown(full, pictures))
    if json_:
        _write(json_, formats.to_json(full))
    if csv_:
        _report_file(csv_, f"{len(formats.write_csv(full, csv_))} tables")


def _relative_path(picture: Path, document: Path | None) -> str:
    """The path of ``picture`` relative to ``document``, for a link."""
    import os

    start = document.parent if document and str(document) != "-" else Path()
    return Path(os.path.relpath(picture, start)).as_posix()


def _open(paths: tuple[str, ...]) -> tuple[list[RunReader], list[str]]:
    from mdibench.errors import say
    from mdibench.record.reader import open_runs

    readers, skipped = open_runs(paths)
    for problem in skipped:
        say(f"skipped {problem}")
    return readers, skipped


def _offered(readers: list[RunReader]) -> int:
    """Items of all runs, as far as their manifests say."""
    return sum((reader.manifest.get("totals") or {}).get("offered") or 0 for reader in readers)


def _evaluate(
    readers: list[RunReader], each: Each, copies: bool
) -> tuple[list[RunGroup], list[str]]:
    """Groups of the runs, and what was skipped: copies, unless they may count."""
    with busy("reading the runs") as now:
        from mdibench.analysis.run_groups import evaluate_run, group_repeats, without_copies
        from mdibench.errors import say

        evaluated: list[Run] = []
        repeated: list[str] = []
        for number, run in enumerate(each(evaluate_run, readers), 1):
            evaluated.append(run)
            now(f"evaluated {number} of {len(readers)} runs")
        if not copies:
            evaluated, repeated = without_copies(evaluated)
        for problem in repeated:
            say(f"skipped {problem}")
    return group_repeats(evaluated), repeated


def _build(groups: list[RunGroup], skipped: list[str], each: Each) -> Document:
    from mdibench.analysis.run_groups import solve_bounds
    from mdibench.report.report import build_report

    solve_bounds([run for group in groups for run in group.runs], each)
    return build_report(groups, skipped)


def _referee_page(groups: list[RunGroup]) -> Document:
    from mdibench.report.comparisons import referee_page

    return referee_page(groups)


def _history_page(groups: list[RunGroup]) -> Document:
    from mdibench.report.history import history_page

    return history_page(_tracks(groups))


def _tracks(groups: list[RunGroup]) -> list[Track]:
    from mdibench.analysis.history import histories
    from mdibench.errors import Problem, UserError

    found = histories(groups)
    if not found:
        what = "no group has two VALID runs with a date"
        raise UserError(Problem(what, "--history", "give runs of one config, made over time"))
    return found


def _print(groups: list[RunGroup], referee: bool, history: bool) -> None:
    from mdibench.report.terminal import groups_content, run_content, shows_colour, to_text

    if referee:
        from mdibench.report.comparisons import as_text

        click.echo(as_text(_referee_page(groups)), nl=False)
        return
    if history:
        from mdibench.report.history import as_text as history_text

        click.echo(history_text(_tracks(groups)), nl=False)
        return
    runs = [run for group in groups for run in group.runs]
    content = run_content(runs[0]) if len(runs) == 1 else groups_content(groups)
    click.echo(to_text(content, colour=shows_colour()), nl=False)


def _write(path: Path, text: str) -> None:
    from mdibench.errors import Problem, UserError

    if str(path) == "-":
        click.echo(text, nl=False)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise UserError(Problem(f"cannot be written: {failure.strerror}", str(path))) from failure
    _report_file(path, f"{len(text) / 1024:,.0f} KiB")


def _report_file(path: Path, what: str) -> None:
    from mdibench.errors import say

    say(f"wrote {path} ({what})")


# --- export --------------------------------------------------------------------------------------


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--perfetto", is_flag=True, help="A timeline for ui.perfetto.dev (Chrome JSON).")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File to write; by default <run>.trace.json here.",
)
def export(run: Path, perfetto: bool, output: Path | None) -> None:
    """Export a run, e.g. as a Perfetto timeline."""
    from mdibench.errors import Problem, UserError, say
    from mdibench.record.reader import open_runs
    from mdibench.report.perfetto import write_timeline

    if not perfetto:
        raise UserError(Problem("no format given", "export", "add --perfetto"))
    readers, _ = open_runs([run])
    if len(readers) > 1:
        raise UserError(Problem(f"holds {len(readers)} runs", str(run), "name one of them"))
    reader = readers[0]
    path = output or Path(f"{reader.folder.resolve().name}.trace.json")
    try:
        count = write_timeline(reader, path)
    except OSError as failure:
        raise UserError(Problem(f"cannot be written: {failure.strerror}", str(path))) from failure
    for problem in reader.problems:
        say(problem)
    say(f"wrote {path} ({count:,} events); open it at https://ui.perfetto.dev")


# --- compare ---------------------------------------------------------------------------------


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--metric", "names", multiple=True, metavar="NAME", help="Metric; repeatable.")
@click.option(
    "--fail-if",
    "criteria",
    multiple=True,
    metavar="CRITERION",
    help='E.g. "throughput < 0.95": B / A, by its whole interval; repeatable.',
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(
    a: str, b: str, names: tuple[str, ...], criteria: tuple[str, ...], as_json: bool
) -> None:
    """Compare two runs or sets of repeats, with intervals.

    A is the baseline, B is compared with it: each a run or a folder of repeats of one config. Exit
    status 3 when a criterion fires, 4 where the runs cannot be compared.
    """
    with busy("reading the runs"):
        from mdibench.analysis import comparison
        from mdibench.analysis.comparison import apply_criteria, metric_of, parse_criterion
        from mdibench.errors import CriteriaFailed, IncomparableRuns
        from mdibench.report.comparisons import comparison_json, comparison_text

        gates = [parse_criterion(text) for text in criteria]
        metrics = [metric_of(name, "--metric") for name in names or DEFAULT_METRICS]
        metrics += _missing(metrics, [g.metric for g in gates])
        found = comparison.compare(_side(a), _side(b), metrics)
    click.echo(comparison_json(found) if as_json else comparison_text(found), nl=False)
    fired, undecided = apply_criteria(gates, found)
    if fired:
        raise CriteriaFailed("; ".join([*fired, *undecided]))
    if undecided:
        raise IncomparableRuns("; ".join(undecided))


def _missing(metrics: list[Metric], needed: list[Metric]) -> list[Metric]:
    return [metric for metric in dict.fromkeys(needed) if metric not in metrics]


def _side(path: str) -> RunGroup:
    """The repeats at ``path``."""
    from mdibench.analysis.run_groups import evaluate_run, group_repeats, without_copies
    from mdibench.errors import IncomparableRuns, say
    from mdibench.record.reader import open_runs

    readers, skipped = open_runs([path])
    runs, copies = without_copies(evaluate_run(reader) for reader in readers)
    for problem in [*skipped, *copies]:
        say(f"skipped {problem}")
    groups = group_repeats(runs)
    if len(groups) > 1:
        names = ", ".join(group.name for group in groups)
        raise IncomparableRuns(f"{path} holds runs of different configs ({names}): give one set")
    return groups[0]
