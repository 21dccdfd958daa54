"""``mdibench check``: validate a config without running it, and print what a run would do."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_RANKS = 4


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--ranks", type=click.IntRange(1, 10_000), help="Number of ranks to plan for.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--json", "as_json", is_flag=True, help="Print config, plan and costs as JSON.")
def check(config: Path, ranks: int | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check CONFIG and print its plan: who hosts what, and what each worker and link carries.

    Needs neither mpirun nor the other devices. Without --ranks, plans for the number of ranks
    that the config itself implies, else for 4. Exit status 2 where something is wrong.
    """
    from mdibench.cli.plan_text import plan_json, plan_lines
    from mdibench.config_file import load_config
    from mdibench.network.planning import make_plan, usual_ranks
    from mdibench.runtime.workload import model_info

    loaded = load_config(config, overrides)
    model = model_info(loaded.model)
    plan = make_plan(loaded, ranks or usual_ranks(loaded) or DEFAULT_RANKS, model)
    if as_json:
        click.echo(plan_json(loaded, plan, model))
    else:
        click.echo(f"{config}: valid")
        click.echo("\n".join(plan_lines(loaded, plan, model)))
