"""``mdibench check`` and ``mdibench bound``: a config's plan and bound, not run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mdibench.cli import busy
from mdibench.cli.init import complete_config
from mdibench.errors import UserError, say

if TYPE_CHECKING:
    from mdibench.config.schema import RunConfig

DEFAULT_RANKS = 4


@click.command()
@click.argument("config", type=click.Path(path_type=Path), shell_complete=complete_config)
@click.option("--ranks", type=click.IntRange(1, 10_000), help="Number of ranks to plan for.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
@click.option("--json", "as_json", is_flag=True, help="Print config, plan and costs as JSON.")
def check(config: Path, ranks: int | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check CONFIG and print its plan: placement, and the load of each worker and link.

    Needs neither mpirun nor the other devices. Without --ranks, plans for the number of ranks
    that the config itself implies, else for 4. Exit status 2 where something is wrong. Weights
    and data need not exist yet; weights that a run would refuse are reported. A network of your
    own is tried on a few items: the same answers twice, alone and in a batch, in shapes and
    values that messages can carry.
    """
    with busy(f"checking {config}"):
        text = _checked(config, ranks, overrides, as_json)
    click.echo(text)


def _checked(config: Path, ranks: int | None, overrides: tuple[str, ...], as_json: bool) -> str:
    from mdibench.assembly.workload import planned
    from mdibench.config.reading import read_config
    from mdibench.network.planning import check_events, usual_ranks
    from mdibench.report.plan_text import plan_json, plan_lines
    from mdibench.sweep.matrix import read_matrix

    file = read_config(config, overrides)
    loaded = file.config
    if loaded.sweep is not None:
        read_matrix(file.text, str(config), overrides)
    model, plan = planned(loaded, ranks or usual_ranks(loaded) or DEFAULT_RANKS)
    check_events(loaded, plan)
    _check_weights(loaded)
    if as_json:
        return plan_json(loaded, plan, model)
    return "\n".join([f"{config}: valid", *plan_lines(loaded, plan, model)])


def _check_weights(config: RunConfig) -> None:
    """Report weights and data that a run here would refuse, as notes: they may come later.

    With both of them there, the network is tried: what that finds is a mistake.
    """
    from mdibench.assembly.workload import NULL, check_network
    from mdibench.data.dataset import IMAGES, dataset_of
    from mdibench.models.registry import load_model

    model = config.model
    if model.name == NULL:
        return
    if model.dataset.startswith(IMAGES):
        dataset_of(model)  # its folder has to exist for the plan, and so has to be in order
    try:
        load_model(model)
        if ":" in model.name or model.weights is not None:
            dataset_of(model)
    except UserError as failure:
        for problem in failure.problems:
            say(f"note: a run would refuse: {problem}")
        return
    check_network(config)


# --- bound ---------------------------------------------------------------------------------------


@click.command()
@click.argument("config", type=click.Path(path_type=Path), shell_complete=complete_config)
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
    with busy(f"measuring the blocks of {config}, and solving for the highest rate"):
        from mdibench.report.bound_text import bound_json, bound_lines, bound_report
        from mdibench.simulation.scenario import load_scenario

        report = bound_report(load_scenario(config, overrides, ranks, profile), rate)
    click.echo(bound_json(report) if as_json else "\n".join(bound_lines(report)))
