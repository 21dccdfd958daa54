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
    that the config itself implies, else for 4. Exit status 2 where something is wrong. The data
    need not be here: only the source of a run reads them.
    """
    from mdibench.cli.plan_text import plan_json, plan_lines
    from mdibench.config_file import load_config, read_text
    from mdibench.network.planning import make_plan, usual_ranks
    from mdibench.runtime.happenings import check_events
    from mdibench.runtime.matrix import read_matrix
    from mdibench.runtime.workload import make_engine, model_info

    loaded = load_config(config, overrides)
    if loaded.sweep is not None:
        read_matrix(read_text(config), str(config), overrides)
    model = model_info(loaded.model)
    here = loaded.model.model_copy(update={"device": "cpu"})
    make_engine(here, range(1, model.exits + 1))  # there are weights, and they fit
    plan = make_plan(loaded, ranks or usual_ranks(loaded) or DEFAULT_RANKS, model)
    check_events(loaded, plan)
    if as_json:
        click.echo(plan_json(loaded, plan, model))
    else:
        click.echo(f"{config}: valid")
        click.echo("\n".join(plan_lines(loaded, plan, model)))
