"""``mdibench bound``: the highest rate of any policy, and what would raise it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--ranks", type=click.IntRange(1, 65_535), help="Number of ranks, the source too.")
@click.option("--profile", type=click.Path(path_type=Path), help="Folder of `mdibench profile`.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Best accuracy at this rate.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def bound(
    config: Path,
    ranks: int | None,
    profile: Path | None,
    rate: float | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """The largest rate that any policy could sustain with CONFIG, by linear programming.

    Uses the placement, block times, link rates and the share of items that go on after each exit.
    Also prints the best accuracy at several rates, or at --rate.
    """
    from mdibench.report.bound_text import bound_json, bound_lines, bound_report
    from mdibench.simulation.scenario import load_scenario

    report = bound_report(load_scenario(config, overrides, ranks, profile), rate)
    click.echo(bound_json(report) if as_json else "\n".join(bound_lines(report)))
