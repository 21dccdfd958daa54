"""``mdibench check``: validate a config without running it, and print its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mdibench.errors import UserError, say

if TYPE_CHECKING:
    from mdibench.config.schema import ModelSection

DEFAULT_RANKS = 4


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--ranks", type=click.IntRange(1, 10_000), help="Number of ranks to plan for.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--json", "as_json", is_flag=True, help="Print config, plan and costs as JSON.")
def check(config: Path, ranks: int | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check CONFIG and print its plan: placement, and the load of each worker and link.

    Needs neither mpirun nor the other devices. Without --ranks, plans for the number of ranks
    that the config itself implies, else for 4. Exit status 2 where something is wrong. Weights
    and data need not exist yet; weights that a run would refuse are reported.
    """
    from mdibench.assembly.workload import planned
    from mdibench.config.reading import read_config
    from mdibench.network.event_checks import check_events
    from mdibench.network.planning import usual_ranks
    from mdibench.report.plan_text import plan_json, plan_lines
    from mdibench.sweep.matrix import read_matrix

    file = read_config(config, overrides)
    loaded = file.config
    if loaded.sweep is not None:
        read_matrix(file.text, str(config), overrides)
    model, plan = planned(loaded, ranks or usual_ranks(loaded) or DEFAULT_RANKS)
    check_events(loaded, plan)
    _check_weights(loaded.model)
    if as_json:
        click.echo(plan_json(loaded, plan, model))
    else:
        click.echo(f"{config}: valid")
        click.echo("\n".join(plan_lines(loaded, plan, model)))


def _check_weights(model: ModelSection) -> None:
    """Report the weights that a run here would refuse, as notes: they may be trained later."""
    from mdibench.assembly.workload import NULL
    from mdibench.models.registry import load_model

    if model.name == NULL:
        return
    try:
        load_model(model)
    except UserError as failure:
        for problem in failure.problems:
            say(f"note: a run would refuse: {problem}")
