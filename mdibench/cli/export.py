"""``mdibench export``: a run in the format of another program."""

from __future__ import annotations

from pathlib import Path

import click


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
