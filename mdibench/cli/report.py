"""``mdibench report``: runs into tables and figures."""

from __future__ import annotations

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...")
def report(runs: tuple[str, ...]) -> None:
    """Turn runs into tables, figures and a verdict.

    RUNS are folders of runs, or folders with runs below them.
    """
    from mdibench.__main__ import say
    from mdibench.analysis.reader import open_runs
    from mdibench.analysis.study import group_repeats, study
    from mdibench.analysis.terminal import many_runs, one_run, to_text

    readers, skipped = open_runs(runs)
    for problem in skipped:
        say(f"skipped {problem}")
    studied = [study(reader) for reader in readers]
    content = one_run(studied[0]) if len(studied) == 1 else many_runs(group_repeats(studied))
    click.echo(to_text(content), nl=False)
