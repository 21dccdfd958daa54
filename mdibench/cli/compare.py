"""``mdibench compare``: B against A, and a gate for continuous integration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mdibench.cli import busy

if TYPE_CHECKING:
    from mdibench.analysis.run_groups import Metric, RunGroup

DEFAULT_METRICS = ("throughput", "accuracy", "accuracy-offered", "latency-mean", "p50", "p99")


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
